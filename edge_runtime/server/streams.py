"""An open stream, as the server sees it: its feeds are worked off one after the other, window by window.

Tokens and what was found so far live in the worker where the stream was opened. Every window is a job of its own, so
other clients have their turns between two windows.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_runtime.errors import Cancelled, InputError
from edge_runtime.protocol import replies
from edge_runtime.protocol.requests import Close, Feed, Open, RequestId
from edge_runtime.server.job import Job, Outcome
from edge_runtime.server.measures import Measures

if TYPE_CHECKING:
    from edge_runtime.server.process import WorkerProcess
    from edge_runtime.server.served import ServedModel
    from edge_runtime.server.session import Session

MAX_WAITING = 128 << 10
"""bytes waiting to go into one stream, beyond which its connection is not read for a while"""
MAX_WAITING_FEEDS = 16
"""the same in feeds, which cost memory even where they are short"""
PORTION = 4096
"""bytes that are tokenised at once, a millisecond or two on a board: others have their turns in between"""
CHARACTERS_PER_TOKEN = 4
"""of English; for an estimate of what a window costs"""

_CONTINUATION = bytes(range(0x80, 0xC0))
"""bytes that do not begin a character in UTF-8"""
_numbers = itertools.count(1)


class OpenStream:
    """A stream of one session on one worker."""

    def __init__(self, session: Session, request: Open, model: ServedModel, task: str, measures: Measures) -> None:
        self.idle_since: float | None = None
        """on the monotonic clock; None while something is being done"""
        self._session = session
        self._request = request
        self._model = model
        self._task = task
        self._windows_total = measures.windows.labels(model.description.name)
        self._number = next(_numbers)
        self._worker: WorkerProcess | None = None
        self._job: Job | None = None
        self._requests: deque[tuple[RequestId, Feed | Close]] = deque()
        self._waiting_bytes = 0
        self._current: tuple[RequestId, Feed | Close] | None = None
        self._fed = 0
        """bytes of the current feed that have been tokenised"""
        self._dropped = False
        self._left = 0
        self._window = 0
        self._windows = 0
        self._characters = 0

    @property
    def full(self) -> bool:
        """Whether so much waits that no more should be read for now."""
        return self._waiting_bytes > MAX_WAITING or len(self._requests) > MAX_WAITING_FEEDS

    def open(self, request: RequestId, patience: float) -> None:
        """Open it on a worker.

        Raises:
            Overloaded: not now.
        """
        opening = self._request
        arguments = (self._number, self._task, opening.window, opening.overlap, opening.question, opening.top_k)
        self._job = Job(self._session, "open", arguments, lambda outcome: self._opened(request, outcome))
        # also if the client has gone in the meantime: the worker has to forget it then
        self._job.unconditional = True
        self._model.lane.submit(self._job, patience)

    def push(self, request: RequestId, what: Feed | Close) -> None:
        """Feed or close it, after everything that was pushed before."""
        self._requests.append((request, what))
        if isinstance(what, Feed):
            self._waiting_bytes += len(what.data)
        self._next()

    def drop(self) -> None:
        """End it at once; what waits is answered with an error."""
        self._end(InputError.code, "the stream was dropped")

    def _opened(self, request: RequestId, outcome: Outcome) -> None:
        self._job = None
        if self._dropped:
            if outcome.worker is not None and outcome.error is None:
                self._forget(outcome.worker)
            self._session.reply_error(request, Cancelled.code, "the stream was dropped")
            return
        if outcome.error is not None:
            self._session.reply_error(request, *outcome.error)
            self._end(InputError.code, "the stream could not be opened")
            return
        assert outcome.worker is not None
        self._worker = outcome.worker
        self._worker.streams += 1
        self._window, overlap = outcome.value
        described = {
            "stream": self._request.stream,
            "task": self._task,
            "model": self._model.description.name,
            "window": self._window,
            "overlap": overlap,
        }
        self._session.reply(request, replies.dump(described))
        self.idle_since = time.monotonic()
        self._next()

    def _next(self) -> None:
        if self._dropped or self._worker is None or self._current is not None or not self._requests:
            return
        self._current = self._requests.popleft()
        self.idle_since = None
        what = self._current[1]
        if isinstance(what, Feed):
            self._waiting_bytes -= len(what.data)
            self._fed = 0
            self._feed(what.data)
        else:
            self._do("end", (self._number,), self._tokenised)

    def _feed(self, data: bytes) -> None:
        portion = data[self._fed : self._fed + PORTION]
        self._fed += len(portion)
        self._characters += len(portion.translate(None, _CONTINUATION))
        self._do("feed", (self._number, portion), self._tokenised)

    def _tokenised(self, outcome: Outcome) -> None:
        self._left = outcome.value
        self._step()

    def _step(self) -> None:
        if self._left:
            characters = self._window * CHARACTERS_PER_TOKEN
            self._do("step", (self._number, self._request.events), self._stepped, characters)
            return
        assert self._current is not None
        request, what = self._current
        if isinstance(what, Close):
            self._do("final", (self._number,), self._finished)
            return
        if self._fed < len(what.data):
            self._feed(what.data)
            return
        self._current = None
        self.idle_since = time.monotonic()
        self._session.reply(request, replies.dump({"windows": self._windows, "characters": self._characters}))
        self._next()

    def _stepped(self, outcome: Outcome) -> None:
        self._left -= 1
        self._windows += 1
        self._windows_total.add()
        if self._request.events:
            self._session.event(self._request.stream, outcome.value)
        self._step()

    def _finished(self, outcome: Outcome) -> None:
        assert self._current is not None
        final, truncated = outcome.value
        counts = {"windows": self._windows, "characters": self._characters, "truncated": truncated}
        request, self._current = self._current[0], None
        self._session.reply(request, b'{"final":%b,%b' % (final, replies.dump(counts)[1:]))
        self._end(InputError.code, "the stream was closed before")

    def _do(
        self, kind: str, arguments: tuple[object, ...], done: Callable[[Outcome], None], characters: int = 0
    ) -> None:
        """Have the stream's worker do something; an error ends the stream."""

        def answered(outcome: Outcome) -> None:
            self._job = None
            if self._dropped:
                return
            if outcome.error is not None:
                self._end(*outcome.error)
            else:
                done(outcome)

        self._job = Job(self._session, kind, arguments, answered, characters, worker=self._worker)
        self._model.lane.force(self._job)

    def _end(self, code: str, message: str) -> None:
        if self._dropped:
            return
        self._dropped = True
        self._session.stream_ended(self._request.stream)
        waiting = [*([self._current] if self._current else []), *self._requests]
        self._requests.clear()
        self._current, self._waiting_bytes = None, 0
        for request, _ in waiting:
            self._session.reply_error(request, code, message)
        if self._job is not None:
            self._model.lane.cancel(self._job)
        if self._worker is not None:
            self._worker.streams -= 1
            self._forget(self._worker)

    def _forget(self, worker: WorkerProcess) -> None:
        """Have a worker forget the stream."""
        if worker.alive:
            self._model.lane.force(Job(self._model, "drop", (self._number,), _ignore, worker=worker))


def _ignore(_: Outcome) -> None:
    """Nobody waits for it."""
