"""Known pixels into a texture and out again, by the viewer's own code.

`upload` is the way of pictures that come as bytes or in shared memory,
`imported` that of dma-bufs. Only red, green and blue are compared: a screen
ignores alpha. Used by the viewer before it trusts a driver, and by the doctor.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import random
from typing import Literal

from glview.errors import NoGraphicsError
from glview.gl import api, buffers
from glview.gl.api import GL
from glview.gl.buffers import HEIGHT, SIZE, STRIDE, WIDTH, Buffer
from glview.gl.dmabuf import Importer
from glview.gl.texture import Texture, UploadTexture, channels_for, upload_picture
from glview.scanout.formats import BY_FOURCC, MOD_LINEAR, PixelFormat, fourcc_code
from glview.scanout.geometry import Rect
from glview.scanout.memory import Memory
from glview.scanout.source import DmabufSource, PixelSource, Plane

log = logging.getLogger(__name__)

Result = Literal["exact", "wrong", "stale", "refused", "unread", "crashed"]
"""What became of known pixels: read back equal; other ones; those of before a change; the
driver would not take them, or not give them back; the driver ended the process."""

GUEST_FORMATS = [BY_FOURCC[fourcc_code(name)] for name in ("XR24", "AR24", "XB24", "AB24")]
"""What real guests use."""


def picture(seed: int) -> bytes:
    """Noise, in which no shift, swap or lost byte goes unnoticed."""
    return random.Random(seed).randbytes(SIZE)


def distrust(gl: GL, importer: Importer, fmt: PixelFormat) -> str:
    """What is wrong with linear buffers of a format of whole bytes, once imported.

    Empty if nothing is, or if that cannot be told: this machine makes no buffer
    that the driver takes, or reading pixels back is what is wrong. A GPU's own
    buffer (GBM) is not tried, as that opens the GPU a second time.
    """
    for kind in buffers.available(node=""):
        try:
            with contextlib.closing(buffers.make(kind, node="")) as buffer:
                result, detail = imported(gl, importer, buffer, fmt)
        except OSError as error:
            result, detail = "refused", str(error)
        log.debug("import self-test, %s in a %s: %s %s", fmt.name, kind, result, detail)
        if result == "exact":
            return ""
        if result in ("wrong", "stale"):
            return detail if upload(gl, fmt)[0] == "exact" else ""
    log.debug("no import self-test: no buffer of this machine's can be read back")
    return ""


def upload(gl: GL, fmt: PixelFormat) -> tuple[Result, str]:
    """Upload pixels as those of a guest are, read them back; the result and what is different."""
    pixels = picture(1)
    memory = Memory(SIZE)
    try:
        memory.view[:] = pixels
        source = PixelSource(memory, WIDTH, HEIGHT, STRIDE, fmt)
        texture = UploadTexture(gl, WIDTH, HEIGHT, channels_for(fmt, STRIDE))
        try:
            upload_picture(texture, source, Rect(0, 0, WIDTH, HEIGHT))
            return _compare(gl, texture, pixels, fmt)
        finally:
            texture.close()
    finally:
        memory.close()


def imported(gl: GL, importer: Importer, buffer: Buffer, fmt: PixelFormat) -> tuple[Result, str]:
    """Import a buffer, read it back; change it, read it again: it must be the same memory.

    Raises OSError where the buffer cannot be written.
    """
    first, second = picture(2), picture(3)
    buffer.write(first)
    plane = Plane(os.dup(buffer.fd), 0, buffer.stride)
    size = WIDTH, HEIGHT
    source = DmabufSource((plane,), (0, 0, *size), size, fmt.fourcc, MOD_LINEAR, False)
    try:
        texture = importer.texture(source)
    except NoGraphicsError as error:
        return "refused", str(error.args[0])
    finally:
        source.close()
    try:
        result, detail = _compare(gl, texture, first, fmt)
        if result == "exact":
            buffer.write(second)
            texture.renew()
            result, detail = _compare(gl, texture, second, fmt)
            if _compare(gl, texture, first, fmt)[0] == "exact":
                result, detail = "stale", "a change of the buffer is not seen"
        return result, detail
    finally:
        texture.close()


def _compare(gl: GL, texture: Texture, pixels: bytes, fmt: PixelFormat) -> tuple[Result, str]:
    """Whether the texture holds `pixels`, and if not, what is different."""
    if not texture.bind_to_read():
        return "unread", "the driver does not let the texture be read"
    got = (ctypes.c_ubyte * SIZE)()
    gl.ReadPixels(0, 0, WIDTH, HEIGHT, api.RGBA, api.UNSIGNED_BYTE, got)
    gl.BindFramebuffer(api.READ_FRAMEBUFFER, 0)
    if errors := gl.errors():
        return "unread", f"OpenGL error {errors[0]:#x}"
    # Storage that a swizzle renames is read as it is in memory.
    order = fmt.swizzle if texture.raw and fmt.swizzle else (0, 1, 2)
    raw = bytes(got)
    wrong = [name for i, name in enumerate("RGB") if raw[i::4] != pixels[order[i] :: 4]]
    return ("wrong", f"other values of {', '.join(wrong)}") if wrong else ("exact", "")
