"""What runs in the VM: guests that fit in a test, as words for QEMU's command line."""

from __future__ import annotations

from pathlib import Path

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


def linux(vmlinuz: Path, vga: str = "normal") -> list[str]:
    """A Linux kernel with no root file system: its console ends in a panic and stays.

    `vga` is the kernel's video mode: `normal` for text, `0x318` for a linear
    frame buffer of 1024x768.
    """
    command_line = f"vga={vga} console=tty0 nokaslr mitigations=off"
    return ["-kernel", str(vmlinuz), "-append", command_line]


MODES = {
    "f1": 0x003,  # text, 720x400 on screen
    "f2": 0x142,  # 640x480, 32 bits
    "f3": 0x143,  # 800x600, 32 bits
    "f4": 0x144,  # 1024x768, 32 bits
    "f5": 0x101,  # 640x480, 8 bits through a palette
    "f6": 0x114,  # 800x600, 16 bits
    "f7": 0x115,  # 800x600, 24 bits
    "f8": 0x013,  # 320x200, 8 bits
    "f9": 0x111,  # 640x480, 16 bits
    "f10": 0x145,  # 1280x1024, 32 bits
}
"""Key to VESA mode number of SeaBIOS's video BIOS; not every device has each."""


def typewriter(folder: Path) -> list[str]:
    """A boot sector that prints what is typed: each key is one small update.

    F1 to F10 set the video modes of `MODES`; Escape prints without end, until
    the next key.
    """
    path = folder / "typewriter.img"
    table = b"".join(mode.to_bytes(2, "little") for mode in MODES.values())
    sector = _TYPEWRITER.ljust(0x100, b"\0") + table
    path.write_bytes(sector.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    return ["-drive", f"file={path},format=raw,if=ide"]


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
