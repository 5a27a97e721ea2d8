"""Memory that others have cut off reads as zeros, where the kernel would end us by SIGBUS.

QEMU shares its pictures as memory files, and seals them in such a way that
nobody can forbid it to make them smaller. Whoever then reads a page that has
gone is sent SIGBUS. The handler here puts pages of zeros in its place and
returns, and the reading goes on where it was interrupted.

That may run Python in a signal handler because this signal comes from one
place only: an instruction that reads a `Memory`, so one that copies pixels,
in which no lock is held that Python needs. A thread that is out of Python
meanwhile, in a call of GL's, waits for the interpreter as any callback does.

Two things it cannot do. Where a thread has the signal blocked, the kernel
ends the process whatever handler there is, and Mesa's threads have; so only
memory that cannot be cut off is given to a driver (`checks.may_shrink`). And
a debugger sees the signal first: `handle SIGBUS nostop noprint` in gdb.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

from glview.scanout import memory

_BUS_ADRERR = 2  # asm-generic/siginfo.h
_SA_SIGINFO = 4  # asm-generic/signal-defs.h

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class _Info(ctypes.Structure):
    """The start of siginfo_t."""

    _fields_ = (
        ("number", ctypes.c_int),
        ("errno", ctypes.c_int),
        ("code", ctypes.c_int),
        ("address", ctypes.c_void_p),
    )


class _Action(ctypes.Structure):
    """`struct sigaction` of libc, as it is on every machine but MIPS, S/390 and Alpha."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ubyte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_libc.sigaction.argtypes = (ctypes.c_int, ctypes.POINTER(_Action), ctypes.POINTER(_Action))


class Guard:
    """Catches SIGBUS from `start` to `stop`; a process has one at a time.

    `cut` counts how often memory was missing; `on_cut` is called each time,
    in whatever thread read it: it may set a flag and ring a bell.
    """

    def __init__(self, on_cut: Callable[[], None]) -> None:
        self.cut = 0
        self._on_cut = on_cut
        self._handler = _Handler(self._caught)
        self._before: _Action | None = None

    def start(self) -> None:
        """From now on. Nothing happens where the system will not have it so."""
        address = ctypes.cast(self._handler, ctypes.c_void_p).value
        before = _Action()
        action = _Action(handler=address, flags=_SA_SIGINFO)
        if _libc.sigaction(signal.SIGBUS, ctypes.byref(action), ctypes.byref(before)) == 0:
            self._before = before

    def stop(self) -> None:
        """Let the signal do what it did before."""
        if self._before is not None:
            _libc.sigaction(signal.SIGBUS, ctypes.byref(self._before), None)
            self._before = None

    def _caught(self, number: int, where: int, _context: int) -> None:
        info = _Info.from_address(where)
        if info.code == _BUS_ADRERR and self._mend(info.address or 0):
            self.cut += 1
            self._on_cut()
            return
        self.stop()  # not ours: a fault will come again, a signal of somebody's must be sent again
        if info.code <= 0:
            os.kill(os.getpid(), number)

    @staticmethod
    def _mend(address: int) -> bool:
        """Let the mapping at `address` be read; False if that is none of ours."""
        found = memory.mapping(address)
        if found is None:
            return False
        try:
            found.blank(address)
        except OSError:
            return False
        return True
