"""Others take the keyboard while the window keeps the focus: no key stays down in the guest.

Real window managers, a real launcher and grabs of every kind that X has, with
what real QEMU was told in its own trace.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from glview.ui.controls import GAP
from tests.support.desk import (
    ALT,
    ALT_R,
    CTRL,
    ESCAPE,
    LETTERS,
    MODIFIERS,
    SHIFT,
    SUPER,
    TAB,
    D,
    Desk,
    F,
    Key,
)
from tests.support.hands import Hands
from tests.support.wait import until
from tests.support.wm import CYCLING, WindowManager
from tests.support.x11 import Xvfb, client
from tests.vm.conftest import StartDesk

NAMES = {**MODIFIERS, **LETTERS}


@pytest.fixture(params=["openbox", "i3"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, own_xvfb: Xvfb
) -> Iterator[WindowManager]:
    """A real window manager."""
    with WindowManager(request.param, own_xvfb, tmp_path) as child:
        yield child
        child.check_alive()


@pytest.fixture
def managed(manager: WindowManager, start_desk: StartDesk) -> Iterator[Desk]:
    """A viewer's window that a window manager looks after; it has the focus at the end too."""
    desk = start_desk("windowactivate")
    desk.active = manager.active
    yield desk
    assert desk.active() == desk.window


def test_modifiers_let_go_in_every_order_and_number(desk: Desk) -> None:
    """Some during a grab, the rest after it."""
    hands = desk.hands
    for order in itertools.permutations((ALT_R, SHIFT, CTRL, SUPER)):
        for number in range(1, 5):
            hands.press(*sorted(order))
            with hands.grab():
                hands.release(*order[:number])
            desk.check_down(*order[number:])
            hands.release(*order[number:])
            desk.check_down()


GRABS: dict[str, Callable[[Desk], AbstractContextManager[None]]] = {
    "on the root": lambda desk: desk.hands.grab(),
    "on the viewer's own window": lambda desk: desk.hands.grab(desk.window),
    "by XI2": lambda desk: desk.hands.grab_by_xi2(),
}


@pytest.mark.parametrize("grab", GRABS.values(), ids=GRABS)
def test_each_modifier_and_all_of_them(
    desk: Desk, grab: Callable[[Desk], AbstractContextManager[None]]
) -> None:
    for codes in (*((code,) for code in MODIFIERS), tuple(MODIFIERS)):
        desk.hands.press(*codes)
        with grab(desk):
            desk.hands.release(*codes)
        desk.check_down()


def test_a_lifted_modifier_goes_down_again(desk: Desk) -> None:
    """GLFW has missed the release, and calls this a repeat."""
    for code in MODIFIERS:
        desk.hands.press(code)
        with desk.hands.grab():
            desk.hands.release(code)
        desk.check_down()
        desk.hands.press(code)
        desk.check_down(code)
        desk.hands.release(code)
        desk.check_down()


def test_a_modifier_is_lifted_at_the_grabs_end_without_any_other_key(desk: Desk) -> None:
    desk.hands.press(SUPER)
    with desk.hands.grab():
        desk.hands.release(SUPER)
    desk.wait_up("meta_l")


def test_a_binding_takes_a_key_and_what_is_let_go_meanwhile(desk: Desk) -> None:
    hands = desk.hands
    with hands.binding(F):
        for code in MODIFIERS:
            hands.press(code, F)
            hands.release(code, F)
            desk.check_down()
            hands.press(code, F)
            hands.release(F)
            desk.check_down(code)
            hands.release(code)
            desk.check_down()


def test_a_modifier_held_all_along_stays_down(desk: Desk) -> None:
    hands = desk.hands
    hands.press(SHIFT)
    with hands.grab():
        hands.strike(D)
    desk.check_down(SHIFT)
    with hands.grab():
        hands.release(SHIFT)
        hands.press(SHIFT)
    desk.check_down(SHIFT)
    hands.release(SHIFT)
    desk.check_down()


def test_what_goes_down_during_a_grab_is_not_pressed(desk: Desk) -> None:
    with desk.hands.grab():
        desk.hands.press(CTRL)
    desk.check_down()
    desk.hands.release(CTRL)
    desk.check_down()


def test_nothing_is_lifted_that_is_merely_typed_fast(desk: Desk) -> None:
    """Keys in and out of Shift, many at once, with gaps between: each comes, in order."""
    hands = desk.hands
    chooser = random.Random(1)
    wanted: list[Key] = []
    for _ in range(60):
        hands.press(SHIFT)
        wanted.append(("shift", True))
        if chooser.random() < 0.1:
            time.sleep(2 * GAP)  # the gap is what is tested
        for code in chooser.sample(list(LETTERS), chooser.randrange(1, 5)):
            hands.strike(code)
            wanted += [(LETTERS[code], True), (LETTERS[code], False)]
        hands.release(SHIFT)
        wanted.append(("shift", False))
    assert desk.until_escape() == wanted


def test_events_that_wait_to_be_read_keep_their_order(desk: Desk) -> None:
    """The X server is ahead of the viewer: what is up there may still have to go down here."""
    hands = desk.hands
    hands.press(SHIFT)
    desk.check_down(SHIFT)
    time.sleep(2 * GAP)  # the gap is what is tested
    with desk.standing_still():
        hands.strike(38)
        hands.release(SHIFT)
        hands.strike(39)
        hands.press(SHIFT)
        hands.strike(43)
        hands.release(SHIFT)
    keys = desk.until_escape()
    shift = [key for key in keys if key[0] == "shift"]
    assert shift == [("shift", False), ("shift", True), ("shift", False)]
    assert [name for name, down in keys if down] == ["a", "s", "shift", "h"]
    assert keys.index(("a", True)) < keys.index(("shift", False)) < keys.index(("s", True))


