"""From the X server's keyboard and mouse to QEMU: real events, as QEMU's trace tells them.

The same under X11 and under a Wayland compositor, whose seat is a window on the X server.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.guests import splash
from tests.support.input_rig import (
    HEIGHT,
    TRACE,
    WIDTH,
    Desktop,
    Rig,
    button,
    key,
    position,
    use,
)
from tests.support.qemu import Qemu
from tests.support.screen import pattern
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

MIDDLE = 320, 240
KEYBOARD_READY = "^ps2_keyboard_set_translation .* mode 1"

# X keycodes (evdev + 8) and QEMU's names of those keys
KEYS = {38: "a", 36: "ret", 111: "up", 104: "kp_enter", 133: "meta_l", 67: "f1", 94: "less"}

# X buttons and QEMU's names of those buttons
BUTTONS = {
    1: "left",
    2: "middle",
    3: "right",
    4: "wheel-up",
    5: "wheel-down",
    6: "wheel-left",
    7: "wheel-right",
    8: "side",
    9: "extra",
}


@pytest.fixture(params=["x11", "wayland"])
def desktop(request: pytest.FixtureRequest) -> Desktop:
    """The window system that the test runs on."""
    found: Desktop = request.getfixturevalue("own_xvfb" if request.param == "x11" else "weston")
    return found


x11_only = pytest.mark.parametrize("desktop", ["x11"], indirect=True)


@pytest.fixture
def start_rig(
    tmp_path: Path,
    own_xvfb: Xvfb,
    desktop: Desktop,
    start_qemu: Callable[..., Qemu],
    start_viewer: Callable[..., Viewer],
) -> Callable[[str], Rig]:
    """A function that starts all of it, with a mouse of that name in the guest."""

    def start(mouse: str) -> Rig:
        guest = splash(tmp_path, pattern(WIDTH, HEIGHT))
        devices = ["VGA", "virtio-tablet-pci"]
        qemu = start_qemu(devices=devices, trace=TRACE, options=guest)
        until(lambda: qemu.trace(KEYBOARD_READY), "the firmware's keyboard")
        use(qemu, mouse)
        return Rig(own_xvfb, desktop, qemu, start_viewer(desktop, "--qmp", qemu.qmp_path))

    return start


@pytest.fixture
def tablet(start_rig: Callable[[str], Rig]) -> Rig:
    """A guest with an absolute pointer.

    A key would end its bootsplash, move the picture, and with it the guest's pointer.
    """
    rig = start_rig("Tablet")
    rig.point(MIDDLE[0] - 1, MIDDLE[1] - 1)  # weston 14 tells of entering, but not where
    rig.point(*MIDDLE)
    rig.wait(lambda: rig.events()[-2:] == list(position(*MIDDLE)), "the pointer")
    rig.forget()
    return rig


@pytest.fixture
def mouse(start_rig: Callable[[str], Rig]) -> Rig:
    """A guest with a relative pointer."""
    rig = start_rig("PS/2")
    rig.point(*MIDDLE)
    return rig


def test_typed_keys(mouse: Rig) -> None:
    for code in KEYS:
        mouse.hand("key", code)
    mouse.expect(*(key(name, down) for name in KEYS.values() for down in (1, 0)))
    mouse.hand("keydown", 37, "keydown", 64, "key", 119, "keyup", 64, "keyup", 37)
    mouse.expect(
        key("ctrl", 1),
        key("alt", 1),
        key("delete", 1),
        key("delete", 0),
        key("alt", 0),
        key("ctrl", 0),
    )


def test_key_held_for_two_seconds(mouse: Rig) -> None:
    """A PS/2 keyboard sends make codes while a key is held, and one break code."""
    before = len(mouse.qemu.trace("^ps2_put_keycode"))
    mouse.hand("keydown", 38)
    time.sleep(2.0)  # how long the key is held is what is tested
    mouse.hand("keyup", 38)
    mouse.wait(lambda: key("a", 0) in mouse.events(), "the key to go up")
    codes = [line.split()[-1] for line in mouse.qemu.trace("^ps2_put_keycode")[before:]]
    makes, end = codes[:-2], codes[-2:]
    assert makes == ["0x1c"] * len(makes)
    assert len(makes) >= 15
    assert end == ["0xf0", "0x1c"]


def test_held_modifier_does_not_repeat(mouse: Rig) -> None:
    mouse.hand("keydown", 50)
    time.sleep(1.0)
    mouse.hand("keyup", 50)
    mouse.expect(key("shift", 1), key("shift", 0))


def test_buttons_and_wheel(tablet: Rig) -> None:
    for number, name in BUTTONS.items():
        tablet.hand("click", number)
        tablet.expect(button(name, 1), button(name, 0))
    tablet.hand("click", 10, "click", 1)  # a button that QEMU does not have is left out
    tablet.expect(button("left", 1), button("left", 0))


def test_absolute_motion(tablet: Rig) -> None:
    for x, y in ((0, 0), (WIDTH - 1, 0), (WIDTH - 1, HEIGHT - 1), (0, HEIGHT - 1), (123, 77)):
        tablet.point(x, y)
        tablet.expect(*position(x, y))


def test_click_lands_where_the_pointer_is(tablet: Rig) -> None:
    tablet.hand("mousemove", *tablet.at(40, 50), "click", 1)
    tablet.expect(*position(40, 50), button("left", 1), button("left", 0))


def test_drag_beyond_the_edge_stays_inside(tablet: Rig) -> None:
    tablet.hand("mousemove", *tablet.at(10, 10), "mousedown", 1)
    tablet.expect(*position(10, 10), button("left", 1))
    tablet.point(WIDTH + 20, 100)
    tablet.expect(*position(WIDTH - 1, 100))
    tablet.hand("mouseup", 1)
    tablet.expect(button("left", 0))


def test_relative_motion(mouse: Rig) -> None:
    mouse.hand("mousemove_relative", 5, 5)
    mouse.hand("click", 1)  # grabs, and is passed on; what came before the grab is not
    mouse.expect(button("left", 1), button("left", 0))
    for dx, dy in ((7, 3), (-12, 5), (1, -30)):
        mouse.hand("mousemove_relative", "--", dx, dy)
    mouse.wait(lambda: mouse.moved() == (-4, -22), "the motion")
    mouse.forget()
    mouse.hand("click", 3)
    mouse.expect(button("right", 1), button("right", 0))


@x11_only  # the pointer of a nested weston stops at the edge of its output
def test_motion_beyond_the_screen_while_grabbed(mouse: Rig) -> None:
    mouse.hand("click", 1)
    mouse.expect(button("left", 1), button("left", 0))
    for _ in range(10):
        mouse.hand("mousemove_relative", 400, 0)
    mouse.wait(lambda: mouse.moved() == (4000, 0), "the motion")


def test_ctrl_alt_gives_the_pointer_back(mouse: Rig) -> None:
    mouse.hand("click", 1)
    mouse.expect(button("left", 1), button("left", 0))
    mouse.hand("keydown", 37, "keydown", 64, "key", 119, "keyup", 64, "keyup", 37)
    chord = [key("ctrl", 1), key("alt", 1), key("alt", 0), key("ctrl", 0)]
    mouse.expect(*chord[:2], key("delete", 1), key("delete", 0), *chord[2:])
    mouse.hand("mousemove_relative", 3, 2)  # Ctrl+Alt+Delete was for the guest
    mouse.expect("axis x, value 3", "axis y, value 2")
    if mouse.on_x11:
        assert "(Ctrl+Alt releases the pointer)" in mouse.viewer.window().name
    mouse.hand("keydown", 37, "keydown", 64, "keyup", 64, "keyup", 37)
    mouse.expect(*chord)
    if mouse.on_x11:
        assert "(Ctrl+Alt" not in mouse.viewer.window().name
    mouse.hand("mousemove_relative", 30, 20)
    mouse.hand("click", 1)  # grabs again; nothing of the motion in between is sent
    mouse.expect(button("left", 1), button("left", 0))
    mouse.hand("mousemove_relative", 2, 1)
    mouse.expect("axis x, value 2", "axis y, value 1")


def test_pointer_becomes_absolute_while_grabbed(mouse: Rig) -> None:
    mouse.hand("click", 1)
    mouse.expect(button("left", 1), button("left", 0))
    use(mouse.qemu, "Tablet")
    steps = itertools.cycle((6, -6))

    def follows() -> bool:
        mouse.hand("mousemove_relative", "--", next(steps), 0)
        return any("0x" in line for line in mouse.events())

    mouse.wait(follows, "the pointer to follow")
    # A nested weston takes the X pointer's steps and not its places, hence no `point`.
    mouse.hand("mousemove_relative", 30, 20)
    mouse.wait(lambda: mouse.position()[1] == MIDDLE[1] + 20, "the pointer")
    # Where the steps of 6 left it is not known: the first ones were still relative.
    assert abs(mouse.position()[0] - (MIDDLE[0] + 30)) <= 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_keys_and_buttons_are_lifted_at_the_end(mouse: Rig, number: signal.Signals) -> None:
    mouse.hand("keydown", 50, "keydown", 38, "mousedown", 1)
    mouse.wait(lambda: button("left", 1) in mouse.events(), "the button")
    mouse.viewer.signal(number)
    mouse.viewer.wait()
    down = {line.rpartition(",")[0] for line in mouse.events() if line.endswith("down 1")}
    up = [line.rpartition(",")[0] for line in mouse.events() if line.endswith("down 0")]
    assert sorted(up) == sorted(down) == ["button left", "key qcode a", "key qcode shift"]


@x11_only  # weston has no command that takes the focus away
def test_keys_are_lifted_when_the_focus_goes(mouse: Rig) -> None:
    mouse.hand("keydown", 50, "keydown", 64)
    mouse.expect(key("shift", 1), key("alt", 1))
    mouse.hand("windowfocus", _root(mouse.xvfb))
    mouse.expect(key("alt", 0), key("shift", 0))
    mouse.hand("keyup", 64, "keyup", 50)
    mouse.hand("windowfocus", mouse.viewer.window().id)
    mouse.hand("key", 38)
    mouse.expect(key("a", 1), key("a", 0))


def _root(xvfb: Xvfb) -> str:
    return xvfb.xdotool("search", "--maxdepth", 0, "--name", "").strip()
