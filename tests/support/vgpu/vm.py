"""A machine that is nothing but a virtio GPU: its CPU halts, its clock runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.support.qemu import P2P, Qemu
from tests.support.vgpu.gpu import Gpu
from tests.support.vgpu.ram import GuestRam


class GpuVm(Qemu):
    """QEMU with `device`, driven through `gpu`: reset, set up and showing nothing yet.

    `device` is a value of `-device`: `"virtio-gpu-pci,max_outputs=2"`,
    `"virtio-vga-gl,blob=on"`; `memory` is the guest's, in MiB. The rest is as
    of `Qemu`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "virtio-gpu-pci",
        display: str = P2P,
        memory: int = 256,
        machine: str = "pc",
        options: Sequence[str] = (),
        trace: Sequence[str] = (),
    ) -> None:
        bios = folder / "halt.bin"
        bios.write_bytes(_HALT)
        with GuestRam(memory << 20) as ram:
            super().__init__(
                folder,
                devices=[device],
                display=display,
                options=[*ram.options(), "-bios", str(bios), *options],
                trace=trace,
                machine=f"{machine},memory-backend=ram",
                memory=memory,
                qtest=True,
                pass_fds=[ram.fd],
            )
            try:
                self.gpu = Gpu(self.qtest, ram)
            except BaseException:
                self.kill()
                raise


# A ROM that ends at 4 GiB; the CPU starts 16 bytes before.
_HALT = (
    bytes.fromhex(
        "fa"  #       cli
        "f4"  # halt: hlt
        "ebfd"  #     jmp halt
    )
    .rjust((64 << 10) - 12, b"\0")
    .ljust(64 << 10, b"\0")
)
