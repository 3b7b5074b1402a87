"""Clients that keep asking while things happen to the server: they reconnect, and ask again what was not answered."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.serve import questions
from tests.serve.wire import Wire

AHEAD = 4
"""requests that a caller sends before it has the replies"""
TRY_AGAIN = {"unavailable", "overloaded", "deadline"}
"""codes after which docs/protocol.md says to ask again later"""


@dataclass(slots=True)
class Answered:
    """One request and what came back; times on `time.monotonic`."""

    text: str
    result: Any
    sent: float
    at: float


@dataclass(slots=True)
class Tally:
    """What happened to all callers together."""

    answered: list[Answered] = field(default_factory=list)
    lost: int = 0
    """requests in flight when a connection ended"""
    ended: int = 0
    """connections that ended before the caller ended them"""
    put_off: int = 0
    """replies that said to try again"""
    errors: list[Any] = field(default_factory=list)
    """other errors, and replies that nobody waited for"""


class Callers:
    """Several of them in threads, while the `with` statement lasts; then what they are waiting for is still awaited."""

    def __init__(self, path: Path, count: int, texts: list[str]) -> None:
        self._path = path
        self._texts = texts
        self._changed = threading.Condition()
        self._stopping = False
        self._tally = Tally()
        self._failed: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()
        if error is None and self._failed:
            raise self._failed[0]

    @property
    def tally(self) -> Tally:
        """To be read when it is over."""
        return self._tally

    def wait_for(self, more: int) -> None:
        """Until so many more requests were answered.

        Raises:
            TimeoutError: they are not.
        """
        with self._changed:
            goal = len(self._tally.answered) + more
            reached = self._changed.wait_for(lambda: len(self._tally.answered) >= goal or bool(self._failed), 120)
        if self._failed:
            raise self._failed[0]
        if not reached:
            raise TimeoutError("the callers get no answers")

    def _run(self, number: int) -> None:
        try:
            _Caller(self, number).run()
        except BaseException as error:  # raised again in the main thread
            with self._changed:
                self._failed.append(error)
                self._changed.notify_all()

    def stopping(self) -> bool:
        return self._stopping

    def connect(self) -> Wire:
        return Wire.unix(self._path)

    def text(self, turn: int) -> str:
        return self._texts[turn % len(self._texts)]

    def note(self, **changes: Any) -> None:
        """Add to the tally."""
        with self._changed:
            for name, value in changes.items():
                have = getattr(self._tally, name)
                if isinstance(have, list):
                    have.append(value)
                else:
                    setattr(self._tally, name, have + value)
            self._changed.notify_all()


class _Caller:
    def __init__(self, callers: Callers, number: int) -> None:
        self._callers = callers
        self._next = number * 1_000_000
        self._again: deque[str] = deque()
        self._in_flight: dict[int, tuple[str, float]] = {}
        self._wire: Wire | None = None

    def run(self) -> None:
        while not self._callers.stopping() or self._in_flight or self._again:
            try:
                if self._wire is None:
                    self._wire = self._callers.connect()
                while len(self._in_flight) < AHEAD and (self._again or not self._callers.stopping()):
                    self._ask(self._wire)
                message = self._wire.receive()
            except (BrokenPipeError, ConnectionResetError):
                message = None
            if message is None:
                self._lose()
            else:
                self._take(message)
        if self._wire is not None:
            self._wire.close()

    def _ask(self, wire: Wire) -> None:
        self._next += 1
        text = self._again.popleft() if self._again else self._callers.text(self._next)
        self._in_flight[self._next] = text, time.monotonic()
        wire.send_bytes(questions.line(self._next, text, deadline_ms=60_000))

    def _take(self, message: Any) -> None:
        asked = self._in_flight.pop(message.get("id"), None)
        if asked is None:
            if message.get("id") is not None or message["error"]["code"] not in TRY_AGAIN:
                self._callers.note(errors=message)
        elif "result" in message:
            self._callers.note(answered=Answered(asked[0], message["result"], asked[1], time.monotonic()))
        elif message["error"]["code"] in TRY_AGAIN:
            self._callers.note(put_off=1)
            self._again.append(asked[0])
        else:
            self._callers.note(errors=message)

    def _lose(self) -> None:
        assert self._wire is not None
        self._wire.close()
        self._wire = None
        self._callers.note(ended=1, lost=len(self._in_flight))
        self._again.extend(text for text, _ in self._in_flight.values())
        self._in_flight.clear()
