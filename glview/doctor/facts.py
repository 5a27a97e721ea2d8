"""What was found out about a machine. All of it can be written as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from glview.gl.selftest import Result


@dataclass(frozen=True)
class Node:
    """A device file; `problem` says why we may not open it, empty if we may."""

    path: str
    driver: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Failure:
    """Why something ended early, and the way out; `code` is the exit code that goes with it."""

    cause: str
    hint: str = ""
    code: int = 1


@dataclass(frozen=True)
class Trial:
    """What became of known pixels of one format in one kind of memory."""

    buffer: str
    format: str
    result: Result
    detail: str = ""


@dataclass(frozen=True)
class WindowFacts:
    """What a window like the viewer's has; fields from where it failed on are empty.

    `extensions` and `gl_extensions` say of each that matters whether it is
    there. `formats` are the fourccs of dma-bufs with their modifiers, None
    where the driver does not tell. `drm_node` is the GPU that draws,
    `dri3_node` the one the X server draws with. `shm` says why X shared
    memory cannot be used, empty if it can.
    """

    platform: str = ""
    display: str = ""
    glfw_version: str = ""
    glfw_library: str = ""
    api: str = ""
    egl_vendor: str = ""
    egl_version: str = ""
    egl_driver: str = ""
    gl_version: str = ""
    gl_renderer: str = ""
    extensions: dict[str, bool] = field(default_factory=dict)
    gl_extensions: dict[str, bool] = field(default_factory=dict)
    formats: dict[str, list[str]] | None = None
    drm_node: str = ""
    dri3_node: str = ""
    shm: str = ""
    uploads: list[Trial] = field(default_factory=list)
    failure: Failure | None = None


@dataclass(frozen=True)
class Start:
    """How QEMU started with one display option; `words` are what it said where it did not."""

    option: str
    node: str
    ok: bool
    words: str = ""


@dataclass(frozen=True)
class KnownFault:
    """A fault of this version of QEMU that a viewer may set off, and what helps."""

    text: str
    way_out: str


@dataclass(frozen=True)
class QemuFacts:
    """The QEMU on PATH: `modules` that are there, started without OpenGL and on render nodes.

    `faults` are those of its version.
    """

    program: str
    version: str
    modules: dict[str, bool]
    plain: Start
    gl: list[Start]
    faults: list[KnownFault] = field(default_factory=list)


@dataclass(frozen=True)
class Facts:
    """Everything; `qemu` is None where none is installed."""

    versions: dict[str, str]
    nodes: list[Node]
    window: WindowFacts
    imports: list[Trial]
    qemu: QemuFacts | None
