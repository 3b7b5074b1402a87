"""The client of a running server for programs that wait for their answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from edge_runtime.client import decoding, messages
from edge_runtime.client.batches import Batch
from edge_runtime.client.connection import Connection
from edge_runtime.client.messages import Timing
from edge_runtime.client.streams import Stream
from edge_runtime.client.urls import parse
from edge_runtime.errors import ConnectionLost, DeadlineExceeded, InputError
from edge_runtime.protocol.limits import PROTOCOL
from edge_runtime.tasks.results import Answer, Choice, Entity, Filling, Label, Understanding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_TIMEOUT = 10.0
"""seconds for a call: five times as long as a server waits by default before it gives up itself"""


class Client:
    """Asks a server what a `Model` is asked in process, with the same methods and results.

        with edge_runtime.Client("unix:///run/edge-runtime/edge.sock") as client:
            client.understand("turn off the kitchen lights")

    It connects at the first call. Threads may share it: one connection, one call at a time. Where a connection turns
    out to have ended before a request was sent whole, another is made and the request sent on that. A call whose reply
    was lost raises `ConnectionLost`, and the next one connects again. After a timeout the connection is given up, and
    its streams with it, so that no late reply is taken for another's.

    Every call raises `EdgeError`s: those of the operation in process, and `Overloaded`, `DeadlineExceeded`,
    `Forbidden`, `Unavailable`, `ServerError` and `ConnectionLost`.
    """

    def __init__(self, url: str, *, timeout: float = DEFAULT_TIMEOUT, token: str | None = None) -> None:
        """Nothing is sent yet.

        Args:
            url: unix:///absolute/path, tcp://host:port or serial:///device?baud=115200.
            timeout: seconds for each call, connecting included; a stream's calls may take longer as long as the server
                sends something that often.
            token: for a server that asks for one.

        Raises:
            InputError: the URL or the timeout cannot be used.
        """
        self._address = parse(url)
        self.timeout = seconds(timeout)
        """seconds for each call; may be changed between calls"""
        self._token = token
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._closed = False
        self._streams = count(1)
        self._last = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection. Closing twice is no error; any other use afterwards is."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()

    @property
    def timing(self) -> Timing | None:
        """Where the server spent the time of this thread's last text operation; None before the first."""
        found: Timing | None = getattr(self._last, "timing", None)
        return found

    def understand(self, text: str, *, model: str | None = None, deadline_ms: float | None = None) -> Understanding:
        """As `Model.understand`.

        Args:
            text: what somebody said.
            model: which of the server's models; the first if left out. So in all methods.
            deadline_ms: how long the server may take, in milliseconds; its default, or the client's timeout where that
                is shorter, if left out. So in all methods.
        """
        found: Understanding = self._ask("understand", model, deadline_ms, text=text)
        return found

    def classify(
        self,
        text: str,
        pair: str | None = None,
        top_k: int = 3,
        *,
        model: str | None = None,
        deadline_ms: float | None = None,
    ) -> list[Label]:
        """As `Model.classify`."""
        found: list[Label] = self._ask("classify", model, deadline_ms, text=text, pair=pair, top_k=top_k)
        return found

    def tag(self, text: str, *, model: str | None = None, deadline_ms: float | None = None) -> list[Entity]:
        """As `Model.tag`."""
        found: list[Entity] = self._ask("tag", model, deadline_ms, text=text)
        return found

    def answer(
        self, question: str, context: str, *, model: str | None = None, deadline_ms: float | None = None
    ) -> Answer:
        """As `Model.answer`."""
        found: Answer = self._ask("answer", model, deadline_ms, text=question, pair=context)
        return found

    def embed(self, text: str, *, model: str | None = None, deadline_ms: float | None = None) -> NDArray[np.float32]:
        """As `Model.embed`; the only method that loads NumPy."""
        found: NDArray[np.float32] = self._ask("embed", model, deadline_ms, text=text)
        return found

    def fill(
        self, text: str, top_k: int = 5, *, model: str | None = None, deadline_ms: float | None = None
    ) -> list[Filling]:
        """As `Model.fill`."""
        found: list[Filling] = self._ask("fill", model, deadline_ms, text=text, top_k=top_k)
        return found

    def choose(
        self, question: str, choices: Sequence[str], *, model: str | None = None, deadline_ms: float | None = None
    ) -> Choice:
        """As `Model.choose`."""
        found: Choice = self._ask("choose", model, deadline_ms, text=question, choices=choices)
        return found

    def ask(
        self,
        text: str,
        pair: str | None = None,
        choices: Sequence[str] | None = None,
        top_k: int | None = None,
        *,
        model: str | None = None,
        deadline_ms: float | None = None,
    ) -> Any:
        """What the model is for: returns what the method of that name does (`hello` tells each model's task)."""
        return self._ask("ask", model, deadline_ms, text=text, pair=pair, choices=choices, top_k=top_k)

    def batch(self, requests: Sequence[Mapping[str, Any]], *, deadline_ms: float | None = None) -> list[Any]:
        """Several text operations with one round trip: more than one batch takes are sent as several.

            client.batch([
                {"op": "understand", "text": "turn off the lights"},
                {"op": "answer", "text": "Who?", "pair": "Ada.", "model": "reader"},
            ])

        Args:
            requests: the fields of each, as docs/protocol.md has them.
            deadline_ms: for each batch.

        Returns:
            In their order what the methods would have returned, and where one would have raised, the `EdgeError`.
        """
        wanted = Batch(requests)
        until = time.monotonic() + self.timeout
        with self._locked(until):
            limits = self._connected(until).greeting.limits
        for part in wanted.parts(limits):
            wanted.take(part, self._exchange("batch", {"requests": part.requests, "deadline_ms": deadline_ms}))
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
    ) -> Stream:
        """Begin to read a text of any length in windows (`Stream`).

            with client.stream("tag") as stream:
                for piece in pieces:
                    print(stream.feed(piece))
                print(stream.close())

        Args:
            task: understand, classify, tag, answer or embed; the model's own if left out.
            window: tokens of a window, special ones included.
            overlap: tokens that neighbouring windows share.
            question: what `answer` is to find.
            model: which of the server's models.
            top_k: labels that `classify` gives.
        """
        values = {"task": task, "window": window, "overlap": overlap, "question": question, "top_k": top_k}
        name = next(self._streams)
        until = time.monotonic() + self.timeout
        with self._locked(until):
            connection, number = self._sent("open", {**values, "model": model, "stream": name}, until)
            opened = messages.result(connection.reply(number, until))
            return Stream(connection, self._locked, self.timeout, name, opened)

    def hello(self) -> dict[str, Any]:
        """Who is there: version, state, models, limits."""
        return decoding.field(self.request("hello", protocol=PROTOCOL, token=self._token), "result", dict)

    def info(self, model: str | None = None) -> dict[str, Any]:
        """Everything about one model, its labels among it."""
        return decoding.field(self.request("info", model=model), "result", dict)

    def health(self) -> dict[str, Any]:
        """How the server is doing: `state`, `reasons`, `uptime_s`, `models`."""
        return decoding.field(self.request("health"), "result", dict)

    def metrics(self) -> str:
        """The server's metrics in the Prometheus text format."""
        return decoding.field(self.request("metrics"), "result", str)

    def reload(self, model: str | None = None) -> list[dict[str, Any]]:
        """Have the server read its models' files again, or that of one; for administrators."""
        return decoding.rows(self.request("reload", model=model)["result"])

    def slow_down(self, duty: float, seconds: float, reason: str = "") -> None:
        """Let the server's workers compute for a part of their time only; for administrators.

        Args:
            duty: the share of its time that each worker may compute; 1 ends what was said before.
            seconds: how long it holds; say it again before they are over.
            reason: for people, in `health` and in refusals.
        """
        self.request("slow_down", duty=duty, for_ms=seconds * 1e3, reason=reason)

    def request(self, op: str, **values: Any) -> dict[str, Any]:
        """Any operation of docs/protocol.md with its fields → the whole reply, as JSON."""
        reply = self._exchange(op, values)
        messages.result(reply)
        return reply

    def _ask(self, op: str, model: str | None, deadline_ms: float | None, **values: Any) -> Any:
        reply = self._exchange(op, {**values, "model": model, "deadline_ms": deadline_ms})
        found = messages.text_result(reply)
        self._last.timing = messages.timing(reply)
        return found

    def _exchange(self, op: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its reply, which may be an error."""
        until = time.monotonic() + self.timeout
        with self._locked(until):
            connection, number = self._sent(op, values, until)
            return connection.reply(number, until)

    def _sent(self, op: str, values: Mapping[str, Any], until: float) -> tuple[Connection, int]:
        """Send a request on the connection there is, or on a new one → that connection and the request's id."""
        used = self._connection is not None and not self._connection.closed
        connection = self._connected(until)
        try:
            return connection, connection.send(op, self._timely(connection, values), until)
        except ConnectionLost:
            if not used:
                raise
        # It had ended since the last call, and the server has not read the whole request: sending it again is safe.
        connection = self._connected(until)
        return connection, connection.send(op, self._timely(connection, values), until)

    def _connected(self, until: float) -> Connection:
        if self._connection is None or not self._connection.alive():
            self._connection = Connection(self._address, self._token, until)
        return self._connection

    def _timely(self, connection: Connection, values: Mapping[str, Any]) -> Mapping[str, Any]:
        if "deadline_ms" not in values:
            return values
        return {**values, "deadline_ms": connection.greeting.deadline_ms(values["deadline_ms"], self.timeout)}

    @contextmanager
    def _locked(self, until: float) -> Iterator[None]:
        """This thread's turn."""
        if not self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            raise DeadlineExceeded("other threads' calls took all the time; give each thread a client of its own")
        try:
            if self._closed:
                raise ConnectionLost("the client is closed; make another")
            yield
        finally:
            self._lock.release()


def seconds(timeout: float) -> float:
    """A timeout as it was given. Raises InputError if it is no number above 0."""
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= threading.TIMEOUT_MAX:
        raise InputError(f"timeout must be a number of seconds above 0, not {timeout!r}")
    return timeout
