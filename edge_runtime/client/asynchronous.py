"""The client of a running server for asyncio: thousands of calls at a time over one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakKeyDictionary

from edge_runtime.client import decoding, messages
from edge_runtime.client.async_streams import AsyncStream
from edge_runtime.client.batches import Batch
from edge_runtime.client.blocking import DEFAULT_TIMEOUT, seconds
from edge_runtime.client.channel import Channel
from edge_runtime.client.messages import Timing
from edge_runtime.client.urls import parse
from edge_runtime.errors import ConnectionLost, DeadlineExceeded
from edge_runtime.protocol.limits import PROTOCOL
from edge_runtime.tasks.results import Answer, Choice, Entity, Filling, Label, Understanding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")


class AsyncClient:
    """`Client` with coroutines for methods.

        async with edge_runtime.AsyncClient("unix:///run/edge-runtime/edge.sock") as client:
            heard = await asyncio.gather(*(client.understand(text) for text in texts))

    Calls wait for their turn where there are more than the server takes at a time. A call whose task is cancelled, or
    that times out, is taken back at the server. Where the connection turns out to have ended before a request was sent,
    another is made; all calls whose replies were lost raise `ConnectionLost`, and the next one connects again. The
    errors are those of `Client`.
    """

    def __init__(self, url: str, *, timeout: float = DEFAULT_TIMEOUT, token: str | None = None) -> None:
        """As `Client`; nothing is sent yet."""
        self._address = parse(url)
        self.timeout = seconds(timeout)
        """seconds for each call; may be changed between calls"""
        self._token = token
        self._connecting = asyncio.Lock()
        self._channel: Channel | None = None
        self._closed = False
        self._streams = count(1)
        self._timings: WeakKeyDictionary[asyncio.Task[Any], Timing | None] = WeakKeyDictionary()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection. Closing twice is no error; any other use afterwards is."""
        self._closed = True
        async with self._connecting:
            if self._channel is not None:
                self._channel.end("the client was closed before the answer came")

    @property
    def timing(self) -> Timing | None:
        """Where the server spent the time of this task's last text operation; None before the first."""
        task = asyncio.current_task()
        return None if task is None else self._timings.get(task)

    async def understand(
        self, text: str, *, model: str | None = None, deadline_ms: float | None = None
    ) -> Understanding:
        """As `Client.understand`."""
        found: Understanding = await self._ask("understand", model, deadline_ms, text=text)
        return found

    async def classify(
        self,
        text: str,
        pair: str | None = None,
        top_k: int = 3,
        *,
        model: str | None = None,
        deadline_ms: float | None = None,
    ) -> list[Label]:
        """As `Client.classify`."""
        found: list[Label] = await self._ask("classify", model, deadline_ms, text=text, pair=pair, top_k=top_k)
        return found

    async def tag(self, text: str, *, model: str | None = None, deadline_ms: float | None = None) -> list[Entity]:
        """As `Client.tag`."""
        found: list[Entity] = await self._ask("tag", model, deadline_ms, text=text)
        return found

    async def answer(
        self, question: str, context: str, *, model: str | None = None, deadline_ms: float | None = None
    ) -> Answer:
        """As `Client.answer`."""
        found: Answer = await self._ask("answer", model, deadline_ms, text=question, pair=context)
        return found

    async def embed(
        self, text: str, *, model: str | None = None, deadline_ms: float | None = None
    ) -> NDArray[np.float32]:
        """As `Client.embed`."""
        found: NDArray[np.float32] = await self._ask("embed", model, deadline_ms, text=text)
        return found

    async def fill(
        self, text: str, top_k: int = 5, *, model: str | None = None, deadline_ms: float | None = None
    ) -> list[Filling]:
        """As `Client.fill`."""
        found: list[Filling] = await self._ask("fill", model, deadline_ms, text=text, top_k=top_k)
        return found

    async def choose(
        self, question: str, choices: Sequence[str], *, model: str | None = None, deadline_ms: float | None = None
    ) -> Choice:
        """As `Client.choose`."""
        found: Choice = await self._ask("choose", model, deadline_ms, text=question, choices=choices)
        return found

    async def ask(
        self,
        text: str,
        pair: str | None = None,
        choices: Sequence[str] | None = None,
        top_k: int | None = None,
        *,
        model: str | None = None,
        deadline_ms: float | None = None,
    ) -> Any:
        """As `Client.ask`."""
        return await self._ask("ask", model, deadline_ms, text=text, pair=pair, choices=choices, top_k=top_k)

    async def batch(self, requests: Sequence[Mapping[str, Any]], *, deadline_ms: float | None = None) -> list[Any]:
        """As `Client.batch`."""
        wanted = Batch(requests)
        for part in wanted.parts((await self._within(self._connected())).greeting.limits):
            wanted.take(part, await self._exchange("batch", {"requests": part.requests, "deadline_ms": deadline_ms}))
        return wanted.results

    def stream(
        self,
        task: str | None = None,
        *,
        window: int | None = None,
        overlap: int | None = None,
        question: str | None = None,
        model: str | None = None,
        top_k: int | None = None,
    ) -> AsyncStream:
        """As `Client.stream`; it is opened when its `async with` block is entered.

        async with client.stream("tag") as stream:
            async for piece in pieces:
                print(await stream.feed(piece))
            print(await stream.close())
        """
        values = {"task": task, "window": window, "overlap": overlap, "question": question, "top_k": top_k}
        return AsyncStream(self._sent, self.timeout, {**values, "model": model, "stream": next(self._streams)})

    async def hello(self) -> dict[str, Any]:
        """As `Client.hello`."""
        return decoding.field(await self.request("hello", protocol=PROTOCOL, token=self._token), "result", dict)

    async def info(self, model: str | None = None) -> dict[str, Any]:
        """As `Client.info`."""
        return decoding.field(await self.request("info", model=model), "result", dict)

    async def health(self) -> dict[str, Any]:
        """As `Client.health`."""
        return decoding.field(await self.request("health"), "result", dict)

    async def metrics(self) -> str:
        """As `Client.metrics`."""
        return decoding.field(await self.request("metrics"), "result", str)

    async def reload(self, model: str | None = None) -> list[dict[str, Any]]:
        """As `Client.reload`."""
        return decoding.rows((await self.request("reload", model=model))["result"])

    async def slow_down(self, duty: float, seconds: float, reason: str = "") -> None:
        """As `Client.slow_down`."""
        await self.request("slow_down", duty=duty, for_ms=seconds * 1e3, reason=reason)

    async def request(self, op: str, **values: Any) -> dict[str, Any]:
        """As `Client.request`."""
        reply = await self._exchange(op, values)
        messages.result(reply)
        return reply

    async def _ask(self, op: str, model: str | None, deadline_ms: float | None, **values: Any) -> Any:
        reply = await self._exchange(op, {**values, "model": model, "deadline_ms": deadline_ms})
        found = messages.text_result(reply)
        task = asyncio.current_task()
        assert task is not None
        self._timings[task] = messages.timing(reply)
        return found

    async def _exchange(self, op: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its reply, which may be an error."""
        return await self._within(self._replied(op, values))

    async def _replied(self, op: str, values: Mapping[str, Any]) -> dict[str, Any]:
        channel, number = await self._sent(op, values)
        return await channel.reply(number)

    async def _within(self, call: Coroutine[Any, Any, T]) -> T:
        """What `call` returns, if it does before the timeout."""
        try:
            async with asyncio.timeout(self.timeout):
                return await call
        except TimeoutError:
            if self._channel is not None:
                self._channel.suspect(self.timeout)
            raise DeadlineExceeded(f"{self._address} did not answer within {self.timeout:g} s") from None

    async def _sent(self, op: str, values: Mapping[str, Any]) -> tuple[Channel, int]:
        """Send a request on the channel there is, or on a new one → that channel and the request's id."""
        channel = await self._connected()
        try:
            return channel, await channel.send(op, self._timely(channel, values))
        except ConnectionLost:
            # It had ended, and the server has not read the whole request: sending it again is safe.
            channel = await self._connected()
            return channel, await channel.send(op, self._timely(channel, values))

    async def _connected(self) -> Channel:
        if self._channel is not None and not self._channel.closed and not self._closed:
            return self._channel
        async with self._connecting:
            if self._closed:
                raise ConnectionLost("the client is closed; make another")
            if self._channel is None or self._channel.closed:
                self._channel = await Channel.open(self._address, self._token)
            return self._channel

    def _timely(self, channel: Channel, values: Mapping[str, Any]) -> Mapping[str, Any]:
        if "deadline_ms" not in values:
            return values
        return {**values, "deadline_ms": channel.greeting.deadline_ms(values["deadline_ms"], self.timeout)}
