"""GLSL programs: one source each, for OpenGL ES 3.0 and OpenGL 3.3 core."""

from __future__ import annotations

import os
from pathlib import Path

from glview.errors import NoGraphicsError
from glview.gl.api import GL

os.environ.setdefault("PYOPENGL_PLATFORM", "egl")  # GLFW's contexts are EGL's, on X11 too

_PACKAGE = Path(__file__).resolve().parent.parent
_PLACES = (_PACKAGE / "shaders", _PACKAGE.parent / "shaders")  # wheel, checkout

_ES_HEAD = "#version 300 es\nprecision highp float;\n"
_ES_EXTERNAL = "#extension GL_OES_EGL_image_external_essl3 : require\n"
_CORE_HEAD = "#version 330 core\n"


def shader_source(name: str) -> str:
    """The text of a file of `shaders/`; NoGraphicsError where the installation lacks it."""
    for place in _PLACES:
        path = place / name
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise NoGraphicsError(f"the shader {name} is missing", "reinstall glview")


def _complete(name: str, es: bool, external: bool) -> str:
    head = _ES_HEAD if es else _CORE_HEAD
    if external:
        head = head.replace("es\n", "es\n" + _ES_EXTERNAL)
    sampler = "samplerExternalOES" if external else "sampler2D"
    return head + f"#define SAMPLER {sampler}\n" + shader_source(name)


class Program:
    """A linked program and the places of its uniforms.

    `external` samples GL_TEXTURE_EXTERNAL_OES, which exists in OpenGL ES
    only. Raises NoGraphicsError with the compiler's words.
    """

    def __init__(self, gl: GL, fragment: str, *, external: bool = False) -> None:
        from OpenGL import GL as pygl
        from OpenGL.GL import shaders

        vertex_text = _complete("quad.vert", gl.es, False)
        fragment_text = _complete(fragment, gl.es, external)
        try:
            stages = (
                shaders.compileShader(vertex_text, pygl.GL_VERTEX_SHADER),
                shaders.compileShader(fragment_text, pygl.GL_FRAGMENT_SHADER),
            )
            self.name = int(shaders.compileProgram(*stages, validate=False))
        except (shaders.ShaderCompilationError, RuntimeError, pygl.GLError) as error:
            raise NoGraphicsError(f"the driver refused the shader {fragment}: {error}") from None
        names = ("u_target", "u_source", "u_inner", "u_light", "u_levels")
        self.places = {n: gl.GetUniformLocation(self.name, n.encode()) for n in names}
