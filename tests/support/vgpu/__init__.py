"""A driver for QEMU's virtio-gpu devices: no guest, every pixel known.

    with GpuVm(folder, device="virtio-vga-gl", display="dbus,p2p=yes,gl=on") as vm:
        target = vm.gpu.resource_3d(800, 600, "B8G8R8A8", y_0_top=True)
        vm.gpu.scanout(target)
        target.show(pattern(800, 600))          # into guest memory, transfer, flush
        context = vm.gpu.context()
        context.attach(target)
        context.clear(target, (255, 0, 0))
        target.flush()

Pictures are arrays of shape (height, width, 3), red first, or with an alpha
(height, width, 4).
"""

from tests.support.vgpu.gpu import Gpu, Refused
from tests.support.vgpu.resource import Resource
from tests.support.vgpu.virtio import Pending
from tests.support.vgpu.vm import GpuVm
from tests.support.vgpu.wire import FORMATS

__all__ = ["FORMATS", "Gpu", "GpuVm", "Pending", "Refused", "Resource"]
