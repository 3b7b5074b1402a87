"""Bytes as they arrive → lines."""

from __future__ import annotations

from collections.abc import Iterator


class Lines:
    """Cuts a stream of bytes into lines, in memory bounded by the longest that is allowed."""

    def __init__(self, limit: int) -> None:
        """`limit`: bytes of a line, without its line feed."""
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._skipping = False

    @property
    def partial(self) -> bool:
        """Whether the beginning of a line is waiting for its end."""
        return self._skipping or bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Lines that `data` completes, without their line feeds.

        None stands for one that is too long, once, as soon as that is known; what is left of it is skipped.
        """
        if not self._buffer and not self._skipping and data.endswith(b"\n") and data.count(b"\n") == 1:
            # nearly always: exactly one whole line
            yield data[:-1] if len(data) <= self._limit + 1 else None
            return
        self._buffer += data
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end < 0:
                break
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._searched = 0
            if self._skipping:
                self._skipping = False
            else:
                yield line if end <= self._limit else None
        if len(self._buffer) > self._limit or self._skipping:
            self._buffer.clear()
            self._searched = 0
            if not self._skipping:
                self._skipping = True
                yield None
        else:
            self._searched = len(self._buffer)
