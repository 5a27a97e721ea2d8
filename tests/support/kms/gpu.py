"""The GPUs that the guest can have, one of them a process beside QEMU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.process import Child
from tests.support.wait import until

HELPER = Path("out/vhost-user-gpu")
"""Debian has it in qemu-system-gui; scripts/guest puts it there."""


@dataclass(frozen=True)
class Gpu:
    """A value of `-device`.

    `shared`: it needs guest memory that other processes can map; `helper`: it is
    vhost-user-gpu, with these arguments. QEMU 11.1 does not bear it that its picture is
    updated before the guest has set that up (docs/guest.md), so viewers come later.
    """

    device: str
    shared: bool = False
    helper: tuple[str, ...] | None = None

    def options(self, memory: int, folder: Path) -> list[str]:
        """QEMU's options for it besides `-device`; `memory` is the guest's in MiB."""
        backend = f"memory-backend-memfd,id=ram,share=on,size={memory}M"
        chardev = f"socket,id=gpu,path={_socket(folder)}"
        return [
            *(("-object", backend, "-machine", "memory-backend=ram") if self.shared else ()),
            *(("-chardev", chardev) if self.helper is not None else ()),
        ]

    def start_helper(self, folder: Path) -> Child | None:
        """Start its process, if it has one: it serves QEMU at a socket in the folder."""
        if self.helper is None:
            return None
        argv = [str(HELPER), "--socket-path", str(_socket(folder)), *self.helper]
        child = Child(argv, folder / "helper.log")
        until(_socket(folder).exists, "vhost-user-gpu's socket")
        return child


_EXTERNAL = "vhost-user-gpu-pci,chardev=gpu"

GPUS = {
    "virtio-gpu": Gpu("virtio-gpu-pci"),
    "virtio-gpu-blob": Gpu("virtio-gpu-pci,blob=on", shared=True),
    "virtio-gpu-virgl": Gpu("virtio-gpu-gl-pci"),
    "vhost-user-gpu": Gpu(_EXTERNAL, shared=True, helper=()),
    "vhost-user-gpu-virgl": Gpu(
        _EXTERNAL, shared=True, helper=("--virgl", "--render-node", "/dev/dri/renderD128")
    ),
}


def _socket(folder: Path) -> Path:
    return folder / "gpu.socket"
