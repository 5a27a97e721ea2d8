"""Fences: when the GPU is through with what it was told so far."""

from __future__ import annotations

import os
import select
from typing import Protocol

from glview.gl.api import GL
from glview.gl.egl import EGL


class Fence(Protocol):
    """`fd` becomes readable when the fence passes; None where there is nothing to wait on."""

    fd: int | None

    def passed(self, wait: float = 0.0) -> bool:
        """Whether the GPU is past it, within `wait` seconds."""

    def close(self) -> None:
        """Let go of it. A second call does nothing."""


class NativeFence:
    """A kernel fence as a descriptor. (EGL_ANDROID_native_fence_sync)"""

    def __init__(self, fd: int) -> None:
        self.fd: int | None = fd

    def passed(self, wait: float = 0.0) -> bool:
        if self.fd is None:
            return True
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(wait * 1000))

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


class PolledFence:
    """A fence that can only be asked. (EGL_KHR_fence_sync)"""

    fd: int | None = None

    def __init__(self, egl: EGL, sync: int) -> None:
        self._egl = egl
        self._sync = sync

    def passed(self, wait: float = 0.0) -> bool:
        return not self._sync or self._egl.sync_passed(self._sync, int(wait * 1e9))

    def close(self) -> None:
        if self._sync:
            self._egl.destroy_sync(self._sync)
            self._sync = 0


def insert(gl: GL, egl: EGL) -> Fence | None:
    """A fence after all commands so far, and these on their way; None if they are done already."""
    sync = egl.create_native_sync()
    if sync:
        gl.Flush()  # the kernel's fence is made here
        fd = egl.dup_native_fd(sync)
        egl.destroy_sync(sync)
        if fd >= 0:
            return NativeFence(fd)
    sync = egl.create_sync()
    if sync:
        return PolledFence(egl, sync)
    gl.Finish()
    return None
