"""dma-buf scanouts as textures, without a copy. (EGL_EXT_image_dma_buf_import)"""

from __future__ import annotations

import os

from glview.errors import NoGraphicsError
from glview.gl import api
from glview.gl.api import GL
from glview.gl.egl import EGL
from glview.gl.texture import Texture, refuse_larger
from glview.scanout.checks import access, may_shrink
from glview.scanout.formats import BY_FOURCC, MOD_INVALID, MOD_LINEAR, fourcc_text
from glview.scanout.geometry import Rect
from glview.scanout.source import DmabufSource

# x r g b -> a r g b of the same bytes
_ALPHA_TWINS = {
    plain.fourcc: twin.fourcc
    for plain in BY_FOURCC.values()
    for twin in BY_FOURCC.values()
    if plain.channels == twin.channels and twin.alpha and not plain.alpha
}

_OTHER_GPU = "probably QEMU draws on another GPU than this window's"


class DmabufTexture(Texture):
    """A texture whose memory is a dma-buf. Owns its EGLImage, and nothing of the source's fds."""

    def __init__(
        self,
        gl: GL,
        egl: EGL,
        image: int,
        size: tuple[int, int],
        source: DmabufSource,
        *,
        external: bool,
    ) -> None:
        """`size` is the image's. Raises NoGraphicsError; `image` is destroyed then."""
        if external:
            self.target = api.TEXTURE_EXTERNAL_OES
        super().__init__(gl, *size)
        self._egl = egl
        self._image = image
        self.raw = not external
        self._attach()
        self.show(source)
        errors = gl.errors()
        if errors:
            self.close()
            raise NoGraphicsError(f"OpenGL error {errors[0]:#x}")

    def _attach(self) -> None:
        self.gl.EGLImageTargetTexture2DOES(self.target, self._image)

    def show(self, source: DmabufSource) -> None:
        """Which part of the buffer is the picture now, and which way up."""
        self.rect = Rect(source.x, source.y, source.width, source.height)
        self.bottom_up = source.y0_top

    def renew(self) -> None:
        """Bind it, so that what was drawn into the buffer since the last time is seen.

        External textures need the image again for that. (OES_EGL_image_external)
        """
        self.bind()
        if self.target == api.TEXTURE_EXTERNAL_OES:
            self._attach()

    def close(self) -> None:
        super().close()
        self._egl.destroy_image(self._image)


class Importer:
    """Turns dma-buf sources into textures.

    X formats are imported as their alpha twins - the same bytes - because
    software Mesa's blit is a memcpy only between equal formats, and there is
    no texture of ours without alpha.
    """

    def __init__(self, gl: GL, egl: EGL) -> None:
        self._gl = gl
        self._egl = egl
        self._formats = egl.dmabuf_formats() if egl.imports_dmabufs else frozenset()
        # Software Mesa 26.1 maps what it cannot write to for each access alone, and
        # now and then reads after it has unmapped it.
        self._by_cpu = "llvmpipe" in gl.renderer or "softpipe" in gl.renderer

    def texture(self, source: DmabufSource) -> DmabufTexture:
        """Import. Raises NoGraphicsError that says why not, and what to change in QEMU."""
        self._refuse_impossible(source)
        fourcc = self._choose_fourcc(source)
        external = self._external_only(fourcc, source)
        fmt = BY_FOURCC.get(fourcc)
        size = source.backing_width, source.backing_height
        if fmt is not None:
            size = fmt.padded(*size)
        planes = [(plane.fd, plane.offset, plane.stride) for plane in source.planes]
        yuv = _is_yuv(fourcc)
        try:
            image = self._egl.create_image(size, fourcc, planes, source.modifier, yuv=yuv)
            return DmabufTexture(self._gl, self._egl, image, size, source, external=external)
        except NoGraphicsError as error:
            what = f"this OpenGL driver refuses the guest's {_describe(source)}: {error.args[0]}"
            raise self._refusal(f"{what}; {_OTHER_GPU}") from None

    def _refuse_impossible(self, source: DmabufSource) -> None:
        if not self._egl.imports_dmabufs:
            raise self._refusal(f"this OpenGL driver ({self._gl.renderer}) cannot import dma-bufs")
        if "GL_OES_EGL_image" not in self._gl.extensions:
            raise self._refusal("this OpenGL driver lacks GL_OES_EGL_image")
        refuse_larger(self._gl, source.backing_width, source.backing_height)
        if any(may_shrink(plane.fd) for plane in source.planes):
            raise NoGraphicsError(
                "the guest's picture is in memory that QEMU could cut off under the OpenGL driver",
                "a dma-buf cannot be, nor a memory file sealed by F_SEAL_SHRINK",
            )
        if self._by_cpu and any(access(plane.fd) != os.O_RDWR for plane in source.planes):
            raise self._refusal(
                "the guest's picture is in memory that may only be read,"
                f" which this OpenGL driver ({self._gl.renderer}) does not do safely"
            )
        if self._formats and source.fourcc not in self._formats:
            raise self._refusal(
                f"this OpenGL driver does not import the guest's {_describe(source)}"
            )

    def _choose_fourcc(self, source: DmabufSource) -> int:
        twin = _ALPHA_TWINS.get(source.fourcc, 0)
        if twin in self._formats and source.modifier in (MOD_LINEAR, MOD_INVALID):
            return twin
        return source.fourcc

    def _external_only(self, fourcc: int, source: DmabufSource) -> bool:
        """Whether it can only be an external texture. Raises NoGraphicsError where there is none.

        Mesa does not refuse it as an ordinary one, and shows its luma.
        """
        listed = self._egl.dmabuf_modifiers(fourcc)
        if source.modifier in listed:
            external = listed[source.modifier]
        elif listed and source.modifier != MOD_INVALID:
            what = f"this OpenGL driver does not know the layout of the guest's {_describe(source)}"
            raise self._refusal(f"{what}; {_OTHER_GPU}")
        else:
            external = _is_yuv(fourcc) or (bool(listed) and all(listed.values()))
        if external and not self._gl.es:
            what = f"the guest's {_describe(source)} can only be shown through OpenGL ES"
            raise NoGraphicsError(what, "start glview with --gl es, or QEMU with gl=off")
        if external and "GL_OES_EGL_image_external_essl3" not in self._gl.extensions:
            raise self._refusal("this OpenGL driver lacks GL_OES_EGL_image_external_essl3")
        return external

    def _refusal(self, cause: str) -> NoGraphicsError:
        """The error, with what to change in QEMU."""
        node = self._egl.drm_node()
        option = f"rendernode={node}" if node else "rendernode= of the GPU that shows this window"
        return NoGraphicsError(
            cause, f"start QEMU with -display dbus,gl=on,{option}, or with gl=off"
        )


def _is_yuv(fourcc: int) -> bool:
    fmt = BY_FOURCC.get(fourcc)
    return fmt is not None and bool(fmt.planes)


def _describe(source: DmabufSource) -> str:
    modifier = "" if source.modifier == MOD_INVALID else f", modifier {source.modifier:#x}"
    size = f"{source.backing_width}x{source.backing_height}"
    return f"dma-buf ({fourcc_text(source.fourcc)} {size}{modifier})"
