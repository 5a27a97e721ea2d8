"""Keys are known by name: X servers with keycodes of every kind, as QEMU's trace tells them."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.desk import ESCAPE, Desk, Key
from tests.support.x11 import Xvfb

# XKB names of keys and QEMU's names of them: what all kinds of keycodes have ...
_COMMON = """
    UP=up DOWN=down LEFT=left RGHT=right HOME=home END=end PGUP=pgup PGDN=pgdn
    INS=insert DELE=delete RALT=alt_r RCTL=ctrl_r LWIN=meta_l RWIN=meta_r
    KPEN=kp_enter KPDV=kp_divide KP7=kp_7 KPDL=kp_decimal PAUS=pause
    LSGT=less BKSL=backslash AB11=ro FK11=f11 FK12=f12
    AC01=a AD01=q AB10=slash RTRN=ret LFSH=shift LCTL=ctrl LALT=alt CAPS=caps_lock
"""
COMMON = dict(word.split("=") for word in _COMMON.split())
# ... and what one kind has. (Print is left out: QEMU has had two names for it.)
EVDEV = {"MUTE": "audiomute", "VOL+": "volumeup", "I180": "ac_home"}
XFREE86 = {"I20": "audiomute", "I30": "volumeup", "I32": "ac_home"}


def set_keycodes(xvfb: Xvfb, name: str) -> dict[str, int]:
    """Load xkb-data's keycodes of that name; returns the keycodes of XKB names."""
    env = xvfb.environment()
    subprocess.run(
        ["setxkbmap", "-keycodes", f"{name}+aliases(qwerty)", "-layout", "us"],
        env=env,
        check=True,
        timeout=20,
    )
    loaded = subprocess.run(
        ["xkbcomp", "-xkb", xvfb.display, "-"],
        env=env,
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    ).stdout.partition("};")[0]
    return {key: int(code) for key, code in re.findall(r"<(\S+)> = (\d+);", loaded)}


def struck(desk: Desk, codes: dict[str, int], names: dict[str, str]) -> dict[str, str]:
    """Strike keys by their XKB names; returns QEMU's names of what the guest got for each."""
    found = {}
    for name in names:
        desk.hands.strike(codes[name])
    keys = iter([key for key, down in desk.until_escape() if down])
    for name in names:
        found[name] = next(keys, "nothing")
    return found


@pytest.mark.parametrize(("kind", "own"), [("evdev", EVDEV), ("xfree86", XFREE86)])
def test_keys_of_a_server_with_such_keycodes(
    own_xvfb: Xvfb, request: pytest.FixtureRequest, kind: str, own: dict[str, str]
) -> None:
    codes = set_keycodes(own_xvfb, kind)
    assert codes["UP"] == {"evdev": 111, "xfree86": 98}[kind]
    desk: Desk = request.getfixturevalue("desk")
    names = {**COMMON, **own}
    assert struck(desk, codes, names) == names


def test_keycodes_change_while_the_viewer_runs(desk: Desk, own_xvfb: Xvfb) -> None:
    """A key that is held meanwhile goes up as what it went down as."""
    desk.hands.press(111)
    assert desk.until_escape() == [("up", True)]
    codes = set_keycodes(own_xvfb, "xfree86")
    desk.hands.release(111)
    keys: list[Key] = [key for key in desk.until_escape() if key != ("up", True)]
    assert keys == [("up", False)]
    assert struck(desk, codes, COMMON) == COMMON
    codes = set_keycodes(own_xvfb, "evdev")
    assert struck(desk, codes, COMMON) == COMMON
    assert codes["ESC"] == ESCAPE
