"""Imported dma-bufs, kept over page flips."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field

from glview.errors import NoGraphicsError
from glview.gl import selftest
from glview.gl.api import GL
from glview.gl.dmabuf import DmabufTexture, Importer
from glview.scanout.formats import BY_FOURCC, MOD_INVALID, MOD_LINEAR
from glview.scanout.kept import Kept
from glview.scanout.source import DmabufSource

log = logging.getLogger(__name__)

_Key = tuple[tuple[tuple[int, int, int, int], ...], tuple[int, int], int, int]


@dataclass
class _Entry:
    texture: DmabufTexture
    fds: list[int] = field(default_factory=list)

    def close(self) -> None:
        self.texture.close()
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


class ImportCache(Kept[_Entry]):
    """Textures of dma-bufs, imported once for each buffer. Owns them."""

    def __init__(self, gl: GL, importer: Importer) -> None:
        super().__init__("dma-bufs")
        self._gl = gl
        self._importer = importer
        self._distrusted: dict[int, str] = {}  # fourccs -> why not, empty if trusted

    def texture(self, source: DmabufSource) -> DmabufTexture:
        """The buffer as a texture, the cache's to close. Raises NoGraphicsError.

        On success the source is closed: the buffer is held here from now on.
        """
        self.only((source.backing_width, source.backing_height))
        key = _identify(source)
        entry = self.find(key)
        if entry is None:
            entry = self._import(source)
            self.add(key, entry, sum(_length(plane.fd) for plane in source.planes))
        entry.texture.show(source)
        source.close()
        return entry.texture

    def _check(self, source: DmabufSource) -> None:
        """Refuse what the driver takes and shows wrongly. Raises NoGraphicsError.

        Whether it does is tried with a buffer of our own, when the first of a format comes.
        """
        fmt = BY_FOURCC.get(source.fourcc)
        if fmt is None or not fmt.swizzle or source.modifier not in (MOD_LINEAR, MOD_INVALID):
            return
        if fmt.fourcc not in self._distrusted:
            began = time.perf_counter()
            self._distrusted[fmt.fourcc] = selftest.distrust(self._gl, self._importer, fmt)
            log.debug("import self-test: %.1f ms", (time.perf_counter() - began) * 1000)
        if cause := self._distrusted[fmt.fourcc]:
            raise NoGraphicsError(
                f"this OpenGL driver ({self._gl.renderer}) imports dma-bufs wrongly: {cause}",
                "glview doctor says more; QEMU with gl=off does without them",
            )

    def _import(self, source: DmabufSource) -> _Entry:
        self._check(source)
        entry = _Entry(self._importer.texture(source))
        try:
            for fd in {plane.fd for plane in source.planes}:
                entry.fds.append(os.dup(fd))
        except OSError as error:
            entry.close()
            raise NoGraphicsError(
                f"a dma-buf cannot be kept: {error.strerror}", "raise the limit of open files"
            ) from None
        return entry


def _identify(source: DmabufSource) -> _Key:
    planes = []
    for plane in source.planes:
        file = os.fstat(plane.fd)
        planes.append((file.st_dev, file.st_ino, plane.offset, plane.stride))
    size = source.backing_width, source.backing_height
    return tuple(planes), size, source.fourcc, source.modifier


def _length(fd: int) -> int:
    return os.lseek(fd, 0, os.SEEK_END)
