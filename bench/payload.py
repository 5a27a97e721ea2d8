"""What runs in a real QEMU under test: a boot sector that draws what its serial port says.

It sets the VESA mode of `SIZE` with 32 bits, fills the screen with the first colour, and
waits on COM1. Each byte has it fill the screen, or `SQUARE` in the middle of it, with one
colour; when that is drawn, it answers `DONE`. Between bytes the CPU is halted.
"""

from __future__ import annotations

import struct
from pathlib import Path

from bench.measure import COLOURS as CHANGES
from bench.measure import FIRST, square

SIZE = 1024, 768
SQUARE = square(*SIZE)
COLOURS = (FIRST, *CHANGES)
"""By their numbers, 0x00RRGGBB; the screen is of the first one at the start."""
DONE = b"!"

_IN_SQUARE = 4
_GDT = 0x7D10
_FLAT_DATA = bytes.fromhex("ffff 000000 92 cf 00")  # a writable segment of 4 GiB at 0


def options(folder: Path, serial: Path) -> list[str]:
    """Words for QEMU's command line, which boots it; `serial` is a socket that listens."""
    path = folder / "payload.img"
    path.write_bytes(sector() + bytes(1 << 20))
    return [
        *("-drive", f"file={path},format=raw,if=ide"),
        *("-chardev", f"socket,id=serial,path={serial}", "-serial", "chardev:serial"),
    ]


def order(colour: int, *, in_square: bool = False) -> bytes:
    """The byte that has the screen, or the square, filled with the colour of that number."""
    return bytes([colour | (_IN_SQUARE if in_square else 0)])


def sector() -> bytes:
    """The 512 bytes: code, colours at 0x7d00, the GDT behind them, the BIOS's signature."""
    colours = struct.pack("<4I", *COLOURS, 0)
    table = bytes(8) + _FLAT_DATA + struct.pack("<HI", 15, _GDT)
    return (_CODE.ljust(0x100, b"\0") + colours + table).ljust(510, b"\0") + b"\x55\xaa"


# Loaded at 0x7c00, 16-bit real mode; es is flat from "unreal mode" on, and nothing loads it
# again. One interrupt is let through, COM1's, to end the halt.
_CODE = bytes.fromhex(
    "31c0"  # start:        xor ax, ax
    "8ed8"  #               mov ds, ax
    "8ec0"  #               mov es, ax
    "8ed0"  #               mov ss, ax
    "bc007c"  #             mov sp, 0x7c00
    "fc"  #                 cld
    "b8024f"  #             mov ax, 0x4f02
    "bb4441"  #             mov bx, 0x4144     ; 1024x768, 32 bits, linear
    "cd10"  #               int 0x10           ; set VESA mode bx
    "b8014f"  #             mov ax, 0x4f01
    "b94441"  #             mov cx, 0x4144
    "bf0080"  #             mov di, 0x8000
    "cd10"  #               int 0x10           ; what the mode is like; 0x8028: its address
    "fa"  #                 cli
    "c7063000af7c"  #       mov word [0x30], irq4
    "c70632000000"  #       mov word [0x32], 0
    "b0ef"  #               mov al, 0xef
    "e621"  #               out 0x21, al       ; interrupts: IRQ 4 alone
    "baf903"  #             mov dx, 0x3f9
    "b001"  #               mov al, 1
    "ee"  #                 out dx, al         ; COM1 interrupts for each byte that came
    "bafc03"  #             mov dx, 0x3fc
    "b00b"  #               mov al, 0x0b
    "ee"  #                 out dx, al         ; and its interrupt line is connected
    "0f0116207d"  #         lgdt [0x7d20]
    "0f20c0"  #             mov eax, cr0
    "0c01"  #               or al, 1
    "0f22c0"  #             mov cr0, eax
    "bb0800"  #             mov bx, 8
    "8ec3"  #               mov es, bx
    "24fe"  #               and al, 0xfe
    "0f22c0"  #             mov cr0, eax       ; unreal mode
    "b000"  #               mov al, 0
    "eb11"  #               jmp fill           ; everything, with the first colour
    "fa"  # wait:           cli
    "bafd03"  #             mov dx, 0x3fd
    "ec"  #                 in al, dx
    "a801"  #               test al, 1         ; is there a byte?
    "7504"  #               jnz read
    "fb"  #                 sti                ; takes effect after the next instruction
    "f4"  #                 hlt
    "ebf3"  #               jmp wait
    "baf803"  # read:       mov dx, 0x3f8
    "ec"  #                 in al, dx
    "668b3e2880"  # fill:   mov edi, [0x8028]
    "be0004"  #             mov si, 1024       ; pixels in a row
    "bd0003"  #             mov bp, 768        ; rows
    "a804"  #               test al, 4
    "740d"  #               jz colour
    "6681c780071600"  #     add edi, (352 * 1024 + 480) * 4
    "be4000"  #             mov si, 64
    "bd4000"  #             mov bp, 64
    "83e003"  # colour:     and ax, 3
    "c1e002"  #             shl ax, 2
    "89c3"  #               mov bx, ax
    "668b87007d"  #         mov eax, [0x7d00 + bx]
    "660fb7ce"  # row:      movzx ecx, si
    "6689fa"  #             mov edx, edi
    "6766f3ab"  #           rep stosd          ; at es:edi
    "67668dba00100000"  #   lea edi, [edx + 4096]
    "4d"  #                 dec bp
    "75ea"  #               jnz row
    "baf803"  #             mov dx, 0x3f8
    "b021"  #               mov al, '!'
    "ee"  #                 out dx, al         ; done
    "eba8"  #               jmp wait
    "50"  # irq4:           push ax
    "b020"  #               mov al, 0x20
    "e620"  #               out 0x20, al       ; end of interrupt
    "58"  #                 pop ax
    "cf"  #                 iret
)
