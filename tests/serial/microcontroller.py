"""A client of the serial link that a test can stop, reset and look into: the link itself, at a pty."""

from __future__ import annotations

import json
import math
import secrets
import select
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_runtime.serial_link import address, compact_requests
from edge_runtime.serial_link.client_link import ClientLink
from edge_runtime.serial_link.counters import Counters
from edge_runtime.serial_link.flow import Flow
from edge_runtime.serial_link.frames import Terms
from edge_runtime.serial_link.ports import open_port

SECONDS = 60.0
"""until an answer must be there"""


class Microcontroller:
    """One request at a time unless it is told otherwise. What noise takes is asked for again by the link."""

    def __init__(self, port: Path, options: str = "", requests: int = 1, message: int = 70_000) -> None:
        """`options`: of the URL, as baud=3000000&pause=2."""
        self._url = address.parse(f"{port}?{options}")
        self.counters = Counters()
        self._requests, self._message = requests, message
        self.replies: dict[int, bytes] = {}
        self.events: list[bytes] = []
        self.resets: list[int | None] = []
        self._bodies: dict[int, bytes] = {}
        self._names: dict[int, int] = {}
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flow.port.close()

    def reset(self) -> None:
        """As by its button: everything forgotten, nothing said."""
        self._flow.port.close()
        self.replies.clear()
        self._bodies.clear()
        self._names.clear()
        self._start()

    def ask(self, body: bytes, seconds: float = SECONDS) -> bytes:
        """The reply to a request.

        Raises:
            TimeoutError: it did not come.
        """
        name = self.send(body)
        self.run(lambda: name in self.replies, seconds)
        if name not in self.replies:
            raise TimeoutError(f"no reply in {seconds:g} s; {self.counters}")
        return self.replies.pop(name)

    def ask_json(self, op: str, **fields: Any) -> Any:
        """The whole reply."""
        return json.loads(self.ask(json.dumps({"op": op, **fields}, separators=(",", ":")).encode()))

    def ask_compact(self, op: str, options: int = 0, **fields: Any) -> bytes:
        return self.ask(compact_requests.write({"op": op, **fields}, options))

    def send(self, body: bytes) -> int:
        """Ask without waiting → a name for the request, by which `replies` has its reply."""
        handle = self.link.send(body)
        self._bodies[handle] = body
        self._names[handle] = handle
        return handle

    def run(self, until: Any, seconds: float = SECONDS) -> None:
        """Keep the link going until `until()` or for so long."""
        end = time.monotonic() + seconds
        flow = self._flow
        while not until() and (now := time.monotonic()) < end:
            due = flow.pump(now)
            poll = select.poll()
            poll.register(flow.port.descriptor, select.POLLIN | (select.POLLOUT if flow.blocked else 0))
            wait = min(end, end if due is None else due) - time.monotonic()
            found = poll.poll(max(0, math.ceil(wait * 1e3)))
            if any(events & ~select.POLLOUT for _, events in found):
                flow.readable(time.monotonic())

    # from the link

    def opened(self, terms: Terms) -> None:
        self.terms = terms

    def replied(self, handle: int, body: bytes) -> None:
        name = self._names.pop(handle)
        assert name not in self.replies, "answered twice"
        self.replies[name] = body
        del self._bodies[handle]

    def event(self, body: bytes) -> None:
        self.events.append(body)

    def lost(self, reason: int | None, unanswered: list[int]) -> None:
        """Text operations are asked again."""
        self.resets.append(reason)
        for handle in unanswered:
            body, name = self._bodies.pop(handle), self._names.pop(handle)
            again = self.link.send(body)
            self._bodies[again], self._names[again] = body, name

    def _start(self) -> None:
        baud = self._url.baud or address.DEFAULT_BAUD
        port, _ = open_port(self._url, baud)
        own = Terms(
            version=1,
            nonce=secrets.randbits(32),
            frame=self._url.frame,
            message=self._message,
            window=2048,
            pause=self._url.pause,
            requests=self._requests,
            digest=bytes(8),
        )
        self.link = ClientLink(self, own, baud, self.counters, time.monotonic())
        self._flow = Flow(port, self.link)
