"""What a program told OpenGL to do, counted below Python (see glcount.c)."""

from __future__ import annotations

import mmap
import struct
import subprocess
from pathlib import Path

_RECORD = struct.Struct("=40sQ")
_OBJECTS = {
    "images": ("eglCreateImageKHR", "eglDestroyImageKHR"),
    "textures": ("glGenTextures", "glDeleteTextures"),
}
_FENCES = {"native": "eglDupNativeFenceFDANDROID", "asked": "eglClientWaitSyncKHR"}
_ATTACH = "glEGLImageTargetTexture2DOES"
_SWAPS = "eglSwapBuffers", "eglSwapBuffersWithDamageKHR", "eglSwapBuffersWithDamageEXT"
_INTERVAL = "eglSwapInterval"
_NO_COPY = {
    _ATTACH,
    *_SWAPS,
    _INTERVAL,
    *_FENCES.values(),
    *(name for pair in _OBJECTS.values() for name in pair),
}


class GlCount:
    """Counts in the process that is started with `environment`."""

    def __init__(self, folder: Path) -> None:
        """Compile the counter; its files are in `folder`."""
        library = folder / "glcount.so"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, source],
            check=True,
        )
        self._file = folder / "glcount"
        self.environment = {"LD_PRELOAD": str(library), "GLCOUNT": str(self._file)}

    def restart(self) -> None:
        """Count from 0 in the process that is started next."""
        self._file.unlink(missing_ok=True)

    def calls(self) -> dict[str, int]:
        """Calls of each function that copies pixels so far; those never called are left out."""
        return {n: count for n, count in self._read().items() if count and n not in _NO_COPY}

    @property
    def imports(self) -> int:
        """How many dma-bufs were imported so far."""
        return self._read()["eglCreateImageKHR"]

    @property
    def attached(self) -> int:
        """How often a texture was given the memory of an EGLImage so far."""
        return self._read()[_ATTACH]

    def swaps(self) -> tuple[int, int]:
        """How many buffers were swapped, and the sum of all intervals that were asked for."""
        calls = self._read()
        return sum(calls[name] for name in _SWAPS), calls[_INTERVAL]

    def objects(self) -> dict[str, int]:
        """How many EGLImages and textures there are. (glview makes them one by one.)"""
        calls = self._read()
        return {kind: calls[make] - calls[end] for kind, (make, end) in _OBJECTS.items()}

    def fences(self) -> dict[str, int]:
        """How many fences became descriptors, and how often one was asked."""
        calls = self._read()
        return {kind: calls[name] for kind, name in _FENCES.items()}

    def _read(self) -> dict[str, int]:
        with self._file.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as map:
            records = list(_RECORD.iter_unpack(map[:]))
        assert records, "the counter was not loaded"
        return {name.rstrip(b"\0").decode(): count for name, count in records}
