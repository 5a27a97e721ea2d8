"""A virtio 1.0 device on PCI, and its split virtqueues, as a driver uses them.

(virtio 1.2, sections 2.7 "Split Virtqueues", 3.1 "Device Initialization",
4.1 "Virtio Over PCI Bus")
"""

from __future__ import annotations

import struct
import time

from tests.support.qtest import Qtest
from tests.support.vgpu.pci import PciDevice
from tests.support.vgpu.ram import Block, GuestRam
from tests.support.wait import Timeout, until

VENDOR = 0x1AF4
MODERN = 0x1040
"""Device numbers of virtio 1.0 start here: 16 is the GPU."""

VERSION_1 = 1 << 32

_VENDOR_CAPABILITY = 0x09
_COMMON, _NOTIFY, _DEVICE = 1, 2, 4  # kinds of structures in the BARs
_ACKNOWLEDGE, _DRIVER, _DRIVER_OK, _FEATURES_OK = 1, 2, 4, 8

# Offsets in the common structure.
_FEATURE_SELECT, _FEATURES, _GUEST_SELECT, _GUEST_FEATURES = 0, 4, 8, 12
_STATUS, _QUEUE, _QUEUE_SIZE, _QUEUE_ENABLE, _NOTIFY_OFF = 20, 22, 24, 28, 30
_QUEUE_ADDRESSES = 32, 40, 48

_DESCRIPTOR = struct.Struct("<QIHH")  # address, length, flags, next
_USED = struct.Struct("<II")  # head, length written
_NEXT, _WRITE = 1, 2
_NO_INTERRUPT = 1

_SOON, _LOOK_EVERY = 0.005, 0.0001  # seconds


class Virtio:
    """A reset and running device. `features` are those both sides know."""

    def __init__(self, qtest: Qtest, ram: GuestRam, number: int, wanted: int) -> None:
        """Find virtio device `number` and accept what it offers of the features `wanted`."""
        self.qtest, self.ram = qtest, ram
        pci = PciDevice.find(qtest, VENDOR, MODERN + number)
        self._notify_step = 0
        self._regions = dict(self._structures(pci))
        self._common = self._regions[_COMMON]
        self.features = self._negotiate(wanted | VERSION_1)
        self.queues: list[Virtqueue] = []

    def start(self, queues: int) -> None:
        """Set up the first `queues` virtqueues; let the device run."""
        self.queues = [self._queue(index) for index in range(queues)]
        self._set_status(_DRIVER_OK)

    def config(self, offset: int) -> int:
        """32 bits of the device's own configuration."""
        return self.qtest.readl(self._regions[_DEVICE] + offset)

    def _structures(self, pci: PciDevice) -> list[tuple[int, int]]:
        found = []
        for capability in pci.capabilities():
            if capability.id != _VENDOR_CAPABILITY:
                continue
            kind, bar = (pci.read_byte(capability.offset + at) for at in (3, 4))
            if kind in (_COMMON, _NOTIFY, _DEVICE):
                found.append((kind, pci.bars[bar] + pci.read(capability.offset + 8)))
            if kind == _NOTIFY:
                self._notify_step = pci.read(capability.offset + 16)
        return found

    def _negotiate(self, wanted: int) -> int:
        test, common = self.qtest, self._common
        test.writeb(common + _STATUS, 0)
        self._set_status(_ACKNOWLEDGE)
        self._set_status(_DRIVER)
        features = 0
        for half in (0, 1):
            test.writel(common + _FEATURE_SELECT, half)
            offered = test.readl(common + _FEATURES)
            accepted = offered & wanted >> 32 * half
            test.writel(common + _GUEST_SELECT, half)
            test.writel(common + _GUEST_FEATURES, accepted)
            features |= accepted << 32 * half
        self._set_status(_FEATURES_OK)
        if not test.readb(common + _STATUS) & _FEATURES_OK:
            raise AssertionError(f"the device refuses the features {features:#x}")
        return features

    def _set_status(self, bit: int) -> None:
        address = self._common + _STATUS
        self.qtest.writeb(address, self.qtest.readb(address) | bit)

    def _queue(self, index: int) -> Virtqueue:
        test, common = self.qtest, self._common
        test.writew(common + _QUEUE, index)
        size = test.readw(common + _QUEUE_SIZE)
        bell = self._regions[_NOTIFY] + test.readw(common + _NOTIFY_OFF) * self._notify_step
        queue = Virtqueue(test, self.ram, index, size, bell)
        for offset, address in zip(_QUEUE_ADDRESSES, queue.addresses, strict=True):
            test.writel(common + offset, address)
            test.writel(common + offset + 4, 0)
        test.writew(common + _QUEUE_ENABLE, 1)
        return queue


