"""The GPUs that the guest can have, one of them a process beside QEMU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.probe import EXTERNAL_GPU
from tests.support.process import Child
from tests.support.wait import until


@dataclass(frozen=True)
class Gpu:
    """A value of `-device`.

    `shared`: it needs guest memory that other processes can map.
    """

    device: str
    shared: bool = False

    def options(self, memory: int, folder: Path) -> list[str]:
        """QEMU's options for it besides `-device`; `memory` is the guest's in MiB."""
        backend = f"memory-backend-memfd,id=ram,share=on,size={memory}M"
        return ["-object", backend, "-machine", "memory-backend=ram"] if self.shared else []


@dataclass(frozen=True)
class ExternalGpu(Gpu):
    """One that is a process beside QEMU, vhost-user-gpu with these arguments.

    QEMU 11.1 does not bear it that viewers see it before the guest has set it
    up (docs/guest.md).
    """

    arguments: tuple[str, ...] = ()

    def options(self, memory: int, folder: Path) -> list[str]:
        return [*super().options(memory, folder), *self.connection(folder)]

    def connection(self, folder: Path) -> list[str]:
        """QEMU's option for the socket of its process."""
        return ["-chardev", f"socket,id=gpu,path={_socket(folder)}"]

    def start_helper(self, folder: Path) -> Child:
        """Start its process, which serves QEMU at a socket in the folder."""
        argv = [str(EXTERNAL_GPU), "--socket-path", str(_socket(folder)), *self.arguments]
        child = Child(argv, folder / "helper.log")

        def listens() -> bool:
            child.check_alive()
            return _socket(folder).exists()

        until(listens, "vhost-user-gpu's socket")
        return child


_EXTERNAL = "vhost-user-gpu-pci,chardev=gpu"
_CARD, _NODE = ("--render-node", "/dev/dri/card0"), ("--render-node", "/dev/dri/renderD128")

GPUS = {
    "virtio-gpu": Gpu("virtio-gpu-pci"),
    "virtio-gpu-blob": Gpu("virtio-gpu-pci,blob=on", shared=True),
    "virtio-gpu-virgl": Gpu("virtio-gpu-gl-pci"),
}
EXTERNAL_GPUS = {
    # It makes dumb buffers, which render nodes refuse.
    "vhost-user-gpu": ExternalGpu(_EXTERNAL, True, _CARD),
    "vhost-user-gpu-virgl": ExternalGpu(_EXTERNAL, True, ("--virgl", *_NODE)),
}


def _socket(folder: Path) -> Path:
    return folder / "gpu.socket"
