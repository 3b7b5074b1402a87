"""One connection to a server for asyncio: any number of requests at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from itertools import count
from typing import Any

from edge_runtime.client import messages
from edge_runtime.client.events import Events
from edge_runtime.client.messages import Greeting
from edge_runtime.client.urls import Address
from edge_runtime.errors import ConnectionLost, EdgeError, ServerError
from edge_runtime.protocol.limits import Limits
from edge_runtime.protocol.lines import Lines

_READ = 1 << 16
"""bytes asked for at once"""


class Channel(asyncio.Protocol):
    """Matches replies to requests. Whatever goes wrong beyond an error reply ends it, and every request on it."""

    def __init__(self, address: Address) -> None:
        self.events = Events()
        self.greeting = Greeting(Limits())
        self._address = address
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]] | None] = {}
        """by request that has no reply; None where nobody wants it any more"""
        self._unclaimed: dict[int, asyncio.Future[dict[str, Any]]] = {}
        """by request whose reply, there or not, nobody has waited for yet"""
        self._taken_back: dict[int, float] = {}
        """since when a cancel has no reply"""
        self._slots = asyncio.Semaphore(1)
        self._slotted: set[int] = set()
        """requests that hold one of the slots until the server has answered them"""
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None
        self._ended: EdgeError | None = None
        self._lines = Lines(self.greeting.limits.reply_bytes)

    @classmethod
    async def open(cls, address: Address, token: str | None) -> Channel:
        """Connect and say hello.

        Raises:
            ConnectionLost: nobody listens there.
            EdgeError: the server refused.
        """
        channel = cls(address)
        try:
            await address.open(lambda: channel)
        except OSError as error:
            raise ConnectionLost(
                f"cannot connect to {address}: {error.strerror or error}; is edge-runtime serve running there?"
            ) from None
        try:
            number = next(channel._numbers)
            channel._write(number, messages.hello(number, token))
            channel.greeting = Greeting.read(await channel.reply(number))
        except BaseException:
            channel.end("the connection was given up")
            raise
        channel._lines = Lines(channel.greeting.limits.reply_bytes)
        channel._slots = asyncio.Semaphore(channel.greeting.limits.pending)
        return channel

    @property
    def closed(self) -> bool:
        return self._ended is not None

    def end(self, why: str) -> None:
        self._end(ConnectionLost(why))

    async def send(self, op: str, values: Mapping[str, Any]) -> int:
        """Send a request as soon as the server takes another → its id.

        Raises:
            InputError, TooLong: it cannot be sent; the connection goes on.
            ConnectionLost: the connection has ended, and the server has not read the whole request.
        """
        number = next(self._numbers)
        line = messages.request(number, op, values, self.greeting.limits)
        await self._slots.acquire()
        self._slotted.add(number)
        try:
            await self._writable.wait()
            self._write(number, line)
        except EdgeError as error:
            self._give_slot_back(number)
            raise ConnectionLost(str(error)) from None
        except BaseException:
            self._give_slot_back(number)
            raise
        return number

    async def reply(self, number: int) -> dict[str, Any]:
        """Wait for the reply to a request, an error among replies. Whoever stops waiting takes the request back.

        Raises:
            EdgeError: the connection has ended, or the server refuses to go on.
        """
        try:
            return await self._unclaimed.pop(number)
        except asyncio.CancelledError:
            self._take_back(number)
            raise

    def forget(self, number: int) -> None:
        """Nobody will wait for the reply to this request."""
        self._unclaimed.pop(number, None)
        if number in self._waiting:
            self._waiting[number] = None

    def drop(self, stream: int) -> None:
        """Have the server drop a stream, without waiting for it."""
        self.events.unfollow(stream)
        self._cancel({"stream": stream})

    def suspect(self, seconds: float) -> None:
        """Give the connection up if a request was taken back so long ago and the server has not even answered that."""
        now = asyncio.get_running_loop().time()
        if any(now - since >= seconds for since in self._taken_back.values()):
            self.end(f"{self._address} has answered nothing for more than {seconds:g} s")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for line in self._lines.feed(data):
                if line is None:
                    raise ServerError("the server sent a line longer than it announced; is it an edge-runtime?")
                if line.strip() and self._ended is None:
                    self._take(line)
        except EdgeError as error:
            self._end(error)

    def connection_lost(self, error: Exception | None) -> None:
        why = f": {error}" if error is not None else ""
        if error is not None:
            self._last_words()
        self.end(f"{self._address} ended the connection before it answered{why}")

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _write(self, number: int, line: bytes) -> None:
        if self._ended is None:
            assert self._transport is not None
            future = asyncio.get_running_loop().create_future()
            self._waiting[number] = self._unclaimed[number] = future
            self._transport.write(line)
            if not self._transport.is_closing():
                return
            # the write itself found that the other end is gone
            self.forget(number)
            del self._waiting[number]
            self._last_words()
            self.end(f"{self._address} ended the connection")
        assert self._ended is not None
        raise type(self._ended)(str(self._ended))

    def _last_words(self) -> None:
        """Take what had arrived before the other end went: asyncio reads no more once a write has failed."""
        assert self._transport is not None
        connected = self._transport.get_extra_info("socket")
        while self._ended is None:
            try:
                data = os.read(connected.fileno(), _READ)
            except OSError:
                return
            if not data:
                return
            self.data_received(data)

    def _take(self, line: bytes) -> None:
        """Put a message where it belongs."""
        message = messages.read(line)
        number = message.get("id")
        if number is None:
            if message.get("error") is not None:
                raise messages.failure(message["error"])
            self.events.take(message, len(line))
            return
        if isinstance(number, bool) or not isinstance(number, int) or number not in self._waiting:
            raise ServerError(f"the server answered a request that was not sent ({number!r:.60}); connect again")
        future = self._waiting.pop(number)
        self._taken_back.pop(number, None)
        self._give_slot_back(number)
        if future is not None and not future.done():
            future.set_result(message)

    def _take_back(self, number: int) -> None:
        if number in self._waiting:
            self._waiting[number] = None
            self._cancel({"request": number})

    def _cancel(self, what: Mapping[str, int]) -> None:
        if self._ended is not None:
            return
        number = next(self._numbers)
        self._waiting[number] = None
        self._taken_back[number] = asyncio.get_running_loop().time()
        assert self._transport is not None
        self._transport.write(messages.request(number, "cancel", what, self.greeting.limits))

    def _give_slot_back(self, number: int) -> None:
        if number in self._slotted:
            self._slotted.discard(number)
            self._slots.release()

    def _end(self, error: EdgeError) -> None:
        if self._ended is not None:
            return
        self._ended = error
        if self._transport is not None:
            self._transport.abort()
        self._writable.set()
        for number in list(self._slotted):
            self._give_slot_back(number)
        for future in self._waiting.values():
            if future is not None and not future.done():
                # one for each: a traceback belongs to one task
                future.set_exception(type(error)(str(error)))
                # asked for, so that asyncio does not complain of one that nobody waits for
                future.exception()
        self._waiting.clear()
