"""Both clients behind one face, so that a test says once what is true of both."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Any, Self

from edge_runtime import AsyncClient, Client, WindowResult
from edge_runtime.client.messages import Timing

KINDS = ("Client", "AsyncClient")


class Driver:
    """`driver.call("understand", text)` calls the client's method, and runs it if it is a coroutine."""

    def __init__(self, kind: str, url: str, **options: Any) -> None:
        self.timing: Timing | None = None
        """what the client says of it after the last call"""
        self._runner = asyncio.Runner()
        self.client: Any = Client(url, **options) if kind == "Client" else AsyncClient(url, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call("close")
        self._runner.close()

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        found = getattr(self.client, method)(*arguments, **options)
        if isinstance(found, Awaitable):
            return self._run(found)
        self.timing = self.client.timing
        return found

    def read(self, pieces: Sequence[str | bytes], **options: Any) -> tuple[list[WindowResult], Any, Any]:
        """Feed a stream → its windows, its final result, and how far it was read."""
        if isinstance(self.client, Client):
            with self.client.stream(**options) as stream:
                windows = [found for piece in pieces for found in stream.feed(piece)]
                final = stream.close()
            return windows + stream.rest, final, stream.reading

        async def read() -> tuple[list[WindowResult], Any, Any]:
            async with self.client.stream(**options) as stream:
                windows = [found for piece in pieces for found in await stream.feed(piece)]
                final = await stream.close()
            return windows + stream.rest, final, stream.reading

        found: tuple[list[WindowResult], Any, Any] = self._run(read())
        return found

    def _run(self, call: Any) -> Any:
        async def awaited() -> Any:
            found = await call
            self.timing = self.client.timing
            return found

        return self._runner.run(awaited())
