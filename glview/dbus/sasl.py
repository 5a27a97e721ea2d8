"""The D-Bus authentication dialogue, both sides, on a connected Unix stream socket.

We authenticate by EXTERNAL with an *empty* identity, which asks the server to take the
socket's own credentials. QEMU compares a stated uid with the process that called
socketpair(): on a socket which libvirt or another user made, only the empty form is true.

QEMU's main loop stands still while it authenticates a listener, so we take two round trips,
the fewest that always work: a GLib server from before 2023 reads the lines up to ``OK``
through a buffer that it then throws away, and with it whatever was sent ahead
(GNOME/glib#2916).

No side ever reads a byte past the last line: the first message may follow at once.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from struct import unpack
from time import monotonic

from glview.errors import AuthError, ConnectError, NoAnswerError, NotDBusError

MAX_LINE = 1024  # bytes; the longest real ones, OK and REJECTED, have about 60
MAX_LINES = 32

_OTHER_PROTOCOLS = {
    b'{"QMP"': "this is a QMP socket: use --qmp for it",
    b"RFB ": "this is a VNC server",
    b"SSH-": "this is an SSH server",
    b"HTTP/": "this is a web server",
}


def authenticate(sock: socket.socket, timeout: float | None = 10.0) -> None:
    """Authenticate as the client on a fresh, blocking socket, with descriptor passing.

    Raises AuthError when the server refuses us or cannot pass descriptors, NotDBusError when
    it is no D-Bus server, NoAnswerError when it hangs up or says nothing for `timeout` seconds
    in all.
    """
    with _dialogue(sock, timeout) as dialogue:
        dialogue.send("\0AUTH EXTERNAL", "DATA")
        answer = dialogue.line()
        if answer == "DATA":
            answer = dialogue.line()
        _expect("OK", answer)
        dialogue.send("NEGOTIATE_UNIX_FD", "BEGIN")
        _expect("AGREE_UNIX_FD", dialogue.line())


def accept(sock: socket.socket, timeout: float | None = 10.0) -> None:
    """Authenticate a client, as the server: EXTERNAL with no identity or with its own uid.

    Raises AuthError when the client gives up or never gets it right, NotDBusError as
    `authenticate` does.
    """
    with _dialogue(sock, timeout) as dialogue:
        dialogue.nul()
        _Server(dialogue, peer_uid(sock)).run()


def _expect(word: str, line: str) -> None:
    """Raise unless the server's line is the one that lets us go on."""
    answer, _, rest = line.partition(" ")
    if answer == word:
        return
    if answer == "REJECTED":
        raise AuthError(
            "the D-Bus server refused EXTERNAL authentication",
            f"it offers: {rest}" if rest else "it offers nothing else",
        )
    if answer == "ERROR" and word == "AGREE_UNIX_FD":
        raise AuthError("the D-Bus server cannot pass file descriptors", rest)
    if answer == "ERROR":
        raise AuthError("the D-Bus server answered authentication with an error", rest)
    raise NotDBusError(f"the other end does not speak D-Bus: it said {line[:60]!r}", _guess(line))


def _guess(line: str) -> str:
    """What speaks like this, as a hint."""
    begin = line.encode()
    return next((hint for mark, hint in _OTHER_PROTOCOLS.items() if begin.startswith(mark)), "")


def no_hello(owner: int) -> AuthError | ConnectError:
    """Return the error of a bus of user `owner` that hung up before it answered Hello.

    A session bus does that to other users, root among them: it authenticates anyone first.
    """
    ours = os.geteuid()
    if owner == ours:
        return ConnectError("the D-Bus bus hung up or did not answer Hello")
    return AuthError(
        f"the D-Bus bus belongs to user {owner}, and refuses user {ours}",
        "run glview as that user, not through sudo",
    )


def peer_uid(sock: socket.socket) -> int:
    """Return the user of the process at the other end of a Unix socket."""
    _pid, uid, _gid = unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


