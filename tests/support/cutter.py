"""Reads shared memory that has been cut off: ``python -m tests.support.cutter CASE``.

Where reading does not survive, it is this process that ends.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import threading
from collections.abc import Callable

from glview.scanout.busfault import Guard
from glview.scanout.formats import BY_PIXMAN, to_bgrx
from glview.scanout.memory import Memory

PAGE = mmap.PAGESIZE
SIZE = 20 * PAGE
OFFSETS = 0, 100, PAGE + 8
LEFT = 0, 1, PAGE, 7 * PAGE + 100, SIZE - PAGE

_libc = ctypes.CDLL(None)


def _by_bytes(memory: Memory) -> bytes:
    """Holding the interpreter."""
    return memory.view.tobytes()


def _by_call(memory: Memory) -> bytes:
    """In a call out of Python, as OpenGL reads."""
    target = ctypes.create_string_buffer(memory.size)
    _libc.memcpy(target, ctypes.c_void_p(memory.address), ctypes.c_size_t(memory.size))
    return target.raw


def _by_numpy(memory: Memory) -> bytes:
    """As pictures of rare formats are read."""
    return to_bgrx(memory.view, memory.size // 4, 1, memory.size, BY_PIXMAN[0x20020888]).tobytes()


def _backwards(memory: Memory) -> bytes:
    """The last page first."""
    return bytes(memory.view[::-1])[::-1]


READERS: dict[str, Callable[[Memory], bytes]] = {
    "bytes": _by_bytes,
    "call": _by_call,
    "numpy": _by_numpy,
    "backwards": _backwards,
}


def _file(size: int) -> int:
    """A memory file of bytes 0x55."""
    fd = os.memfd_create("cut")
    os.write(fd, b"\x55" * size)
    return fd


def _read(reader: Callable[[Memory], bytes], offset: int, left: int) -> None:
    """What is left is read, then zeros; and that for good, also if the file grows again."""
    fd = _file(offset + SIZE)
    memory = Memory(SIZE, fd, offset)
    os.ftruncate(fd, left)
    there = b"\x55" * max(0, left - offset)
    want = there + bytes(SIZE - len(there))
    mask = b"\xff" * SIZE if reader is not _by_numpy else b"\xff\xff\xff\0" * (SIZE // 4)
    for _ in range(2):
        got = int.from_bytes(reader(memory)) & int.from_bytes(mask)
        assert got == int.from_bytes(want) & int.from_bytes(mask), f"{offset}, {left}"
        os.ftruncate(fd, offset + SIZE)
    memory.close()


def _every(name: str, guard: Guard) -> None:
    for count, (offset, left) in enumerate(((o, n) for o in OFFSETS for n in LEFT), 1):
        _read(READERS[name], offset, left)
        assert guard.cut == count, f"{guard.cut} faults for {count} files"


def _threads() -> None:
    """Several at once, with and without holding the interpreter."""
    names: list[str] = []
    guard = Guard(lambda: names.append(threading.current_thread().name))
    guard.start()

    def work() -> None:
        for number in range(20):
            _read((_by_bytes, _by_call)[number % 2], 100, number * PAGE // 2)

    threads = [threading.Thread(target=work, name=f"t{n}") for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert guard.cut == len(names) == 80
    assert {name: names.count(name) for name in names} == dict.fromkeys(
        ("t0", "t1", "t2", "t3"), 20
    )


def _foreign(_guard: Guard) -> None:
    """Memory that nobody said anything about."""
    fd = _file(PAGE)
    other = mmap.mmap(fd, PAGE)
    os.ftruncate(fd, 0)
    other[:]


def _stopped(guard: Guard) -> None:
    guard.stop()
    _read(_by_bytes, 0, 0)


def _sent(_guard: Guard) -> None:
    os.kill(os.getpid(), signal.SIGBUS)


DEADLY: dict[str, Callable[[Guard], None]] = {
    "foreign": _foreign,
    "stopped": _stopped,
    "sent": _sent,
}


def main(case: str) -> None:
    """Run one case."""
    if case == "threads":
        _threads()
        return
    guard = Guard(lambda: None)
    guard.start()
    if case in READERS:
        _every(case, guard)
    else:
        DEADLY[case](guard)
        print("survived")


if __name__ == "__main__":
    main(sys.argv[1])
