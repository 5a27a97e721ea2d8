"""The scancode table: known keys on both window systems, and the generator."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from glview.ui.keymap import Platform, qnum

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"

# evdev code: qnum, as QEMU's own trace names them
KNOWN = {
    30: 0x1E,  # a
    28: 0x1C,  # Return
    96: 0x9C,  # keypad Enter
    103: 0xC8,  # Up
    69: 0x45,  # Num Lock
    119: 0xC6,  # Pause
    99: 0x54,  # SysRq
    29: 0x1D,  # left Ctrl
    97: 0x9D,  # right Ctrl
    125: 0xDB,  # left Super
    126: 0xDC,  # right Super
    127: 0xDD,  # Menu
}


@pytest.mark.parametrize(("code", "number"), KNOWN.items())
def test_known_keys(code: int, number: int) -> None:
    assert qnum(code, "wayland") == number
    assert qnum(code + 8, "x11") == number


@pytest.mark.parametrize("platform", ["x11", "wayland"])
@pytest.mark.parametrize("scancode", [-8, -1, 0, 8 + 170, 240 + 8, 255, 10**6])
def test_unknown_keys(scancode: int, platform: Platform) -> None:
    code = scancode - 8 if platform == "x11" else scancode
    expected = json.loads((SCRIPTS / "data" / "linux_to_qnum.json").read_text()).get(str(code))
    assert qnum(scancode, platform) == expected


def test_whole_table_fits_qnum_range() -> None:
    source = json.loads((SCRIPTS / "data" / "linux_to_qnum.json").read_text())
    assert len(source) == 236
    for code, number in source.items():
        assert qnum(int(code), "wayland") == number
        assert 0 < number < 0x100


def test_module_is_what_the_generator_writes() -> None:
    check = subprocess.run(
        [sys.executable, str(SCRIPTS / "make-keymap"), "--check"], check=False, timeout=30
    )
    assert check.returncode == 0
