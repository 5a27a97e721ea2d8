"""The listener: a thread that drains one console's socket and answers QEMU.

QEMU's main loop - the whole virtual machine - stands still while it waits for
our authentication, our properties and our answer to ScanoutMap, and the
guest's GPU while it waits for the answer to UpdateDMABUF. So nothing here
waits for a window, a swap or the main thread.
(QEMU docs/interop/dbus-display; ui/dbus-listener.c)
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable

from glview.dbus import sasl, wire
from glview.errors import CallError, GlviewError, InternalError, ProtocolError, shortage
from glview.qemu.answers import Answers
from glview.qemu.framing import Call, Framing
from glview.qemu.picture import ANSWERED_HERE, PictureCalls
from glview.scanout.mailbox import SETTLE_AFTER, Mailbox
from glview.scanout.source import DmabufSource
from glview.threads import Thread

log = logging.getLogger(__name__)

PATH = "/org/qemu/Display1/Listener"
LISTENER = "org.qemu.Display1.Listener"
UNIX_MAP = "org.qemu.Display1.Listener.Unix.Map"
UNIX_DMABUF2 = "org.qemu.Display1.Listener.Unix.ScanoutDMABUF2"
_GET_ALL = "org.freedesktop.DBus.Properties", "GetAll"
_GET = "org.freedesktop.DBus.Properties", "Get"
_INTROSPECT = "org.freedesktop.DBus.Introspectable", "Introspect"
_PING = "org.freedesktop.DBus.Peer", "Ping"
_STANDARD = _GET_ALL, _GET, _INTROSPECT, _PING
_UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
_UNKNOWN_PROPERTY = "org.freedesktop.DBus.Error.UnknownProperty"
_FAILED = "org.qemu.Display1.Error.Failed"

_NEVER = None, None, None, None

_PICTURE_CALLS = {  # member: (interface, signature)
    "Scanout": (LISTENER, "uuuuay"),
    "Update": (LISTENER, "iiiiuuay"),
    "ScanoutDMABUF": (LISTENER, "huuuutb"),
    "UpdateDMABUF": (LISTENER, "iiii"),
    "Disable": (LISTENER, ""),
    "MouseSet": (LISTENER, "iii"),
    "CursorDefine": (LISTENER, "iiiiay"),
    "ScanoutMap": (UNIX_MAP, "huuuuu"),
    "UpdateMap": (UNIX_MAP, "iiii"),
    "ScanoutDMABUF2": (UNIX_DMABUF2, "ahuuuuauauuuuutb"),
}


class Listener:
    """Serves one console's listener socket on a thread of its own.

    Owns `sock`. What arrives goes to `mailbox`; `on_closed(reason)` is called
    once on the thread when the connection has ended, with "" for an ordinary
    end; `error` is then the error that ended it, if one did. `maps` are what the
    thread keeps of shared memory, for others to count.
    """

    def __init__(
        self,
        sock: socket.socket,
        mailbox: Mailbox,
        on_closed: Callable[[str], None],
        *,
        offer_map: bool = True,
        offer_dmabuf2: bool = True,
    ) -> None:
        self.mailbox = mailbox
        self.error: GlviewError | None = None
        self._sock = sock
        self._answers = Answers(sock, mailbox.recorder)
        self._framing = Framing(sock, self._answers, mailbox.recorder)
        offers = (UNIX_MAP, offer_map), (UNIX_DMABUF2, offer_dmabuf2)
        self._offers = [interface for interface, offered in offers if offered]
        self._picture = PictureCalls(self._framing, self._answers, mailbox, self.answer)
        self.maps = self._picture.maps
        self._replies = mailbox.replies, self._picture.copier.replies
        self._on_closed: Callable[[str], None] | None = on_closed
        self._complaints: set[str] = set()
        self._thread = Thread("listener", self._run, self._failed)

    def start(self) -> None:
        """Begin; call it before RegisterListener, whose reply QEMU sends first.

        Raises ResourceError where no thread can be had, having closed everything.
        """
        try:
            self._thread.start()
        except GlviewError:
            self._on_closed = None
            self._finish("")
            raise

    def answer(self, serials: list[int]) -> int:
        """Answer UpdateDMABUF calls whose buffer is no longer read. Any thread; never waits.

        Returns how many of them had not been answered yet.
        """
        answered = [s for replies in self._replies for s in replies.claim(serials)]
        if answered:
            self._answers.reply(*answered)
        return len(answered)

    def copy_instead(self, source: DmabufSource, serials: list[int]) -> bool:
        """See `PictureCalls.copy_instead`."""
        return self._picture.copy_instead(source, serials)

    def console_resized(self, width: int, height: int) -> None:
        """The console's size as its properties tell it: the only sign that it shrank."""
        self._picture.console_resized(width, height)

    def close(self) -> None:
        """End the connection and the thread. Any thread but the listener's own."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join()

    # -- the thread --------------------------------------------------------

    def _run(self) -> None:
        reason = ""
        try:
            sasl.authenticate(self._sock, None)  # a stopped QEMU may take its time
            self._serve()
        except GlviewError as error:
            self.error = error
            reason = str(error)
        except OSError as error:
            reason = error.strerror or str(error)
        except MemoryError:
            reason = "out of memory"
        self._finish(reason)

    def _failed(self, line: str) -> None:
        self.error = InternalError(line)
        self._finish(line)

    def _finish(self, reason: str) -> None:
        """Close everything, and tell the owner unless that was done before."""
        on_closed, self._on_closed = self._on_closed, None
        with contextlib.ExitStack() as stack:  # one that fails does not keep the others from it
            if on_closed is not None:
                stack.callback(on_closed, reason)
            stack.callback(self._picture.close)
            stack.callback(self._sock.close)
            stack.callback(self._framing.close)

    def _serve(self) -> None:
        framing, mailbox = self._framing, self.mailbox
        while True:
            self._await_call()
            try:
                call = framing.next()
            except BlockingIOError:  # nothing for a while, as `_await_call` wants to know
                mailbox.settle()
                continue
            if call is None:
                return
            try:
                self._dispatch(call)
                if call.left:
                    framing.skip(call)
            finally:
                if call.fds:
                    call.close()

    def _await_call(self) -> None:
        """Wait for the next message, doing what falls due meanwhile, or leave it to `next`."""
        framing, picture, mailbox = self._framing, self._picture, self.mailbox
        while True:
            deadline = self._deadline()
            if deadline is None:
                framing.wait_in_next(SETTLE_AFTER if mailbox.unsettled else 0.0)
                if self._answers.held:
                    framing.wait(None)
                return
            now = time.monotonic()
            if now >= deadline:
                for replies in self._replies:
                    if overdue := replies.pop_overdue(now):
                        self._answers.reply(*overdue)
                picture.settle(now)
                picture.livelock.tick(now)
            elif framing.wait(deadline - now):
                return

    def _deadline(self) -> float | None:
        """When something is due that must not come late (monotonic seconds), or None."""
        picture, (some, others) = self._picture, self._replies
        times = picture.settle_at, picture.livelock.due, some.due, others.due
        if times == _NEVER:
            return None
        return min(t for t in times if t is not None)

    def _dispatch(self, call: Call) -> None:
        fields = call.fields
        if not fields.member:
            return  # a reply or a signal: we expect none
        expected = _PICTURE_CALLS.get(fields.member)
        try:
            if expected is None or expected[0] != fields.interface:
                self._answer_other(call)
            elif expected[1] != fields.signature:
                raise ProtocolError(
                    f"{fields.member} came with arguments of type"
                    f" '{fields.signature}' instead of '{expected[1]}'"
                )
            else:
                self._picture.handle(call)
                if call.wants_reply and fields.member not in ANSWERED_HERE:
                    self._answers.reply(call.serial)
        except (ProtocolError, OSError) as error:  # OSError: memory that cannot be had or mapped
            self._refuse(call, _FAILED, str(error))
            if fields.member == "ScanoutMap":  # nothing is lost: QEMU goes over to bytes
                log.info("pictures come as bytes: %s", error)
            elif lack := shortage(error):  # which is not QEMU's fault
                self._complain("a picture is missing", str(lack))
            else:
                self._complain(
                    "QEMU sent something that cannot be shown", f"{fields.member}: {error}"
                )

    def _complain(self, what: str, text: str) -> None:
        """Tell the user, once for each text: the peer may repeat itself for ever."""
        if text not in self._complaints and len(self._complaints) < 64:
            self._complaints.add(text)
            log.warning("%s: %s", what, text)
        self.mailbox.put_problem(text)

    # -- everything but pictures -------------------------------------------

    def _answer_other(self, call: Call) -> None:
        if not call.wants_reply:
            return
        body = bytes(self._framing.read(call, min(call.left, 4096)))
        try:
            signature, values = self._standard(call, body)
        except CallError as error:
            self._refuse(call, error.name, error.text)
            return
        self._answers.send(
            wire.Message(
                wire.RETURN,
                flags=wire.NO_REPLY_EXPECTED,
                reply_serial=call.serial,
                signature=signature,
                body=values,
            )
        )

    def _standard(self, call: Call, body: bytes) -> tuple[str, tuple[object, ...]]:
        """Answer Properties, Introspectable and Peer. Raises CallError."""
        fields = call.fields
        request = fields.interface, fields.member
        if request not in _STANDARD:
            raise CallError(_UNKNOWN_METHOD, f"no method {fields.interface}.{fields.member}")
        arguments, _ = wire.unmarshal(fields.signature, body, 0, call.big_endian)
        if request == _GET_ALL:
            offers = {"Interfaces": wire.Variant("as", self._offers)}
            return "a{sv}", (offers if arguments[:1] == (LISTENER,) else {},)
        if request == _GET:
            if arguments != (LISTENER, "Interfaces"):
                raise CallError(_UNKNOWN_PROPERTY, "no such property")
            return "v", (wire.Variant("as", self._offers),)
        if request == _INTROSPECT:
            return "s", (_introspection(),)
        return "", ()

    def _refuse(self, call: Call, name: str, text: str) -> None:
        if call.wants_reply:
            self._answers.send(
                wire.Message(
                    wire.ERROR,
                    flags=wire.NO_REPLY_EXPECTED,
                    error_name=name,
                    reply_serial=call.serial,
                    signature="s",
                    body=(text,),
                )
            )


def _introspection() -> str:
    interfaces: dict[str, list[str]] = {}
    for member, (interface, signature) in _PICTURE_CALLS.items():
        args = "".join(f'<arg type="{kind}" direction="in"/>' for kind in _split(signature))
        interfaces.setdefault(interface, []).append(f'<method name="{member}">{args}</method>')
    parts = [f'<interface name="{n}">{"".join(m)}</interface>' for n, m in interfaces.items()]
    return f"<node>{''.join(parts)}</node>"


def _split(signature: str) -> list[str]:
    """The complete types of a signature of basic types and arrays of them."""
    kinds: list[str] = []
    prefix = ""
    for letter in signature:
        if letter == "a":
            prefix = "a"
        else:
            kinds.append(prefix + letter)
            prefix = ""
    return kinds
