"""What is kept of shared memory: mapped once, held as long as somebody reads it, bounded."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from glview.scanout import kept
from glview.scanout.kept import Maps
from glview.scanout.memory import Memory, mapping

SIZE = 8192


@pytest.fixture
def maps() -> Iterator[Maps]:
    """An empty cache."""
    maps = Maps()
    yield maps
    maps.end()


@pytest.fixture
def files() -> Iterator[list[int]]:
    """Memory files, each with a byte of its own at 5000."""
    files = [os.memfd_create(f"file {number}") for number in range(12)]
    for number, fd in enumerate(files):
        os.ftruncate(fd, SIZE)
        os.pwrite(fd, bytes((number,)), 5000)
    yield files
    for fd in files:
        os.close(fd)


def shown(maps: Maps, fd: int) -> Memory:
    """The mapping of a file that is announced by another descriptor of it."""
    return maps.memory(os.dup(fd), 0, SIZE)


def there(address: int) -> bool:
    """Whether something is mapped at that address."""
    return mapping(address) is not None


def test_known_again(maps: Maps, files: list[int]) -> None:
    """By another descriptor, which is closed at once."""
    first = shown(maps, files[1])
    fds = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        assert shown(maps, files[1]) is first
    assert len(os.listdir("/proc/self/fd")) == fds
    assert first.view[5000] == 1
    assert maps.counts.triple == (1, 10, 0)
    assert str(maps.counts) == "1 imports, 10 hits, 0 evictions"
    for _ in range(11):
        first.close()


def test_another_part_is_another_mapping(maps: Maps, files: list[int]) -> None:
    """So is another file."""
    parts = [(files[1], 0, SIZE), (files[1], 0, 4000), (files[1], 4000, 4000), (files[2], 0, SIZE)]
    found = [maps.memory(os.dup(fd), offset, size) for fd, offset, size in parts]
    assert len({memory.address for memory in found}) == 4
    assert [bytes(memory.view[-1:]) for memory in found] == [b"\0"] * 4
    assert found[2].view[1000] == 1
    for memory in found:
        memory.close()


def test_who_reads_it_still_has_it(maps: Maps, files: list[int]) -> None:
    """The last to let go of it unmaps it, whoever that is."""
    memory = shown(maps, files[1])
    shown(maps, files[1])
    maps.forget()
    memory.close()
    assert memory.view[5000] == 1
    memory.close()
    assert not there(memory.address)
    memory = shown(maps, files[1])
    memory.close()
    assert memory.view[5000] == 1
    maps.forget()
    assert not there(memory.address)


def test_another_size_of_the_picture(maps: Maps, files: list[int]) -> None:
    maps.only((64, 32))
    memory = shown(maps, files[1])
    memory.close()
    maps.only((64, 32))
    assert there(memory.address)
    maps.only((32, 64))
    assert not there(memory.address)


def test_cut_off(maps: Maps, files: list[int]) -> None:
    """A mapping that had to be mended does not show the file any more."""
    memory = shown(maps, files[1])
    os.ftruncate(files[1], 0)
    memory.blank(memory.address)
    os.ftruncate(files[1], SIZE)
    os.pwrite(files[1], b"new", 0)
    again = shown(maps, files[1])
    assert bytes(again.view[:3]) == b"new"
    assert bytes(memory.view[:3]) == b"\0\0\0"
    assert shown(maps, files[1]) is again
    for share in (memory, again, again):
        share.close()


def test_grown(maps: Maps, files: list[int]) -> None:
    """Cut off and grown again before anybody looked: the same mapping shows what is there now."""
    memory = shown(maps, files[1])
    assert memory.view[5000] == 1
    os.ftruncate(files[1], 100)
    os.ftruncate(files[1], SIZE)
    os.pwrite(files[1], b"new", 5000)
    assert shown(maps, files[1]) is memory
    assert bytes(memory.view[5000:5003]) == b"new"
    for _ in range(2):
        memory.close()


def test_not_too_many(maps: Maps, files: list[int]) -> None:
    """The least recently used goes first."""
    for fd in [*files[:8], files[0], files[8]]:
        shown(maps, fd).close()
    assert maps.counts.triple == (9, 1, 1)
    shown(maps, files[0]).close()
    assert maps.counts.triple == (9, 2, 1)
    shown(maps, files[1]).close()
    assert maps.counts.triple == (10, 2, 2)


def test_not_too_large(maps: Maps, files: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """But the newest, however large it is."""
    monkeypatch.setattr(kept, "MOST_BYTES", SIZE * 5 // 2)
    for fd in files[:3]:
        shown(maps, fd).close()
    assert maps.counts.triple == (3, 0, 1)
    monkeypatch.setattr(kept, "MOST_BYTES", 10)
    memory = shown(maps, files[3])
    assert maps.counts.triple == (4, 0, 3)
    memory.close()
    assert memory.view[5000] == 3


def test_not_too_old(maps: Maps, files: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """But the newest, however old it is."""
    for fd in files[:3]:
        shown(maps, fd).close()
    maps.tidy()
    assert maps.counts.triple == (3, 0, 0)
    monkeypatch.setattr(kept, "MOST_SECONDS", -1.0)
    maps.tidy()
    assert maps.counts.triple == (3, 0, 2)
    shown(maps, files[2]).close()
    assert maps.counts.triple == (3, 1, 2)


def test_what_cannot_be_mapped(maps: Maps, files: list[int]) -> None:
    """The descriptor is closed."""
    fd = os.open(f"/proc/self/fd/{files[1]}", os.O_WRONLY)
    with pytest.raises(PermissionError):
        maps.memory(fd, 0, SIZE)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    assert maps.counts.triple == (0, 0, 0)
