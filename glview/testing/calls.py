"""Every call that QEMU makes on a listener: interface, member, signature, and whether it waits.

As QEMU 7.2 to 11.1 send them. `waits` is the flag NO_REPLY_EXPECTED left out.
"""

from __future__ import annotations

from dataclasses import dataclass

PATH = "/org/qemu/Display1/Listener"
LISTENER = "org.qemu.Display1.Listener"
MAP = "org.qemu.Display1.Listener.Unix.Map"
DMABUF2 = "org.qemu.Display1.Listener.Unix.ScanoutDMABUF2"
PROPERTIES = "org.freedesktop.DBus.Properties"


@dataclass(frozen=True)
class Call:
    """One kind of call; the body's types are those of `signature`."""

    interface: str
    member: str
    signature: str
    waits: bool = False


GET_ALL = Call(PROPERTIES, "GetAll", "s", waits=True)
SCANOUT = Call(LISTENER, "Scanout", "uuuuay")
UPDATE = Call(LISTENER, "Update", "iiiiuuay")
SCANOUT_MAP = Call(MAP, "ScanoutMap", "huuuuu", waits=True)
UPDATE_MAP = Call(MAP, "UpdateMap", "iiii")
SCANOUT_DMABUF = Call(LISTENER, "ScanoutDMABUF", "huuuutb")
SCANOUT_DMABUF2 = Call(DMABUF2, "ScanoutDMABUF2", "ahuuuuauauuuuutb")
UPDATE_DMABUF = Call(LISTENER, "UpdateDMABUF", "iiii", waits=True)
DISABLE = Call(LISTENER, "Disable", "")
MOUSE_SET = Call(LISTENER, "MouseSet", "iii")
CURSOR_DEFINE = Call(LISTENER, "CursorDefine", "iiiiay")
