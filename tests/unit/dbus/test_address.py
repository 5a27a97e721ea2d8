"""Addresses: every form a user has, and a clear word for those that fail."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from glview.dbus import address
from glview.errors import AddressError, ConnectError


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Path]:
    """A path on which somebody listens, with characters that have to be escaped."""
    path = tmp_path / "a bus,é;=%"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        yield path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("unix:path=/run/bus", b"/run/bus"),
        ("unix:path=/run/bus,guid=0123", b"/run/bus"),
        ("unix:guid=0123,path=/run/bus", b"/run/bus"),
        ("unix:path=/a%20b%2c%C3%A9%25", b"/a b,\xc3\xa9%"),
        ("unix:path=/a b", b"/a b"),
        ("unix:path=/run/user/1000/a@b*c", b"/run/user/1000/a@b*c"),
        ("unix:abstract=/tmp/dbus-x", b"\0/tmp/dbus-x"),
        ("unix:abstract=%ff", b"\0\xff"),
        ("unix:path=/" + "x" * 106, b"/" + b"x" * 106),
    ],
)
def test_forms(text: str, name: bytes) -> None:
    (found,) = address.parse(text)
    assert found.socket_name() == name


def test_lists_keep_their_order() -> None:
    found = address.parse("unix:path=/a;unix:abstract=b;;tcp:host=localhost,port=1;")
    assert [one.transport for one in found] == ["unix", "unix", "tcp"]
    assert found[2].params == {"host": "localhost", "port": "1"}


def test_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    (found,) = address.parse("unix:runtime=yes")
    assert found.socket_name() == b"/run/user/7/bus"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with pytest.raises(AddressError, match="XDG_RUNTIME_DIR"):
        address.parse("unix:runtime=yes")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (";", "empty"),
        ("/run/user/1000/bus", "did you mean unix:path=/run/user/1000/bus"),
        ("session", "not a D-Bus address"),
        ("unix", "not a D-Bus address"),
        ("unix:", "exactly one of path"),
        ("unix:path", "not one key=value"),
        ("unix:=x", "not one key=value"),
        ("unix:path=/a,path=/b", "not one key=value"),
        ("unix:path=/a,abstract=b", "exactly one of path"),
        ("unix:path=", "0 bytes"),
        ("unix:abstract=", "1 bytes"),
        ("unix:path=/a%00b", "bytes"),
        ("unix:path=/a%2", "hexadecimal"),
        ("unix:path=/a%zz", "hexadecimal"),
        ("unix:path=/" + "x" * 107, "108 bytes"),
        ("unix:dir=/tmp", "unix:abstract=NAME"),
        ("unix:runtime=no", "runtime=yes"),
        ("tcp:host=localhost,port=4242", "'tcp' is not supported.*unix:path="),
        ("nonce-tcp:host=a", "'nonce-tcp' is not supported"),
        ("unixexec:path=/bin/true", "'unixexec' is not supported"),
        ("autolaunch:", "'autolaunch' is not supported"),
    ],
)
def test_bad_addresses(text: str, words: str) -> None:
    with pytest.raises(AddressError, match=words):
        address.parse(text)


def test_escape_is_undone_by_parse(listener: Path) -> None:
    text = f"unix:path={address.escape(str(listener))}"
    assert address.parse(text)[0].socket_name() == os.fsencode(listener)


def test_connect_takes_the_first_that_answers(listener: Path, tmp_path: Path) -> None:
    good = address.escape(str(listener))
    sock = address.connect(f"unix:path={tmp_path}/none;tcp:host=a;unix:path={good},guid=0")
    with sock:
        assert sock.getpeername() == str(listener)
        assert sock.gettimeout() is None
        assert not sock.get_inheritable()


def test_connect_to_an_abstract_name() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("")  # the kernel chooses an abstract name
        server.listen()
        name = server.getsockname()[1:].decode()
        with address.connect(f"unix:abstract={name}") as sock:
            assert sock.getpeername() == server.getsockname()


def test_one_error_names_all_that_was_tried(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    dead = tmp_path / "dead"
    datagrams = tmp_path / "datagrams"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(dead))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(datagrams))
        text = ";".join(
            [f"unix:path={tmp_path}/none", f"unix:path={plain}", f"unix:path={dead}",
             f"unix:path={datagrams}", "tcp:host=a", "unix:abstract=glview-nobody"]
        )  # fmt: skip
        with pytest.raises(ConnectError) as caught:
            address.connect(text)
    assert str(caught.value) == (
        f"cannot connect to unix:path={tmp_path}/none: no such file; "
        f"unix:path={plain}: not a socket; "
        f"unix:path={dead}: nobody listens there; "
        f"unix:path={datagrams}: not a stream socket; "
        "tcp:host=a: transport 'tcp' is not supported; "
        "unix:abstract=glview-nobody: nobody listens there"
    )


def test_a_listener_that_does_not_accept(tmp_path: Path) -> None:
    path = tmp_path / "busy"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(path))
            with pytest.raises(ConnectError, match="queue of waiting connections is full"):
                address.connect(f"unix:path={path}")


def test_permission_denied(tmp_path: Path) -> None:
    error = PermissionError(13, "Permission denied")
    assert address._reason(error, address.parse("unix:path=/x")[0]) == "permission denied"


def test_session_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/mine")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert address.session_address() == "unix:path=/mine"
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "")
    with pytest.raises(ConnectError, match=r"no D-Bus session bus.*--qmp"):
        address.session_address()
    (tmp_path / "bus").touch()
    found = address.parse(address.session_address())[0]
    assert found.socket_name() == os.fsencode(tmp_path / "bus")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with pytest.raises(ConnectError):
        address.session_address()