def test_a_grab_that_waits_to_be_read_keeps_its_place(desk: Desk) -> None:
    """Letters typed before the grab still reach the guest with the modifier that it swallowed."""
    hands = desk.hands
    for _ in range(2):
        with desk.standing_still():
            hands.press(SHIFT)
            hands.strike(38)
            with hands.grab():
                hands.release(SHIFT)
            hands.strike(39)
        wanted = [("shift", True), ("a", True), ("a", False), ("shift", False), ("s", True)]
        assert desk.until_escape() == [*wanted, ("s", False)]
        desk.hands.press(SHIFT)
        desk.check_down(SHIFT)
        time.sleep(2 * GAP)  # the gap is what is tested
        with desk.standing_still():
            hands.strike(38)
            with hands.grab():
                hands.release(SHIFT)
            hands.strike(39)
        assert desk.until_escape() == [*wanted[1:], ("s", False)]


def test_what_is_held_again_when_the_viewer_looks_stays_down(desk: Desk) -> None:
    """Let go of in one grab and pressed in the next, while the viewer reads nothing."""
    hands = desk.hands
    for code in MODIFIERS:
        hands.press(code)
        desk.check_down(code)
        with desk.standing_still():
            for act in (hands.release, hands.press):
                with hands.grab():
                    act(code)
        desk.check_down(code)
        hands.release(code)
        desk.check_down()


@pytest.mark.parametrize(
    ("seed", "rounds"), [(1, 60), pytest.param(2, 600, marks=pytest.mark.long)]
)
def test_keys_and_grabs_at_random(desk: Desk, seed: int, rounds: int) -> None:
    """In the guest the keys are down that are down on the host and that the window saw.

    A key let go of in one grab and pressed in another stays down in the guest unless the
    viewer compares in between, so before such a grab this test waits until it has.
    """
    hands, chooser = desk.hands, random.Random(seed)
    for _ in range(rounds):
        seen = {code for code in hands.down if NAMES[code] in desk.down}
        pressed: Counter[str] = Counter()
        swallowed: set[int] = set()
        for _ in range(chooser.randrange(1, 4)):
            before = set(hands.down)
            change(hands, choose(chooser))
            seen = (seen | hands.down - before) & hands.down
            pressed.update(NAMES[code] for code in hands.down - before)
            in_grab = choose(chooser)
            if swallowed.intersection(in_grab) - hands.down:
                check_seen(desk, seen, pressed)
                pressed.clear()
                swallowed.clear()
            with hands.grab():
                change(hands, in_grab)
            swallowed |= seen - hands.down
            seen &= hands.down
        check_seen(desk, seen, pressed)


def check_seen(desk: Desk, seen: set[int], pressed: Counter[str]) -> None:
    """Check that just the keys `seen` are down, and that no modifier was pressed too often."""
    keys = desk.until_escape()
    assert desk.at_escape == {NAMES[code] for code in seen}
    sent = Counter(name for name, down in keys if down and name in MODIFIERS.values())
    assert sent <= pressed


def choose(chooser: random.Random) -> list[int]:
    """Choose up to five keys, in some order."""
    return chooser.sample(list(NAMES), chooser.randrange(6))


def change(hands: Hands, codes: Iterable[int]) -> None:
    """Let go of those of the keys that are down, and press the others."""
    for code in codes:
        (hands.release if code in hands.down else hands.press)(code)


@pytest.fixture
def other_window(managed: Desk, own_xvfb: Xvfb) -> Iterator[int]:
    """A second window, which has not got the focus."""
    with client(own_xvfb, ["xev"]):
        found = own_xvfb.xdotool("search", "--sync", "--onlyvisible", "--name", "Event Tester")
        own_xvfb.xdotool("windowactivate", "--sync", managed.window)
        managed.check_down()
        yield int(found)


@pytest.mark.parametrize("manager", ["openbox"], indirect=True)
@pytest.mark.usefixtures("other_window")
def test_alt_tab_round_to_the_same_window(managed: Desk, own_xvfb: Xvfb) -> None:
    """The window manager has the keyboard until Alt is let go, which it keeps to itself."""
    for last in (TAB, ESCAPE):
        managed.hands.press(ALT)
        managed.hands.strike(TAB)
        own_xvfb.xdotool("search", "--sync", "--onlyvisible", "--class", CYCLING)
        managed.hands.strike(last)
        managed.hands.release(ALT)
        managed.wait_up("alt")  # the window manager takes its time to give the keyboard back
        managed.check_down()


@pytest.mark.parametrize("manager", ["i3"], indirect=True)
def test_alt_tab_to_another_window_and_back(managed: Desk, other_window: int) -> None:
    """The focus moves while Alt is held."""
    managed.hands.press(ALT)
    for window in (other_window, managed.window):
        managed.hands.strike(TAB)
        until(lambda: managed.active() == window, "the focus to move")  # noqa: B023
    managed.hands.release(ALT)
    managed.check_down()


def test_a_binding_of_the_window_managers(managed: Desk) -> None:
    for order in ((SUPER, F), (F, SUPER)):
        managed.hands.press(SUPER, F)
        managed.hands.release(*order)
        managed.check_down()


def test_a_launcher_of_the_window_managers(managed: Desk, own_xvfb: Xvfb) -> None:
    hands = managed.hands
    for early in ((D,), (D, SUPER), (SUPER, D)):
        hands.press(SUPER, D)
        hands.release(*early)
        menu = own_xvfb.xdotool("search", "--sync", "--onlyvisible", "--class", "dmenu")
        hands.release(*{SUPER, D}.difference(early))
        hands.strike(ESCAPE)
        until(lambda: own_xvfb.window(int(menu)) is None, "dmenu to close")  # noqa: B023
        managed.check_down()
