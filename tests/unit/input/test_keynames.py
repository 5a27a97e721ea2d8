"""Keys by their XKB names: evdev's numbers stay what they were, others are looked through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glview.ui.keymap import qnum
from glview.x11.keynames import TABLE, qnums

DATA = Path(__file__).resolve().parents[3] / "scripts" / "data" / "xkb_key_names.json"
EVDEV = {int(code) + 8: name for name, code in json.loads(DATA.read_text()).items()}

# xfree86's keycodes: name and keycode, and the qnum that QEMU knows the key by
XFREE86 = {
    ("UP", 98): 0xC8,
    ("DOWN", 104): 0xD0,
    ("LEFT", 100): 0xCB,
    ("RGHT", 102): 0xCD,
    ("HOME", 97): 0xC7,
    ("END", 103): 0xCF,
    ("PGUP", 99): 0xC9,
    ("PGDN", 105): 0xD1,
    ("INS", 106): 0xD2,
    ("DELE", 107): 0xD3,
    ("RALT", 113): 0xB8,
    ("RCTL", 109): 0x9D,
    ("LWIN", 115): 0xDB,
    ("RWIN", 116): 0xDC,
    ("MENU", 117): 0xDD,
    ("KPEN", 108): 0x9C,
    ("KPDV", 112): 0xB5,
    ("PRSC", 111): 0x54,
    ("PAUS", 110): 0xC6,
    ("AB11", 211): 0x73,
    ("I20", 160): 0xA0,  # mute: 0xe0 0x20
    ("I2E", 174): 0xAE,  # volume down
    ("I06", 134): 0x7E,  # keypad comma of ABNT2 keyboards
    ("AC01", 38): 0x1E,
}

# Nothing on a keyboard is one of these.
MADE_UP = {"LVL3": 0xB8, "MDSW": 0xB8, "ALT": 0x38, "META": 0x38, "SUPR": 0xDB, "HYPR": 0xDB}


def test_evdevs_keycodes_keep_their_numbers() -> None:
    found = qnums(EVDEV)
    for code, name in EVDEV.items():
        if name not in MADE_UP:
            assert found.get(code) == qnum(code, "x11"), name


@pytest.mark.parametrize(("name", "number"), MADE_UP.items())
def test_keys_that_no_keyboard_has_act_as_those_they_stand_for(name: str, number: int) -> None:
    assert qnums({200: name})[200] == number


@pytest.mark.parametrize(("key", "number"), XFREE86.items(), ids=str)
def test_other_keycodes_are_looked_through(key: tuple[str, int], number: int) -> None:
    assert qnums({code: name for name, code in XFREE86})[key[1]] == number


def test_a_server_that_names_no_key_has_evdevs_numbers() -> None:
    found = qnums({})
    assert found == {code: n for code in range(256) if (n := qnum(code, "x11"))}


def test_a_key_without_a_known_name_goes_by_its_number_among_evdevs() -> None:
    names = {**EVDEV, 38: "WHAT"}
    del names[39]
    assert qnums(names)[38] == 0x1E
    assert qnums(names)[39] == 0x1F


def test_a_key_without_a_known_name_is_none_among_others() -> None:
    names = {code: name for name, code in XFREE86}
    assert 111 in qnums(names)
    assert 118 not in qnums(names)  # evdev's Insert
    assert 39 not in qnums({**names, 39: "WHAT"})


def test_every_number_is_one_of_qemus() -> None:
    words = TABLE.split()
    assert len(set(words[::2])) == len(words) / 2
    assert all(0 <= int(number, 16) < 0x100 for number in words[1::2])
