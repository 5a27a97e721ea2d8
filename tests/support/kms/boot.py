"""What the guest boots from: a kernel with virtio_gpu, and flip.c as its only process."""

from __future__ import annotations

import ctypes
import struct
import subprocess
from pathlib import Path

MEMORY = 256
"""MiB that the guest needs."""

_MODULES = Path("/lib/modules")
_PROGRAM = Path(__file__).with_name("flip.c")
_SLOW = "tsc=reliable no_timer_check"  # so that a machine without KVM passes for a machine
# What the kernel draws itself would only take time.
_PARAMETERS = {"drm_kms_helper.ko": "fbdev_emulation=0"}


def linux(folder: Path, serial: Path, flips: int, rest: int) -> list[str]:
    """QEMU's options for the guest, which tells the file `serial` how far it is.

    It rests `rest` seconds before it flips.
    """
    release = max(path.name for path in _MODULES.iterdir())
    kernel = folder / "vmlinux"
    kernel.write_bytes(_unpack((_MODULES / release / "vmlinuz").read_bytes()))
    command_line = f"console=ttyS0 quiet mitigations=off nokaslr {_SLOW} flips={flips} rest={rest}"
    return [
        *("-kernel", str(kernel), "-initrd", str(_initrd(folder, release))),
        *("-append", command_line, "-serial", f"file:{serial}"),
    ]


def _unpack(image: bytes) -> bytes:
    """The ELF file in a kernel's image, which takes half of the boot to unpack itself.

    (Linux, Documentation/arch/x86/boot.rst: payload_offset, payload_length; the
    payload is compressed by zstd, the last four bytes are its length unpacked.)
    """
    offset, length = struct.unpack_from("<II", image, 0x248)
    begin = (image[0x1F1] + 1) * 512 + offset
    packed = image[begin : begin + length - 4]
    (size,) = struct.unpack_from("<I", image, begin + length - 4)
    zstd = ctypes.CDLL("libzstd.so.1")
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    buffer = ctypes.create_string_buffer(size)
    arguments = ctypes.c_size_t(size), packed, ctypes.c_size_t(len(packed))
    if zstd.ZSTD_decompress(buffer, *arguments) != size:
        raise ValueError("no kernel compressed by zstd")
    return buffer.raw


def _initrd(folder: Path, release: str) -> Path:
    """An archive of the program, the modules that it loads, and their names."""
    root = folder / "root"
    root.mkdir()
    init = root / "init"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-static", "-o", init, _PROGRAM], check=True)
    lines = []
    for module in _modules(release):
        name = module.name.removesuffix(".xz")
        (root / name).write_bytes(_run("busybox", "xz", "-dc", str(module)))
        lines.append(f"/{name} {_PARAMETERS.get(name, '')}\n")
    (root / "modules").write_text("".join(lines))
    names = "".join(f"{path.name}\n" for path in root.iterdir())
    archive = folder / "initrd"
    archive.write_bytes(_run("busybox", "cpio", "-o", "-H", "newc", cwd=root, given=names))
    return archive


def _modules(release: str) -> list[Path]:
    """The files to load for a virtio GPU, in order."""
    told = _run("modprobe", "--set-version", release, "--show-depends", "virtio-gpu")
    words = [line.split() for line in told.decode().splitlines()]
    return [Path(word[1]) for word in words if word[0] == "insmod"]


def _run(*argv: str, cwd: Path | None = None, given: str = "") -> bytes:
    done = subprocess.run(argv, cwd=cwd, input=given.encode(), check=True, stdout=subprocess.PIPE)
    return done.stdout