class Pending:
    """A request that the device has, or had: `wait` returns its answer."""

    def __init__(self, queue: Virtqueue, blocks: tuple[Block, Block]) -> None:
        self._queue = queue
        self._blocks = blocks
        self._answer: bytes | None = None
        self.sent = time.monotonic()

    @property
    def done(self) -> bool:
        """Whether the device has answered; looks into the used ring, disturbs nobody."""
        if self._answer is None:
            self._queue.collect()
        return self._answer is not None

    def wait(self, timeout: float = 10.0) -> bytes:
        """The answer, most often there within less than a millisecond. Raises `Timeout`."""
        while not self.done and time.monotonic() < self.sent + _SOON:
            time.sleep(_LOOK_EVERY)
        try:
            until(lambda: self.done, "the GPU to answer", timeout)
        except Timeout:
            self._queue.check()
            raise
        assert self._answer is not None
        return self._answer

    def measure(self, timeout: float = 10.0) -> float:
        """Seconds from sending to the answer, looking all the time. Raises `Timeout`."""
        while not self.done:
            if time.monotonic() > self.sent + timeout:
                raise Timeout(f"waited {timeout:g} s for the GPU to answer")
        return time.monotonic() - self.sent

    def finish(self, length: int) -> None:
        """For the queue: the device wrote `length` bytes."""
        request, answer = self._blocks
        self._answer = answer.read(length)
        self._queue.ram.release(request)
        self._queue.ram.release(answer)


class Virtqueue:
    """A split virtqueue of requests: bytes to read, then bytes for the answer.

    `addresses` are those of its three parts, `bell` is where it is notified.
    """

    def __init__(self, qtest: Qtest, ram: GuestRam, index: int, size: int, bell: int) -> None:
        self.qtest, self.ram = qtest, ram
        self._index, self._size, self._bell = index, size, bell
        self._parts = [ram.allocate(n) for n in (16 * size, 6 + 2 * size, 6 + 8 * size)]
        self._descriptors, self._available, self._used = self._parts
        self._available.write(struct.pack("<H", _NO_INTERRUPT))
        self._free = list(range(size))
        self._sent = self._seen = 0  # requests; the rings count modulo 2^16
        self._pending: dict[int, tuple[Pending, int]] = {}

    @property
    def addresses(self) -> tuple[int, ...]:
        """Guest addresses of the descriptors, the available and the used ring."""
        return tuple(part.address for part in self._parts)

    def send(self, request: bytes, answer: int) -> Pending:
        """Send a request whose answer has at most `answer` bytes. Does not wait.

        Raises `Timeout` if the device leaves the queue full.
        """
        while len(self._free) < 2:
            min(self._pending.values(), key=lambda sent: sent[0].sent)[0].wait()
        blocks = self.ram.allocate(len(request)), self.ram.allocate(answer)
        blocks[0].write(request)
        head, tail = self._free.pop(), self._free.pop()
        self._describe(head, blocks[0], len(request), _NEXT, tail)
        self._describe(tail, blocks[1], answer, _WRITE, 0)
        pending = Pending(self, blocks)
        self._pending[head] = pending, tail
        self._available.write(struct.pack("<H", head), 4 + 2 * (self._sent % self._size))
        self._sent += 1
        self._available.write(struct.pack("<H", self._sent & 0xFFFF), 2)
        self.qtest.writew(self._bell, self._index)
        return pending

    def check(self) -> None:
        """Raise an error that says so if QEMU has gone."""
        self.qtest.readb(self.addresses[0])

    def collect(self) -> None:
        """Take in the answers that are there."""
        count = int.from_bytes(self._used.read(2, 2), "little")
        while self._seen & 0xFFFF != count:
            at = 4 + 8 * (self._seen % self._size)
            head, length = _USED.unpack(self._used.read(8, at))
            pending, tail = self._pending.pop(head)
            self._free += [head, tail]
            self._seen += 1
            pending.finish(length)

    def _describe(self, index: int, block: Block, length: int, flags: int, following: int) -> None:
        entry = _DESCRIPTOR.pack(block.address, length, flags, following)
        self._descriptors.write(entry, 16 * index)
