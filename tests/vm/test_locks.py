"""Lock keys pressed elsewhere reach the guest at the next focus, where it heeds lock keys.

Real QEMU's trace tells of the keys and of the lights that the guest sets.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from glview.ui.locksync import ANSWER_TIME
from tests.support import probe
from tests.support.desk import CAPS, F10, NUM, Desk, Key
from tests.support.guests import lights
from tests.support.idlelinux import MEMORY, READY, idle_linux
from tests.support.profile import requires
from tests.support.wait import until
from tests.vm.conftest import StartDesk

pytestmark = pytest.mark.alone  # a guest has a second for its lights

ONCE = [("caps_lock", True), ("caps_lock", False)]


def focused(desk: Desk, *codes: int, until_up: str = "") -> list[Key]:
    """Strike lock keys while the focus is elsewhere; the lock keys that the guest gets at focus.

    Waits until the key `until_up` has gone up there, if one is named.
    """
    with desk.elsewhere():
        desk.hands.strike(*codes)
    if until_up:
        desk.wait_up(until_up)
    return [key for key in desk.until_escape() if key[0].endswith("_lock")]


def lit(desk: Desk, number: int) -> None:
    """Wait for these lights."""
    until(lambda: desk.lights == number, f"lights {number}, not {desk.lights}")


@pytest.fixture
def heeding(start_desk: StartDesk, tmp_path: Path) -> Desk:
    """A guest whose lights have followed Caps Lock, in good time, and are off."""
    desk = start_desk("windowfocus", lights(tmp_path))
    lit(desk, 0)
    until(lambda: max(followed(desk, 4), followed(desk, 0)) < ANSWER_TIME / 3, "fast lights", 60)
    desk.until_escape()
    return desk


def followed(desk: Desk, number: int) -> float:
    """Strike Caps Lock and wait for these lights; returns the seconds that it took."""
    begin = time.monotonic()
    desk.hands.strike(CAPS)
    lit(desk, number)
    return time.monotonic() - begin


def test_one_press_where_the_guest_differs(heeding: Desk) -> None:
    assert focused(heeding, CAPS, until_up="caps_lock") == ONCE
    lit(heeding, 4)
    assert focused(heeding) == []
    both = [*ONCE, ("num_lock", True), ("num_lock", False)]
    assert focused(heeding, CAPS, NUM, until_up="num_lock") == both
    lit(heeding, 2)
    assert focused(heeding, CAPS, CAPS) == []
    assert heeding.lights == 2


def test_a_lock_key_that_a_grab_has_swallowed(heeding: Desk) -> None:
    with heeding.hands.grab():
        heeding.hands.strike(CAPS)
    lit(heeding, 4)
    heeding.hands.strike(CAPS)
    lit(heeding, 0)


def test_the_lock_key_held_across_the_focus(heeding: Desk) -> None:
    """A lock key that is on switches off at its release."""
    assert focused(heeding, CAPS, until_up="caps_lock") == ONCE
    lit(heeding, 4)
    with heeding.elsewhere():
        heeding.hands.press(CAPS)
    heeding.until_escape()
    heeding.hands.release(CAPS)
    lit(heeding, 0)


def test_firmware_sets_no_lights_and_gets_no_keys(start_desk: StartDesk) -> None:
    desk = start_desk("windowfocus")
    for _ in range(2):
        assert focused(desk, CAPS) == []
    desk.hands.strike(CAPS)
    desk.until_escape()
    time.sleep(1.1 * ANSWER_TIME)  # how long the guest says nothing is what is tested
    for _ in range(2):
        assert focused(desk, CAPS) == []


def test_a_guest_that_heeds_no_more_gets_one_key_and_then_none(heeding: Desk) -> None:
    heeding.hands.strike(F10)
    heeding.until_escape()
    assert focused(heeding, CAPS, until_up="caps_lock") == ONCE
    time.sleep(1.1 * ANSWER_TIME)  # how long the guest says nothing is what is tested
    for _ in range(3):
        assert focused(heeding, CAPS) == []


@requires("linux-kernel")
def test_a_linux_console(start_desk: StartDesk, tmp_path: Path) -> None:
    kernel = probe.kernel_image()
    assert kernel
    serial = tmp_path / "serial.log"
    desk = start_desk("windowfocus", idle_linux(tmp_path, kernel, serial), memory=MEMORY)
    until(lambda: READY in serial.read_text(errors="replace"), "Linux", 90)
    before = desk.lights or 0
    until(
        lambda: max(followed(desk, before ^ 4), followed(desk, before)) < ANSWER_TIME / 3,
        "fast lights",
        60,
    )
    desk.until_escape()
    assert focused(desk, CAPS, until_up="caps_lock") == ONCE
    lit(desk, before ^ 4)
    assert focused(desk) == []


def test_no_lock_sync(start_desk: StartDesk, tmp_path: Path) -> None:
    desk = start_desk("windowfocus", lights(tmp_path), ["--no-lock-sync"])
    lit(desk, 0)
    desk.hands.strike(CAPS)
    lit(desk, 4)
    desk.until_escape()
    assert focused(desk, CAPS) == []
