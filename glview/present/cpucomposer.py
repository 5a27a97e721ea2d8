"""Composing by the CPU, where no OpenGL works: plain, but complete."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from glview.errors import NoGraphicsError
from glview.gl.scene import Image, Scene
from glview.scanout.formats import to_bgrx
from glview.scanout.geometry import Rect
from glview.scanout.kept import Counts
from glview.scanout.source import DmabufSource, Source

_Pixels = NDArray[np.uint8]  # rows, columns, and B, G, R, X or B, G, R, A


class CPUComposer:
    """See `Composer`. Pictures and pointers are scaled to the nearest pixel."""

    fence_fd: int | None = None

    def __init__(self) -> None:
        self._picture: _Pixels | None = None
        self.imports = Counts()

    def accept(self, source: Source, damage: Rect) -> None:
        if isinstance(source, DmabufSource):
            raise NoGraphicsError(
                "a dma-buf cannot be imported without OpenGL", "start QEMU with gl=off"
            )
        shape = source.height, source.width, 4
        rect: Rect | None = Rect(0, 0, source.width, source.height)
        if self._picture is None or self._picture.shape != shape:
            self._picture = np.zeros(shape, np.uint8)
        else:
            rect = damage.clip(source.width, source.height)
        if rect is None:
            return
        x, y, width, height = rect
        start = y * source.stride + x * source.format.size
        with source.reading():
            part = source.memory.view[start:]
            pixels = to_bgrx(part, width, height, source.stride, source.format)
            self._picture[y : y + height, x : x + width] = pixels

    def released(self) -> bool:
        return True

    def keep(self) -> None:
        """The picture is a copy."""

    def compose(self, scene: Scene, rect: Rect, address: int) -> None:
        pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_ubyte))
        frame = np.ctypeslib.as_array(pointer, (scene.height, scene.width, 4))
        frame[_slices(rect)] = 0
        if self._picture is not None and scene.place is not None:
            part = _scaled(self._picture, scene.place, rect)
            if scene.light != 1.0:
                part = (part * scene.light).astype(np.uint8)
            frame[_slices(_common(scene.place, rect))] = part
        for item in (scene.sprite, scene.text, scene.hud):
            if item is not None:
                _blend(frame, *item, rect)

    def close(self) -> None:
        self._picture = None


def _blend(frame: _Pixels, image: Image, place: Rect, rect: Rect) -> None:
    """Put an image over the part `rect` of the frame."""
    pixels = np.frombuffer(image.pixels, np.uint8).reshape(image.height, image.width, 4)
    if image.channels == "rgba":
        pixels = pixels[:, :, [2, 1, 0, 3]]
    over = _scaled(pixels, place, rect).astype(np.uint16)
    slices = _slices(_common(place, rect))
    under = frame[slices] * (255 - over[:, :, 3:])
    frame[slices] = np.minimum(over + (under + 127) // 255, 255)


def _scaled(pixels: _Pixels, place: Rect, rect: Rect) -> _Pixels:
    """The part of `pixels`, stretched over `place`, that is inside of `rect`."""
    x, y, width, height = _common(place, rect)
    rows = (np.arange(y, y + height) - place.y) * pixels.shape[0] // place.height
    columns = (np.arange(x, x + width) - place.x) * pixels.shape[1] // place.width
    part: _Pixels = pixels[rows[:, None], columns]
    return part


def _common(one: Rect, other: Rect) -> Rect:
    """What is in both; of no width or height where there is nothing."""
    return one.common(other) or Rect(other.x, other.y, 0, 0)


def _slices(rect: Rect) -> tuple[slice, slice]:
    return slice(rect.y, rect.y + rect.height), slice(rect.x, rect.x + rect.width)
