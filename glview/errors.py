"""Every error a user can meet, each with an exit code of its own.

GlviewError
 +- UsageError          2   the command line is wrong
 +- AddressError        3   the D-Bus address cannot be understood
 +- ConnectError        4   nobody listens there
 +- NotDBusError        5   something listens, but does not speak D-Bus
 +- AuthError           6   the peer refused our authentication
 +- NoVmError           7   no such VM, or none at all
 +- AmbiguousVmError    8   more than one VM has that name
 +- NoConsoleError      9   the VM has no such console
 +- NoDisplayError     10   no X server or Wayland compositor
 +- NoGraphicsError    11   no usable EGL / OpenGL
 +- QmpError           12   the QMP socket failed or refused
 +- VmGoneError        13   the VM went away (with --no-reconnect)
 +- LaunchError        14   QEMU could not be started
 +- CallError          15   QEMU answered a call with an error
 +- ProtocolError      16   a peer sent what the protocol does not allow
 +- OutputError        17   what was asked for cannot be written: a file, standard output
 +- ResourceError      18   the system refuses what glview needs: memory, descriptors, threads
 +- InternalError      19   a fault of glview itself
 +- InstallError       20   a module or library that glview needs cannot be loaded
 +- NoDescriptorsError 21   a socket that leads to the VM passes no descriptors
"""

from __future__ import annotations

import errno
import os

from glview.text import LIMIT, printable

_MESSAGE = 2 * LIMIT  # characters: lists of VMs are longer than most
_NAME = 255  # characters of an error's name (D-Bus specification)


class GlviewError(Exception):
    """Base of all errors that are shown to the user as one line.

    `args[0]` is the cause; `hint`, where there is one, is the way out. Both may quote
    anything: as a `str` the error is one line of printable characters.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = printable(str(self.args[0]), _MESSAGE)
        return f"{message} ({printable(self.hint)})" if self.hint else message


class UsageError(GlviewError):
    """The command line is wrong, or no command could honour all of it."""

    exit_code = 2


class AddressError(GlviewError):
    """The D-Bus address cannot be understood."""

    exit_code = 3


class ConnectError(GlviewError):
    """Nobody listens at the address."""

    exit_code = 4


class NotDBusError(GlviewError):
    """The other end does not speak D-Bus."""

    exit_code = 5


class NoAnswerError(NotDBusError):
    """The other end hung up or said nothing for too long during authentication."""


class AuthError(GlviewError):
    """The other end refused our authentication."""

    exit_code = 6


class NoVmError(GlviewError):
    """No VM of that name, or no VM at all."""

    exit_code = 7


class AmbiguousVmError(GlviewError):
    """More than one VM fits."""

    exit_code = 8


class NoConsoleError(GlviewError):
    """The VM has no such console."""

    exit_code = 9


class NoDisplayError(GlviewError):
    """There is no X server or Wayland compositor to open a window on."""

    exit_code = 10


class NoGraphicsError(GlviewError):
    """EGL or OpenGL cannot be used."""

    exit_code = 11


class QmpError(GlviewError):
    """The QMP socket failed or refused a command."""

    exit_code = 12


class QmpRefusedError(QmpError):
    """The other end is no QMP, or refuses: another attempt will do no better."""


class VmGoneError(GlviewError):
    """The VM went away and reconnecting was not wanted."""

    exit_code = 13


class LaunchError(GlviewError):
    """QEMU could not be started."""

    exit_code = 14


class CallError(GlviewError):
    """The peer answered a method call with a D-Bus error.

    `name` is the D-Bus error name, e.g. ``org.qemu.Display1.Error.Invalid``.
    """

    exit_code = 15

    def __init__(self, name: str, message: str) -> None:
        shown = printable(name, _NAME)
        super().__init__(f"{shown}: {printable(message)}" if message else shown)
        self.name = name
        self.text = message


class ProtocolError(GlviewError):
    """A peer sent bytes that the protocol does not allow."""

    exit_code = 16


class OutputError(GlviewError):
    """A file that was asked for, or the standard output, cannot be written."""

    exit_code = 17


class ResourceError(GlviewError):
    """The system refuses what glview needs: memory, descriptors, threads, a system call."""

    exit_code = 18


class InstallError(GlviewError):
    """A module or library that glview needs cannot be loaded."""

    exit_code = 20


class NoDescriptorsError(GlviewError):
    """A socket leads to the VM that passes bytes, but no descriptors."""

    exit_code = 21


class InternalError(GlviewError):
    """A fault of glview itself, which nobody foresaw."""

    exit_code = 19


_REPORT = "a fault of glview itself; -v shows where, please report it"
_REINSTALL = "install glview again, with what it depends on"
_NO_FILES = os.strerror(errno.EMFILE)
_NO_MEMORY = (
    os.strerror(errno.ENOMEM),
    "failed to map segment",  # all that the loader of libraries tells
    "can't start new thread",
    "error return without exception set",  # Python's SystemError, of no memory for a MemoryError
)


def describe(error: BaseException) -> GlviewError:
    """Return any exception as an error for the user: one line and an exit code.

    Loads nothing: descriptors and memory may have run out.
    """
    if isinstance(error, GlviewError):
        return error
    if lack := shortage(error):
        return lack
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return ResourceError(f"the system refuses: {error.strerror or error}{where}")
    if isinstance(error, ImportError):
        return InstallError(f"a part of glview cannot be loaded: {error}", _REINSTALL)
    return InternalError(f"{type(error).__name__}: {error}", _REPORT)


def shortage(error: BaseException) -> ResourceError | None:
    """Return descriptors or memory having run out as an error, if an exception tells of that."""
    text = str(error)
    if _NO_FILES in text or (isinstance(error, OSError) and error.errno == errno.ENFILE):
        limit = os.sysconf("SC_OPEN_MAX")
        return ResourceError(
            f"no more files can be opened; the limit is {limit}", "raise it with ulimit -n"
        )
    if isinstance(error, MemoryError) or any(sign in text for sign in _NO_MEMORY):
        return ResourceError(
            "there is not enough memory", "free some, or raise the limit with ulimit -v"
        )
    return None
