"""Known pixels into a texture and out again, by the viewer's own code.

`upload` is the way of pictures that come as bytes or in shared memory,
`imported` that of dma-bufs. Only red, green and blue are compared: a screen
ignores alpha.
"""

from __future__ import annotations

import ctypes
import os
import random

from glview.doctor.buffers import HEIGHT, SIZE, STRIDE, WIDTH, Buffer
from glview.doctor.facts import Result, Trial
from glview.errors import NoGraphicsError
from glview.gl import api
from glview.gl.api import GL
from glview.gl.dmabuf import Importer
from glview.gl.texture import Texture, UploadTexture, channels_for, upload_picture
from glview.scanout.formats import BY_FOURCC, MOD_LINEAR, PixelFormat, fourcc_code, fourcc_text
from glview.scanout.geometry import Rect
from glview.scanout.memory import Memory
from glview.scanout.source import DmabufSource, PixelSource, Plane

GUEST_FORMATS = [BY_FOURCC[fourcc_code(name)] for name in ("XR24", "AR24", "XB24", "AB24")]
"""What real guests use."""


def picture(seed: int) -> bytes:
    """Noise, in which no shift, swap or lost byte goes unnoticed."""
    return random.Random(seed).randbytes(SIZE)


def upload(gl: GL, fmt: PixelFormat) -> Trial:
    """Upload pixels as those of a guest are, read them back."""
    pixels = picture(1)
    memory = Memory(SIZE)
    try:
        memory.view[:] = pixels
        source = PixelSource(memory, WIDTH, HEIGHT, STRIDE, fmt)
        texture = UploadTexture(gl, WIDTH, HEIGHT, channels_for(fmt, STRIDE))
        try:
            upload_picture(texture, source, Rect(0, 0, WIDTH, HEIGHT))
            return Trial("upload", fourcc_text(fmt.fourcc), *_compare(gl, texture, pixels, fmt))
        finally:
            texture.close()
    finally:
        memory.close()


def imported(gl: GL, importer: Importer, buffer: Buffer, kind: str, fmt: PixelFormat) -> Trial:
    """Import a buffer, read it back; change it, read it again: it must be the same memory."""
    name = fourcc_text(fmt.fourcc)
    first, second = picture(2), picture(3)
    buffer.write(first)
    plane = Plane(os.dup(buffer.fd), 0, buffer.stride)
    size = WIDTH, HEIGHT
    source = DmabufSource((plane,), (0, 0, *size), size, fmt.fourcc, MOD_LINEAR, False)
    try:
        texture = importer.texture(source)
    except NoGraphicsError as error:
        return Trial(kind, name, "refused", str(error.args[0]))
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
        return Trial(kind, name, result, detail)
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
