"""A way to a VM ends in a link, or in an error that says why there is none."""

from __future__ import annotations

import threading

import pytest

from glview.errors import NoVmError
from glview.qemu import ways
from glview.qemu.ways import BySocket
from glview.testing import FakeVm


def open_link(way: BySocket) -> ways.Link | None:
    """Connect without waiting for a VM to start."""
    return way.open(wait=False, stop=threading.Event(), tell=lambda error: None)


def test_a_vm_that_does_not_answer_is_not_one_without_consoles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ways, "_ANSWERS_WITHIN", 0.2)
    vm, sock = FakeVm.pair()
    with vm, vm.main_loop, pytest.raises(NoVmError, match="does not answer"):
        open_link(BySocket(lambda: sock))


def test_a_vm_that_answers_late_is_shown() -> None:
    """Longer than a VM among others on a bus may take."""
    vm, sock = FakeVm.pair(name="late")
    done = threading.Event()

    def hold() -> None:
        with vm.main_loop:
            done.wait(1.3)

    with vm:
        holder = threading.Thread(target=hold)
        holder.start()
        link = open_link(BySocket(lambda: sock))
        holder.join()
        assert link is not None
        assert link.vm.name == "late"
        link.close()