@contextlib.contextmanager
def _dialogue(sock: socket.socket, timeout: float | None) -> Iterator[_Dialogue]:
    """A dialogue on `sock`, blocking again afterwards; failures of the socket in words."""
    try:
        yield _Dialogue(sock, timeout)
    except TimeoutError as error:
        raise NoAnswerError(
            f"no answer to D-Bus authentication in {timeout:g} s",
            "is the other end stopped, or no D-Bus server?",
        ) from error
    except OSError as error:
        raise NoAnswerError(f"the connection broke during authentication: {error}") from error
    finally:
        sock.setblocking(True)


class _Dialogue:
    """Lines in both directions, with one deadline for all of them."""

    def __init__(self, sock: socket.socket, timeout: float | None) -> None:
        self._sock = sock
        self._deadline = None if timeout is None else monotonic() + timeout
        self._lines_left = MAX_LINES

    def send(self, *lines: str) -> None:
        self._arm()
        self._sock.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def nul(self) -> None:
        """Take the byte every client begins with."""
        self._arm()
        if (first := self._sock.recv(1)) != b"\0":
            raise NotDBusError(f"a client that begins with {first!r}")

    def line(self) -> str:
        """The next line without its end."""
        self._lines_left -= 1
        line = b""
        while not line.endswith(b"\n"):
            line += self._part()
            if len(line) > MAX_LINE or not self._lines_left:
                raise NotDBusError("the other end does not speak D-Bus: it talks without end")
        text = line.rstrip(b"\r\n").decode("ascii", "backslashreplace")
        if not line.endswith(b"\r\n"):
            raise NotDBusError(
                f"the other end does not speak D-Bus: it said {text[:60]!r}", _guess(text)
            )
        return text

    def _part(self) -> bytes:
        """Some of the line, never anything behind it: look first, then take."""
        self._arm()
        ahead = self._sock.recv(MAX_LINE, socket.MSG_PEEK)
        if not ahead:
            raise NoAnswerError("the other end hung up during authentication")
        return self._sock.recv(ahead.find(b"\n") + 1 or len(ahead))

    def _arm(self) -> None:
        """Give the next system call the time that is left."""
        if self._deadline is None:
            self._sock.settimeout(None)
            return
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)


class _Server:
    """The server's states, one method each; a client may start over as often as it likes."""

    def __init__(self, dialogue: _Dialogue, uid: int) -> None:
        self._dialogue = dialogue
        self._uid = uid
        self._guid = os.urandom(16).hex()

    def run(self) -> None:
        while True:
            self._wait_for_identity()
            self._dialogue.send(f"OK {self._guid}")
            if self._wait_for_begin():
                return

    def _wait_for_identity(self) -> None:
        while True:
            word, _, rest = self._dialogue.line().partition(" ")
            if word == "BEGIN":
                raise AuthError("a client began without authentication")
            if word == "AUTH" and self._accepts(rest):
                return
            if word in ("AUTH", "CANCEL", "ERROR"):
                self._dialogue.send("REJECTED EXTERNAL")
            else:
                self._dialogue.send("ERROR")

    def _accepts(self, request: str) -> bool:
        """Whether ``AUTH``'s arguments, or the ``DATA`` we ask for, name the socket's owner."""
        mechanism, _, identity = request.partition(" ")
        if mechanism != "EXTERNAL":
            return False
        if not identity:
            self._dialogue.send("DATA")
            word, _, identity = self._dialogue.line().partition(" ")
            if word != "DATA":
                return False
        return identity in ("", str(self._uid).encode().hex())

    def _wait_for_begin(self) -> bool:
        """False when the client starts over."""
        while True:
            match self._dialogue.line():
                case "BEGIN":
                    return True
                case "NEGOTIATE_UNIX_FD":
                    self._dialogue.send("AGREE_UNIX_FD")
                case "CANCEL" | "ERROR":
                    self._dialogue.send("REJECTED EXTERNAL")
                    return False
                case _:
                    self._dialogue.send("ERROR")
