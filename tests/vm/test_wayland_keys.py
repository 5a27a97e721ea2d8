"""A compositor that keeps the release of a key to itself: no key stays down in the guest.

Real weston and sway, whose bindings and window switcher take keys; what the guest was
told is in real QEMU's trace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from glview.ui.controls import GAP
from tests.support.desk import ALT, CAPS, CTRL, ESCAPE, NUM, SHIFT, SUPER, TAB, B, Key
from tests.support.guests import lights
from tests.support.hands import Hands
from tests.support.process import Child
from tests.support.qemu import Qemu
from tests.support.sway import Sway
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.wayland_relay import Relay
from tests.support.weston import Weston
from tests.support.x11 import Xvfb


class Desk:
    """A viewer under weston, hands on the keyboard of weston's window, and the guest's view."""

    def __init__(self, xvfb: Xvfb, hands: Hands, qemu: Qemu, viewer: Viewer) -> None:
        self._xvfb = xvfb
        self.hands, self._qemu, self._viewer = hands, qemu, viewer
        self._seen = 0
        until(self._typed, "the first key", 20.0)
        self.until_escape()

    def _typed(self) -> bool:
        self._viewer.check_alive()
        self.hands.strike(B)
        return bool(self._lines())

    def _lines(self) -> list[str]:
        return self._qemu.trace("^input_event_key")[self._seen :]

    def until_escape(self) -> list[Key]:
        """Strike Escape; the keys that came since the last look."""
        self.hands.strike(ESCAPE)
        until(lambda: [line for line in self._lines() if line.endswith("esc, down 0")], "Escape")
        lines = self._lines()
        self._seen += len(lines)
        parts = (line.partition("key qcode ")[2].partition(", down ") for line in lines)
        return [(name, down == "1") for name, _, down in parts]

    def wait_lights(self, number: int) -> None:
        """Wait until the guest has set these lights: 1 Scroll, 2 Num, 4 Caps."""

        def lights() -> int:
            lines = self._qemu.trace("^ps2_set_ledstate")
            return int(lines[-1].split()[-1], 0) if lines else -1

        until(lambda: lights() == number, f"lights {number}")

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Have X's focus and pointer on no window of weston's."""
        tool = self._xvfb.xdotool
        (window,) = tool("search", "--onlyvisible", "--class", "weston").split()
        tool("mousemove", 1900, 1100)
        tool("windowfocus", self.hands.root)
        try:
            yield
        finally:
            tool("windowfocus", "--sync", window)  # the pointer stays out: that is a focus too
            before = len(self._lines())

            def reached() -> bool:
                self.hands.strike(B)
                return len(self._lines()) > before

            until(reached, "a key after the focus has come back")


@pytest.fixture
def desk(
    own_xvfb: Xvfb,
    weston: Weston,
    start_qemu: Callable[..., Qemu],
    start_viewer: Callable[..., Viewer],
    tmp_path: Path,
) -> Iterator[Desk]:
    trace = ["input_event_key*", "ps2_set_ledstate"]
    qemu = start_qemu(trace=trace, options=lights(tmp_path))
    viewer = start_viewer(weston, "--qmp", qemu.qmp_path)
    with Hands(own_xvfb) as hands:
        yield Desk(own_xvfb, hands, qemu, viewer)
        viewer.check_alive()


@pytest.mark.parametrize("other", [None, SHIFT, CTRL, ALT], ids=["alone", "shift", "ctrl", "alt"])
def test_the_window_switcher_has_the_keyboard_for_a_while(desk: Desk, other: int | None) -> None:
    """Super+Tab round to the same window, with more keys going up and down meanwhile."""
    more = () if other is None else (other,)
    desk.hands.press(SUPER, *more)
    desk.hands.release(*more)
    desk.hands.strike(TAB)
    desk.hands.press(*more)
    desk.hands.release(SUPER, *more)
    time.sleep(2 * GAP)
    keys = desk.until_escape()
    up: set[str] = set()
    for name, down in keys[: keys.index(("esc", True))]:
        (up.discard if down else up.add)(name)
    assert ("meta_l", True) in keys
    assert {name for name, down in keys if down} - up == {"esc"}


