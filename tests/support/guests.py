"""What runs in the VM: guests that fit in a test, as words for QEMU's command line."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.support.screen import Picture, bmp

SPLASH_TIME = 60_000
"""Milliseconds that a bootsplash stays; QEMU allows 65535."""


def splash(folder: Path, picture: Picture) -> list[str]:
    """SeaBIOS shows exactly `picture` (a VESA size, e.g. 1024x768) until a key is pressed.

    Escape leads to the boot menu, in text.
    """
    path = folder / "splash.bmp"
    path.write_bytes(bmp(picture))
    return ["-boot", f"menu=on,splash={path},splash-time={SPLASH_TIME}"]


def boot_menu() -> list[str]:
    """SeaBIOS prints its banner and a prompt in text and waits; Escape opens the menu."""
    return ["-boot", f"menu=on,splash-time={SPLASH_TIME}"]


def ipxe() -> list[str]:
    """iPXE from a network card's ROM, with nothing plugged in; Ctrl+B opens its shell."""
    return ["-device", "e1000,bootindex=1"]


def linux(vmlinuz: Path, serial: Path) -> list[str]:
    """A Linux kernel with no root file system: its text console ends in a panic and stays.

    The same lines go to the file `serial`. Needs 256 MiB of memory.
    """
    command_line = "vga=normal console=ttyS0 console=tty0 nokaslr mitigations=off"
    return ["-kernel", str(vmlinuz), "-append", command_line, "-serial", f"file:{serial}"]


class Mode(NamedTuple):
    """A VESA mode by its number in SeaBIOS's video BIOS, and its size on screen in pixels."""

    number: int
    width: int
    height: int


MODES = {
    "f1": Mode(0x003, 720, 400),  # text
    "f2": Mode(0x142, 640, 480),  # 32 bits
    "f3": Mode(0x143, 800, 600),  # 32 bits
    "f4": Mode(0x144, 1024, 768),  # 32 bits
    "f5": Mode(0x101, 640, 480),  # 8 bits through a palette
    "f6": Mode(0x114, 800, 600),  # 16 bits
    "f7": Mode(0x115, 800, 600),  # 24 bits
    "f8": Mode(0x013, 640, 400),  # 320x200 doubled, 8 bits
    "f9": Mode(0x111, 640, 480),  # 16 bits
    "f10": Mode(0x145, 1280, 1024),  # 32 bits
}
"""Modes by the key that sets them. Cirrus has none of 32 bits."""


def typewriter(folder: Path) -> list[str]:
    """A boot sector that prints what is typed: each key is one small update.

    F1 to F10 set the video modes of `MODES`; Escape prints without end, until
    the next key.
    """
    path = folder / "typewriter.img"
    table = b"".join(mode.number.to_bytes(2, "little") for mode in MODES.values())
    sector = _TYPEWRITER.ljust(0x100, b"\0") + table
    path.write_bytes(sector.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    return ["-drive", f"file={path},format=raw,if=ide"]


def lights(folder: Path) -> list[str]:
    """A boot sector that sets the keyboard's lights by the BIOS's lock keys, as systems do.

    SeaBIOS itself notes Caps, Num and Scroll Lock, but sets no light. F10 ends that
    here too.
    """
    path = folder / "lights.img"
    path.write_bytes(_LIGHTS.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    return ["-drive", f"file={path},format=raw,if=ide"]


# Loaded at 0x7c00, 16-bit real mode.
_LIGHTS = bytes.fromhex(
    "31c0"  # start:   xor ax, ax
    "8ed8"  #          mov ds, ax
    "8ed0"  #          mov ss, ax
    "bc007c"  #        mov sp, 0x7c00
    "b3ff"  #          mov bl, 0xff       ; the lights as they are: unknown
    "fb"  # look:      sti
    "f4"  #            hlt
    "b401"  #          mov ah, 1
    "cd16"  #          int 0x16           ; has a key been pressed?
    "7409"  #          jz lights
    "31c0"  #          xor ax, ax
    "cd16"  #          int 0x16           ; take it
    "80fc44"  #        cmp ah, 0x44
    "742a"  #          je quiet           ; F10
    "a01704"  # lights: mov al, [0x417]   ; bit 4 Scroll, 5 Num, 6 Caps
    "c0e804"  #        shr al, 4
    "2407"  #          and al, 7
    "38d8"  #          cmp al, bl
    "74e3"  #          je look
    "88c3"  #          mov bl, al
    "fa"  #            cli
    "b0ed"  #          mov al, 0xed       ; set the lights
    "e80700"  #        call send
    "88d8"  #          mov al, bl
    "e80200"  #        call send
    "ebd4"  #          jmp look
    "e660"  # send:    out 0x60, al
    "e464"  # answer:  in al, 0x64
    "a801"  #          test al, 1
    "74fa"  #          jz answer
    "e460"  #          in al, 0x60
    "3cfa"  #          cmp al, 0xfa
    "75f4"  #          jne answer
    "c3"  #            ret
    "f4"  # quiet:     hlt
    "ebfd"  #          jmp quiet
)


# Loaded at 0x7c00, 16-bit real mode. The mode table is at 0x7d00.
_TYPEWRITER = bytes.fromhex(
    "31c0"  # start:   xor ax, ax
    "8ed8"  #          mov ds, ax
    "8ed0"  #          mov ss, ax
    "bc007c"  #        mov sp, 0x7c00
    "31c0"  # key:     xor ax, ax
    "cd16"  #          int 0x16           ; wait for a key: al ASCII, ah scan code
    "84c0"  #          test al, al
    "7423"  #          jz special
    "b40e"  #          mov ah, 0x0e
    "bb0700"  #        mov bx, 7
    "cd10"  #          int 0x10           ; print al
    "3c1b"  #          cmp al, 27
    "75ed"  #          jne key
    "b40e"  # flood:   mov ah, 0x0e
    "bb0700"  #        mov bx, 7
    "46"  #            inc si
    "89f0"  #          mov ax, si
    "243f"  #          and al, 63
    "0420"  #          add al, 32         ; one of 64 printable characters
    "b40e"  #          mov ah, 0x0e
    "cd10"  #          int 0x10
    "b401"  #          mov ah, 1
    "cd16"  #          int 0x16           ; has a key been pressed?
    "74ea"  #          jz flood
    "ebd5"  #          jmp key
    "80ec3b"  # special: sub ah, 0x3b     ; F1 is 0
    "88e3"  #          mov bl, ah
    "30ff"  #          xor bh, bh
    "01db"  #          add bx, bx
    "8b9f007d"  #      mov bx, [0x7d00 + bx]
    "b8024f"  #        mov ax, 0x4f02
    "cd10"  #          int 0x10           ; set VESA mode bx
    "ebc1"  #          jmp key
)
