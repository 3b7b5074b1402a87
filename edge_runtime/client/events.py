"""What servers send about open streams, kept until somebody takes it."""

from __future__ import annotations

from typing import Any

from edge_runtime.errors import ServerError

MAX_BYTES = 64 << 20
"""of events that are kept: the vectors of a feed's windows are 1 MB, or 30 MB where they overlap as far as they can"""


class Events:
    """The events of the streams of one connection."""

    def __init__(self) -> None:
        self._streams: dict[int, list[Any]] = {}
        self._bytes = 0
        self.taken = 0
        """how many have been kept, ever"""

    def follow(self, stream: int) -> None:
        """Keep those of a stream from now on."""
        self._streams[stream] = []

    def unfollow(self, stream: int) -> None:
        self._streams.pop(stream, None)

    def take(self, message: dict[str, Any], size: int) -> bool:
        """Keep an event of `size` bytes; false if nobody follows its stream.

        Raises:
            ServerError: more than anybody could want.
        """
        stream = message.get("stream")
        if not isinstance(stream, int) or stream not in self._streams:
            return False
        self._streams[stream].append(message.get("window"))
        self.taken += 1
        self._bytes += size
        if self._bytes > MAX_BYTES:
            raise ServerError(
                f"the server sent more than {MAX_BYTES} bytes of events; feed the stream in smaller pieces"
            )
        return True

    def of(self, stream: int) -> list[Any]:
        """What has arrived of a stream since the last time."""
        found = self._streams.get(stream, [])
        if found:
            self._streams[stream] = []
        self._bytes = 0
        return found