@pytest.mark.parametrize("code", [ALT, CTRL, SHIFT, SUPER])
def test_a_release_that_the_compositor_keeps(
    code: int,
    own_xvfb: Xvfb,
    weston: Weston,
    start_qemu: Callable[..., Qemu],
    start_viewer: Callable[..., Viewer],
    tmp_path: Path,
) -> None:
    """The focus stays: only a new description of the keyboard tells that the key is up."""
    path = weston.folder / "wayland-relay"
    with Relay(path, weston.socket) as relay, Hands(own_xvfb) as hands:
        qemu = start_qemu(trace=["input_event_key*"])
        env = {"WAYLAND_DISPLAY": path.name}
        with Viewer(tmp_path, weston, "--qmp", qemu.qmp_path, env=env) as viewer:
            desk = Desk(own_xvfb, hands, qemu, viewer)
            hands.press(code)
            relay.kept.add(code - 8)
            hands.release(code)
            until(lambda: relay.swallowed, "the release to be kept")
            time.sleep(2 * GAP)
            keys = desk.until_escape()
    (name,) = {name for name, _ in keys} - {"esc"}
    assert keys.index((name, False)) < keys.index(("esc", True))


def test_keys_that_are_held_stay_down(desk: Desk) -> None:
    """The comparison lifts nothing that a hand still holds, however long."""
    desk.hands.press(SHIFT)
    for _ in range(3):
        time.sleep(1.5 * GAP)
        assert ("shift", False) not in desk.until_escape()
    desk.hands.release(SHIFT)
    assert ("shift", False) in desk.until_escape()


def test_a_lock_pressed_elsewhere(desk: Desk) -> None:
    """Caps Lock while weston hears of no keys, only of the lock: one press of it in the guest."""
    for number in (4, 0):
        desk.hands.strike(CAPS)
        desk.wait_lights(number)
    desk.until_escape()
    with desk.elsewhere():
        desk.hands.strike(CAPS)
    desk.wait_lights(4)
    keys = desk.until_escape()
    assert [key for key in keys if key[0] == "caps_lock"] == [
        ("caps_lock", True),
        ("caps_lock", False),
    ]


def test_another_key_that_locks_caps(own_xvfb: Xvfb, request: pytest.FixtureRequest) -> None:
    """Escape locks Caps on the host alone: the guest gets Escape, and no lock key for it."""
    own_xvfb.xkb_options("caps:swapescape")
    desk: Desk = request.getfixturevalue("desk")
    for number in (2, 0):  # the guest's lights follow its keys
        desk.hands.strike(NUM)
        desk.wait_lights(number)
    desk.until_escape()
    for _ in range(2):
        desk.hands.strike(B)
        assert desk.until_escape() == [("b", True), ("b", False), ("esc", True), ("esc", False)]


def test_a_keyboard_that_comes_and_goes(
    tmp_path: Path, start_qemu: Callable[..., Qemu], start_viewer: Callable[..., Viewer]
) -> None:
    """A seat without devices; then a keyboard that is unplugged while a key is down, twice."""
    with Sway(tmp_path) as sway:
        qemu = start_qemu(trace=["input_event_key*"])
        viewer = start_viewer(sway, "--qmp", qemu.qmp_path)
        sway.window()
        sway.msg("[app_id=glview]", "focus")

        def keys(end: str) -> int:
            return len(qemu.trace(f"^input_event_key.*{end}$"))

        for round_ in (1, 2):
            before = keys("down 1")
            # It sleeps first, for the viewer to see the keyboard, and then holds the key.
            words = "wtype", "-s", "1000", "-P", "b", "-s", "60000"
            with Child(words, tmp_path / f"wtype{round_}.log", env=sway.environment()):
                until(lambda: keys("down 1") > before, "the key")  # noqa: B023
            until(lambda: keys("down 0") == keys("down 1"), "the key to be lifted")
        viewer.check_alive()
