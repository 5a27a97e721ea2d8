"""A small QMP client for tests, independent of the one that glview uses."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, TypeAlias

from tests.support.wait import PATIENCE

Json: TypeAlias = Any
"""What a command returns is for the caller to know."""


class QmpRefused(AssertionError):
    """QEMU answered a command with an error."""


class Qmp:
    """One QMP connection. Commands block; events that pass by are collected."""

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout * PATIENCE)
        self._file = self._socket.makefile("rb")
        self.events: list[dict[str, Any]] = []
        try:
            self._socket.connect(str(path))
            self._read()  # the greeting
            self("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def __call__(self, command: str, **arguments: object) -> Json:
        """Execute a command and return its result.

        Keywords are the arguments, with `_` for `-`. Raises `QmpRefused`, or
        `TimeoutError` if QEMU does not answer in time.
        """
        renamed = {key.replace("_", "-"): value for key, value in arguments.items()}
        message = {"execute": command, "arguments": renamed}
        self._socket.sendall(json.dumps(message).encode())
        while True:
            answer = self._read()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise QmpRefused(f"{command}: {answer['error']['desc']}")

    def wait_event(self, name: str) -> dict[str, Any]:
        """Wait for the next event of that name that was not waited for yet."""
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            self._read()

    def close(self) -> None:
        """Close the connection; QEMU then takes the next client."""
        self._file.close()
        self._socket.close()

    def _read(self) -> dict[str, Any]:
        line = self._file.readline()
        if not line:
            raise ConnectionError("QMP connection closed")
        message: dict[str, Any] = json.loads(line)
        if "event" in message:
            self.events.append(message)
        return message
