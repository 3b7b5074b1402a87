"""Messages between the server and its worker processes: a length, then marshal.

Both ends are the same Python, started by the same server, on an unnamed socket pair that nobody else holds; marshal is
the quickest way there is to carry tuples, strings and bytes between them.
"""

from __future__ import annotations

import marshal
import socket
import struct
from collections.abc import Iterator
from typing import Any

_LENGTH = struct.Struct("<I")
_READ = 1 << 16


def pack(message: tuple[Any, ...]) -> bytes:
    body = marshal.dumps(message)
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Bytes as they arrive → messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Any, ...]]:
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            message: tuple[Any, ...] = marshal.loads(bytes(self._buffer[_LENGTH.size : end]))  # noqa: S302  see above
            del self._buffer[:end]
            yield message


def messages(connection: socket.socket) -> Iterator[tuple[Any, ...]]:
    """What arrives on a blocking socket until the other end closes it."""
    unpacker = Unpacker()
    while data := connection.recv(_READ):
        yield from unpacker.feed(data)
