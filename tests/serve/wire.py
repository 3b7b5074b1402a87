"""The protocol with nothing in between: lines over a blocking socket, as docs/protocol.md has them."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SECONDS = 60.0
"""until a reply must have come; only a server that stalls takes longer"""


class Wire:
    """A connection. It checks nothing that it sends."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(SECONDS)
        self._buffer = bytearray()
        self._searched = 0

    @classmethod
    def unix(cls, path: Path) -> Wire:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # blocking: with a timeout, connecting fails at once where many wait to be accepted (EAGAIN in connect(2))
            connection.connect(os.fspath(path))
        except OSError:
            connection.close()
            raise
        return cls(connection)

    @classmethod
    def tcp(cls, port: int, host: str = "127.0.0.1") -> Wire:
        connection = socket.create_connection((host, port), SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, message: Any) -> None:
        self.send_bytes(json.dumps(message).encode() + b"\n")

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive_line(self) -> bytes | None:
        """The next line without its end; None when the server has ended the connection.

        Raises:
            TimeoutError: nothing came.
        """
        while (end := self._buffer.find(b"\n", self._searched)) < 0:
            self._searched = len(self._buffer)
            try:
                data = self.socket.recv(1 << 18)
            except (ConnectionResetError, BrokenPipeError):
                return None
            if not data:
                return None
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def receive(self) -> Any:
        """The next message; None when the server has ended the connection."""
        line = self.receive_line()
        return None if line is None else json.loads(line)

    def ask(self, message: Any) -> Any:
        """Send a request and take the next message."""
        self.send(message)
        return self.receive()
