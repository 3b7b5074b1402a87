"""`streams` for asyncio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from edge_runtime.client import messages
from edge_runtime.client.channel import Channel
from edge_runtime.client.streams import Reading, pieces
from edge_runtime.errors import ConnectionLost, DeadlineExceeded, InputError
from edge_runtime.tasks.results import WindowResult

Send = Callable[[str, Mapping[str, Any]], Awaitable[tuple[Channel, int]]]


class AsyncStream:
    """A stream of `AsyncClient.stream`. Leaving its `async with` block closes it, or takes it back after an error."""

    def __init__(self, send: Send, timeout: float, opening: Mapping[str, Any]) -> None:
        """Nothing is sent yet; `opening` are the fields of `open`."""
        self._send_opening = send
        self._timeout = timeout
        self._opening = opening
        self._name: int = opening["stream"]
        self._turn = asyncio.Lock()
        self._channel: Channel | None = None
        self._over = False
        self._reading: Reading | None = None
        self.rest: list[WindowResult] = []
        """what was found in the windows that `close` filled"""

    @property
    def reading(self) -> Reading:
        """How far the server has read. Raises InputError before the stream is opened."""
        if self._reading is None:
            raise InputError("the stream is not open yet; use it in an `async with` block")
        return self._reading

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._timeout):
                self._channel, number = await self._send_opening("open", self._opening)
                self._channel.events.follow(self._name)
                self._reading = Reading(messages.result(await self._channel.reply(number)))
        except TimeoutError:
            self._drop()
            raise DeadlineExceeded(f"the stream was not opened within {self._timeout:g} s") from None
        except BaseException:
            self._drop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._over:
            return
        if kind is None:
            await self.close()
        else:
            self.cancel()

    async def feed(self, data: str | bytes) -> list[WindowResult]:
        """As `Stream.feed`."""
        channel = self._open_channel()
        parts = pieces(data, channel.greeting.limits)
        waiting: deque[int] = deque()
        async with self._mine():
            try:
                for part in parts:
                    waiting.append(await self._send(channel, "feed", part))
                    if len(waiting) == messages.FEEDS_AHEAD:
                        self.reading.note(await self._reply(channel, waiting.popleft()))
                while waiting:
                    self.reading.note(await self._reply(channel, waiting.popleft()))
            finally:
                for number in waiting:
                    channel.forget(number)
            return self.reading.seen(channel.events.of(self._name))

    async def close(self) -> Any:
        """As `Stream.close`."""
        channel = self._open_channel()
        async with self._mine():
            reply = await self._reply(channel, await self._send(channel, "close", {}))
            self.rest = self.reading.seen(channel.events.of(self._name))
            self._over = True
            channel.events.unfollow(self._name)
            return self.reading.end(reply)

    def cancel(self) -> None:
        """Give the stream up; what was read of it is dropped."""
        self._drop()

    def _open_channel(self) -> Channel:
        if self._channel is None or self._over:
            raise InputError("the stream is not open; use it in an `async with` block of its own")
        return self._channel

    @asynccontextmanager
    async def _mine(self) -> AsyncIterator[None]:
        """This task's turn on the stream, for feeds must not overtake each other; an error ends the stream."""
        async with self._turn:
            if self._open_channel().closed:
                self._drop()
                raise ConnectionLost("the stream ended with its connection; open another and begin the text again")
            try:
                yield
            except BaseException:
                self._drop()
                raise

    async def _send(self, channel: Channel, op: str, values: Mapping[str, str]) -> int:
        try:
            async with asyncio.timeout(self._timeout):
                return await channel.send(op, {"stream": self._name, **values})
        except TimeoutError:
            raise self._late(channel) from None

    async def _reply(self, channel: Channel, number: int) -> Mapping[str, Any]:
        """Wait for a reply as long as the server shows signs of life."""
        reply = asyncio.ensure_future(channel.reply(number))
        try:
            while True:
                taken = channel.events.taken
                done, _ = await asyncio.wait({reply}, timeout=self._timeout)
                if done:
                    return reply.result()
                if channel.events.taken == taken:
                    raise self._late(channel)
        finally:
            reply.cancel()

    def _late(self, channel: Channel) -> DeadlineExceeded:
        channel.suspect(self._timeout)
        return DeadlineExceeded(f"the server said nothing about the stream for {self._timeout:g} s; it was given up")

    def _drop(self) -> None:
        self._over = True
        if self._channel is not None:
            self._channel.drop(self._name)
