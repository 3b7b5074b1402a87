"""A text of any length, read by the server in windows while it arrives."""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from edge_runtime.client import decoding, messages
from edge_runtime.client.connection import Connection
from edge_runtime.errors import ConnectionLost, EdgeError, InputError
from edge_runtime.protocol.limits import Limits
from edge_runtime.tasks.results import WindowResult

_ESCAPED = 6
"""bytes that one byte of text has at most as JSON: \\u0000"""
_UTF8 = 4
"""bytes that one character has at most"""
_FRAME = 256
"""bytes of a feed's line beside its text: id, op, name"""


class Reading:
    """How far the server has read a stream; what both clients' streams know."""

    def __init__(self, opened: Any) -> None:
        """`opened`: the result of `open`."""
        self.task = decoding.field(opened, "task", str)
        self.model = decoding.field(opened, "model", str)
        self.window = decoding.field(opened, "window", int)
        """tokens of a window, special ones included"""
        self.overlap = decoding.field(opened, "overlap", int)
        """tokens that neighbouring windows share"""
        self.windows = 0
        """run so far"""
        self.characters = 0
        """read so far"""
        self.truncated = False
        """whether there were more entities than the server keeps; known once the stream is closed"""
        self.final: Any = None
        """what `close` returned"""

    def note(self, reply: Mapping[str, Any]) -> Any:
        """The result of a reply to `feed` or `close`. Raises the error that it is."""
        said = messages.result(reply)
        self.windows = decoding.field(said, "windows", int)
        self.characters = decoding.field(said, "characters", int)
        return said

    def end(self, reply: Mapping[str, Any]) -> Any:
        """The final result in a reply to `close`."""
        said = self.note(reply)
        self.truncated = decoding.field(said, "truncated", bool)
        self.final = decoding.result(self.task, decoding.field(said, "final", object))
        return self.final

    def seen(self, events: list[Any]) -> list[WindowResult]:
        return [decoding.window(self.task, event) for event in events]


def pieces(data: str | bytes, limits: Limits) -> Iterator[Mapping[str, str]]:
    """The fields of as many feeds as a text takes.

    Raises:
        InputError: it is neither string nor bytes, or holds half of a surrogate pair.
    """
    if isinstance(data, str):
        # all of it is looked at first: nothing of a text that cannot be sent is fed
        messages.dump(data)
        step = max(1, min(limits.feed_bytes // _UTF8, (limits.line_bytes - _FRAME) // _ESCAPED))
        return ({"text": data[place : place + step]} for place in range(0, len(data), step))
    if isinstance(data, (bytes, bytearray, memoryview)):
        view = memoryview(data).cast("B")
        size = max(1, min(limits.feed_bytes, (limits.line_bytes - _FRAME) // 4 * 3))
        return (
            {"base64": base64.b64encode(view[place : place + size]).decode("ascii")}
            for place in range(0, len(view), size)
        )
    raise InputError(f"a stream is fed strings or bytes, not {type(data).__name__}")


class Stream:
    """An open stream of `Client.stream`. Leaving its `with` block closes it, or takes it back after an error.

    It lives as long as the client's connection: a timeout of another call on the same client ends it too.
    """

    def __init__(
        self,
        connection: Connection,
        turn: Callable[[float], AbstractContextManager[None]],
        timeout: float,
        name: int,
        opened: Any,
    ) -> None:
        """`turn` gives this thread the connection until it leaves the context, or raises DeadlineExceeded."""
        self.reading = Reading(opened)
        self._connection = connection
        self._turn = turn
        self._timeout = timeout
        self._name = name
        self._open = True
        self.rest: list[WindowResult] = []
        """what was found in the windows that `close` filled"""
        connection.events.follow(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._open:
            return
        if kind is None:
            self.close()
            return
        with suppress(EdgeError):
            self.cancel()

    def feed(self, data: str | bytes) -> list[WindowResult]:
        """Send more of the text → what was found in the windows that it filled.

        Bytes are UTF-8 and may be cut inside a character. What is longer than one message takes goes out in several,
        some of them ahead of their replies.

        Raises:
            InputError: `data` is neither, or holds half of a surrogate pair; the stream goes on.
            EdgeError: the stream has ended.
        """
        limits = self._connection.greeting.limits
        parts = pieces(data, limits)
        ahead = min(messages.FEEDS_AHEAD, limits.pending)
        waiting: deque[int] = deque()
        with self._mine():
            for part in parts:
                waiting.append(self._send("feed", part))
                if len(waiting) == ahead:
                    self.reading.note(self._reply(waiting.popleft()))
            while waiting:
                self.reading.note(self._reply(waiting.popleft()))
            return self.reading.seen(self._connection.events.of(self._name))

    def close(self) -> Any:
        """End the text → what the operation says about all of it; `rest` then has the windows that were run last."""
        with self._mine():
            reply = self._reply(self._send("close", {}))
            self.rest = self.reading.seen(self._connection.events.of(self._name))
            self._over()
            return self.reading.end(reply)

    def cancel(self) -> None:
        """Give the stream up; what was read of it is dropped."""
        if self._open and not self._connection.closed:
            with self._turn(time.monotonic() + self._timeout):
                self._drop()

    @contextmanager
    def _mine(self) -> Iterator[None]:
        """This thread's turn on the connection; an error ends the stream."""
        if not self._open:
            raise InputError("the stream is closed; open another")
        with self._turn(time.monotonic() + self._timeout):
            if self._connection.closed:
                self._over()
                raise ConnectionLost("the stream ended with its connection; open another and begin the text again")
            try:
                yield
            except BaseException:
                self._drop()
                raise

    def _send(self, op: str, values: Mapping[str, str]) -> int:
        return self._connection.send(op, {"stream": self._name, **values}, time.monotonic() + self._timeout)

    def _reply(self, number: int) -> Mapping[str, Any]:
        return self._connection.reply(number, time.monotonic() + self._timeout, self._timeout)

    def _drop(self) -> None:
        if self._open and not self._connection.closed:
            with suppress(EdgeError):
                self._reply(self._send("cancel", {}))
        self._over()

    def _over(self) -> None:
        self._open = False
        self._connection.events.unfollow(self._name)
