"""Actions of the chaos run: keys, modes, and processes that stop, end or are killed.

Each takes a source of randomness of its own, so that the same seed has the same things happen
at the same times, with viewers and without.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable

from tests.support.chaos.seat import Seat
from tests.support.chaos.world import World
from tests.support.process import Child

ENDING = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
KEYS = ["a", "b", "c", "space", "Return", "Shift_L", "Control_L", "Alt_L", "F1", "F2", "F3", "F4"]
WIDTHS = range(640, 800, 8)


def press(world: World, seat: Seat, rng: random.Random) -> None:
    """Press a key in the viewer's window and let go of it later, if the window is there."""
    key, seconds = rng.choice(KEYS), rng.uniform(0.0, 1.5)
    if world.is_stopped("X") or key in world.held:
        return
    window = world.window(seat)
    if window and world.xdotool("windowfocus", window, "keydown", key):
        world.say(f"press: {key} on {seat.name}")
        world.held.add(key)
        world.later(seconds, lambda: _let_go(world, key))


def _let_go(world: World, key: str) -> None:
    if world.is_stopped("X"):
        world.later(0.1, lambda: _let_go(world, key))
    elif key in world.held:
        world.let_go(key)


def change_modes(world: World, seat: Seat, rng: random.Random) -> None:
    """Give the guest one mode after the other, as fast as QEMU looks."""
    world.say(f"modes: {seat.name}")

    def change() -> None:
        width = rng.choice(WIDTHS)
        if seat.qemu is not None and not world.is_stopped(f"vm {seat.name}"):
            seat.qemu.vbe.set_mode(width, 480, 8)

    for number in range(20):
        world.later(0.035 * number, change)


def _stop(world: World, name: str, child: Child | None, rng: random.Random) -> None:
    """Have it stand still for a while."""
    seconds = min(3.0, rng.expovariate(1.5))
    if child is not None and world.stop(name, child):
        world.say(f"stop: {name} for {seconds:.2f} s")
        world.later(seconds, lambda: world.resume(name, child))


def stop_x(world: World, _seat: Seat, rng: random.Random) -> None:
    """Stop the X server."""
    _stop(world, "X", world.xvfb, rng)


def stop_bus(world: World, _seat: Seat, rng: random.Random) -> None:
    """Stop the message bus."""
    _stop(world, "bus", world.bus, rng)


def stop_vm(world: World, seat: Seat, rng: random.Random) -> None:
    """Stop QEMU."""
    _stop(world, f"vm {seat.name}", seat.qemu, rng)


def stop_viewer(world: World, seat: Seat, rng: random.Random) -> None:
    """Stop the viewer."""
    _stop(world, f"viewer {seat.name}", seat.viewer, rng)


def kill_viewer(world: World, seat: Seat, _rng: random.Random) -> None:
    """Kill it outright, while its VM runs, which hears of the keys pressed so far."""
    if seat.viewer is not None and not world.is_leaving(seat):
        world.say(f"kill: viewer {seat.name}")
        world.resume(f"vm {seat.name}")
        if seat.by_bus:
            world.resume("bus")
        seat.viewer.kill()


def kill_vm(world: World, seat: Seat, rng: random.Random) -> None:
    """Kill QEMU; it comes back."""
    world.say(f"kill: vm {seat.name}")
    world.end_vm(seat)
    world.later(rng.uniform(0.0, 1.0), lambda: world.start_vm(seat))


def kill_x(world: World, seat: Seat, rng: random.Random) -> None:
    """Kill the X server while a key is held; the next one has another number."""
    press(world, seat, rng)
    world.say("kill: X")
    world.replace_x()


def kill_bus(world: World, _seat: Seat, rng: random.Random) -> None:
    """Kill the bus; a VM does not come to a new one, so it is started anew, and its viewer."""
    world.say("kill: bus")
    world.replace_bus()
    (seat,) = (seat for seat in world.seats if seat.by_bus)
    world.leave(seat, rng.choice(ENDING))
    kill_vm(world, seat, rng)


def end_viewer(world: World, seat: Seat, rng: random.Random) -> None:
    """Ask the viewer to end while a key is held."""
    press(world, seat, rng)
    number = rng.choice(ENDING)
    world.later(rng.uniform(0.0, 0.3), lambda: world.leave(seat, number))


Action = Callable[[World, Seat, random.Random], None]

ACTIONS: dict[Action, float] = {
    press: 8,
    change_modes: 3,
    stop_x: 2,
    stop_bus: 1,
    stop_vm: 2,
    stop_viewer: 2,
    kill_viewer: 0.3,
    kill_vm: 0.5,
    kill_x: 0.2,
    kill_bus: 0.2,
    end_viewer: 0.4,
}
"""All of them, and how often each happens, in relation to the others."""
