"""A driver for QEMU's virtio-gpu devices that runs in the test, without a guest."""

from __future__ import annotations

import itertools
import time

from tests.support.qtest import Qtest
from tests.support.vgpu import wire
from tests.support.vgpu.cursor import Cursor
from tests.support.vgpu.ram import GuestRam
from tests.support.vgpu.resource import Blob, Resource, Resource2D, Resource3D
from tests.support.vgpu.virgl import Context
from tests.support.vgpu.virtio import Pending, Virtio
from tests.support.vgpu.wire import FORMATS, Command, Display, Rect

_DEVICE = 16
_FEATURES = wire.FEATURE_VIRGL | wire.FEATURE_BLOB
_CONTROL, _CURSOR = 0, 1
_NUM_SCANOUTS = 8  # offset in the device's configuration
_ANSWER = 4096


class Refused(AssertionError):
    """The device answered with an error."""


class Gpu:
    """The first virtio GPU of a machine whose guest leaves it alone.

    Every method returns once the device has answered, except those that
    begin with `send`. Formats are names in `wire.FORMATS`. A refused command
    raises `Refused`, one without an answer `Timeout`.
    """

    def __init__(self, qtest: Qtest, ram: GuestRam) -> None:
        self.ram = ram
        self._qtest = qtest
        self._ids, self._fences = itertools.count(1), itertools.count(1)
        self.reset()

    def reset(self) -> None:
        """Reset the device and set it up again, as a guest that boots."""
        self._virtio = Virtio(self._qtest, self.ram, _DEVICE, _FEATURES)
        self._virtio.start(2)
        self._cursors: dict[int, Cursor] = {}

    @property
    def virgl(self) -> bool:
        """Whether it does 3D."""
        return bool(self._virtio.features & wire.FEATURE_VIRGL)

    @property
    def blobs(self) -> bool:
        """Whether it takes guest memory as it is."""
        return bool(self._virtio.features & wire.FEATURE_BLOB)

    @property
    def heads(self) -> int:
        """How many heads it has."""
        return self._virtio.config(_NUM_SCANOUTS)

    def displays(self) -> list[Display]:
        """What it would like its heads to show."""
        return wire.displays(self.call(Command.GET_DISPLAY_INFO))[: self.heads]

    # -- pictures ----------------------------------------------------------

    def resource_2d(self, width: int, height: int, fmt: str = "B8G8R8X8") -> Resource2D:
        """A resource of the 2D commands."""
        return Resource2D(self, FORMATS[fmt], width, height)

    def resource_3d(
        self, width: int, height: int, fmt: str = "B8G8R8X8", *, y_0_top: bool = False
    ) -> Resource3D:
        """A resource of virgl. Needs `virgl`."""
        return Resource3D(self, FORMATS[fmt], width, height, y_0_top=y_0_top)

    def blob(
        self, width: int, height: int, fmt: str = "B8G8R8X8", *, stride: int = 0, offset: int = 0
    ) -> Blob:
        """A resource that is guest memory and nothing else. Needs `blobs`."""
        return Blob(self, FORMATS[fmt], width, height, stride=stride, offset=offset)

    def context(self) -> Context:
        """A context for virgl's commands. Needs `virgl`."""
        return Context(self)

    def scanout(self, resource: Resource, rect: Rect | None = None, head: int = 0) -> None:
        """Have a head show a resource, or a part of it. A driver flushes it next."""
        resource.set_scanout(rect or resource.all, head)

    def flip(self, resource: Resource, head: int = 0) -> None:
        """Show another resource, as a page flip does: scanout and flush."""
        self.scanout(resource, head=head)
        resource.flush()

    def off(self, head: int = 0) -> None:
        """Have a head show nothing."""
        self.call(Command.SET_SCANOUT, wire.words(0, 0, 0, 0, head, 0))

    def cursor(self, head: int = 0) -> Cursor:
        """The pointer of a head."""
        if head not in self._cursors:
            self._cursors[head] = Cursor(self, head)
        return self._cursors[head]

    # -- commands ----------------------------------------------------------

    def new_id(self) -> int:
        """A number that no resource, context or object has."""
        return next(self._ids)

    def send(
        self, command: Command, body: bytes = b"", *, fence: bool = False, context: int = 0
    ) -> Pending:
        """Send a request on the control queue, without waiting."""
        number = next(self._fences) if fence else 0
        flags = wire.FENCE if fence else 0
        header = wire.HEADER.pack(command, flags, number, context, 0)
        return self._virtio.queues[_CONTROL].send(header + body, _ANSWER)

    def call(
        self, command: Command, body: bytes = b"", *, fence: bool = False, context: int = 0
    ) -> bytes:
        """Send a request and wait; return the answer, header and all."""
        return self.check(self.send(command, body, fence=fence, context=context))

    def check(self, pending: Pending) -> bytes:
        """Wait for an answer and return it, unless it is an error."""
        answer = pending.wait()
        kind = wire.HEADER.unpack_from(answer)[0]
        if kind in wire.ERRORS:
            raise Refused(f"the GPU says {wire.ERRORS[kind]}")
        return answer

    def standstill(self, resource: Resource, rect: Rect | None = None) -> float:
        """Flush; return the seconds until the device goes on to the request behind.

        So long the guest's drawing stands still: until every display has said
        that it no longer needs the frame.
        """
        flush = resource.send_flush(rect)
        self.send(Command.GET_DISPLAY_INFO).measure()
        gone = time.monotonic() - flush.sent
        self.check(flush)
        return gone

    def update_cursor(self, command: Command, body: bytes) -> None:
        """A request on the cursor queue, which the device takes without a word."""
        header = wire.HEADER.pack(command, 0, 0, 0, 0)
        self._virtio.queues[_CURSOR].send(header + body, _ANSWER).wait()
