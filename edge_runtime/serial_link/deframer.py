"""Bytes as they arrive → what lies between two delimiters, in memory bounded by the largest frame."""

from __future__ import annotations

from collections.abc import Iterator


class Deframer:
    """Cuts a stream of bytes at its zeros. It is whole again at the next zero, whatever came before."""

    def __init__(self, frame: int) -> None:
        """`frame`: bytes on the wire of the largest frame that is taken, both delimiters included."""
        self._limit = frame - 2
        self._buffer = bytearray()
        self._overflow = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """What `data` completes, never empty; None for more bytes than the largest frame has."""
        *ended, rest = data.split(b"\0")
        for piece in ended:
            self._add(piece)
            if self._overflow:
                yield None
            elif self._buffer:
                yield bytes(self._buffer)
            self._buffer.clear()
            self._overflow = False
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        if self._overflow or len(self._buffer) + len(piece) > self._limit:
            self._overflow = True
            self._buffer.clear()
        else:
            self._buffer += piece
