"""The way of requests to one model's workers: admission, turns, deadlines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import Cancelled, DeadlineExceeded, Overloaded, ServerError
from edge_runtime.server.cost import Cost
from edge_runtime.server.fairness import FairQueue
from edge_runtime.server.job import MAX_ATTEMPTS, Client, Job, Outcome
from edge_runtime.server.pace import Pace

if TYPE_CHECKING:
    from edge_runtime.server.process import WorkerProcess

QUEUE_LIMIT = 1024
"""jobs; each is a few hundred bytes and its text"""
QUEUE_CHARACTERS = 8 << 20
"""of all texts in a queue; a board with 512 MB has room for them"""
MARGIN = 0.8
"""of its deadline that a request may be expected to wait: estimates are wrong, and others come in between"""
NEWCOMERS = 2.0
"""times what is queued now that a client's second request may have to wait for: newcomers' turns come before it"""
QUICK = 0.005
"""seconds: a worker whose jobs are quicker than that gets the next one while it is at work, so that it does not stand
idle while messages travel; of slower ones it gets one at a time, because what it has cannot be taken back"""
INSTANT = 1e-6
"""seconds; sums of floats may end a rest that much too late, and nobody should be woken again for that"""

Later = Callable[[float, Callable[[], None]], object]


def _in_this_loop(seconds: float, what: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, what)


class Lane:
    """The queue in front of one model's workers. Everything happens in the event loop's thread."""

    def __init__(
        self,
        model: str,
        limit: int = QUEUE_LIMIT,
        clock: Callable[[], float] = time.monotonic,
        pace: Pace | None = None,
        later: Later = _in_this_loop,
    ) -> None:
        """Make an empty one.

        Args:
            model: its name, for messages.
            limit: jobs that may wait.
            clock: seconds, steady.
            pace: how much of their time workers may compute; all of it if left out.
            later: calls something after so many seconds.
        """
        self.model = model
        self.cost = Cost()
        self.workers: list[WorkerProcess] = []
        """that are ready for work"""
        self.draining: list[WorkerProcess] = []
        """that only finish what was begun there: streams"""
        self._limit = limit
        self._clock = clock
        self._pace = Pace(clock) if pace is None else pace
        self._later = later
        self._woken_at: float | None = None
        """when `later` was told to call, for there is work and only resting workers"""
        self._rests: dict[WorkerProcess, tuple[float, float]] = {}
        """since when a worker rests, and how long it computed before"""
        self._queue: FairQueue[Job] = FairQueue()
        self._backlog = 0.0
        """seconds, of what waits and of what runs"""
        self._characters = 0

    def __len__(self) -> int:
        return len(self._queue)

    def submit(self, job: Job, patience: float) -> None:
        """Queue a job.

        Args:
            job: what to do.
            patience: seconds within which the answer is wanted.

        Raises:
            Overloaded: it would come too late, or the queue is full.
        """
        job.arrived = self._clock()
        job.deadline = job.arrived + patience
        job.cost = self.cost.estimate(job.characters)
        if self._backlog or self._queue or self._pace.slowed:
            self.admit(job.client, job.cost, patience)
        self._enter(job)

    def admit(self, client: Client, cost: float, patience: float) -> None:
        """See whether a job would be done in time.

        Raises:
            Overloaded: it would not.
        """
        if len(self._queue) >= self._limit:
            raise self._full(f"{self._limit} requests")
        if self._characters > QUEUE_CHARACTERS:
            raise self._full(f"{QUEUE_CHARACTERS} characters")
        workers = len(self.workers)
        if not workers:
            # nobody knows when one will be there; the deadline does
            return
        ahead, own, clients = self._backlog, self._queue.waiting(client), self._queue.clients
        if not own:
            # it is this client's turn after one job of each other
            ahead = min(ahead, (clients + workers) * self.cost.mean)
        elif clients > 1:
            # others' first requests come in between; and before this one each other client has as many turns as this
            ahead = max(NEWCOMERS * ahead, (own + 1) * clients * self.cost.mean)
        now = self._clock()
        rest = min(max(0.0, self._rests_until(worker) - now) for worker in self.workers)
        wait = rest + ahead / (workers * self._pace.duty) + cost
        if wait > MARGIN * patience:
            slowed = f" at a pace of {self._pace.duty:.0%} ({self._pace.reason})" if self._pace.slowed else ""
            raise Overloaded(
                f"the answer would take about {wait * 1e3:.0f} ms{slowed}, and {patience * 1e3:.0f} are left; "
                "try again later",
                wait - MARGIN * patience,
            )

    def force(self, job: Job) -> None:
        """Queue a job that was admitted before, as a part of something larger."""
        if job.worker is not None and not job.worker.alive:
            job.fail(_stream_lost())
            return
        job.arrived = self._clock()
        job.cost = self.cost.estimate(job.characters)
        self._enter(job)

    def cancel(self, job: Job) -> bool:
        """Take a job back; False if it is no longer waiting."""
        if not self._queue.remove(job.client, job):
            return False
        self._gone(job)
        job.fail(Cancelled("the request was taken back"))
        return True

    def forget(self, client: Client) -> None:
        """A client has gone: nobody waits for its work any more."""
        for job in self._queue.remove_all(client):
            job.abandoned = True
            self._gone(job)
        for worker in (*self.workers, *self.draining):
            for job in worker.running:
                if job.client == client:
                    job.abandoned = True

    def expire(self) -> None:
        """Answer those whose time has run out."""
        now = self._clock()
        for job in [job for job in self._queue if job.deadline is not None and job.deadline < now]:
            self._queue.remove(job.client, job)
            self._expired(job)

    def dispatch(self) -> None:
        """Give work to workers that have room."""
        depth = 2 if self.cost.mean < QUICK and not self._pace.slowed else 1
        while self._queue and self._dispatch_one(depth):
            pass
        if self._queue and self._rests:
            self._wake_up()

    def finished(self, worker: WorkerProcess, job: Job, answer: tuple[Any, ...]) -> None:
        """A worker says what came of a job.

        Args:
            worker: that had it.
            job: the one.
            answer: whether it is done, the value or else the error, seconds of tokenising, seconds of inference.
        """
        ok, value, tokenise, infer = answer
        now = self._clock()
        self._gone(job)
        busy = now - max(job.started, worker.last_answer)
        if job.characters:
            self.cost.observe(job.characters, busy)
        if self._pace.slowed:
            self._rests[worker] = now, busy
        worker.last_answer = now
        self.dispatch()
        if not job.abandoned or job.unconditional:
            queue = max(0.0, now - job.arrived - tokenise - infer)
            job.done(Outcome(value if ok else None, None if ok else value, worker, queue, tokenise, infer))

    def orphaned(self, worker: WorkerProcess, jobs: list[Job]) -> None:
        """A worker ended and left these unfinished. What can be done again is, once."""
        self._rests.pop(worker, None)
        for job in reversed(jobs):
            if job.abandoned:
                self._gone(job)
            elif job.worker is None and job.attempts < MAX_ATTEMPTS:
                self._queue.push_first(job.client, job)
            else:
                self._gone(job)
                job.fail(ServerError("the worker process ended while it was at this request"))
        for job in [job for job in self._queue if job.worker is worker]:
            self._queue.remove(job.client, job)
            self._gone(job)
            job.fail(_stream_lost())
        self.dispatch()

    def _enter(self, job: Job) -> None:
        self._queue.push(job.client, job)
        self._backlog += job.cost
        self._characters += job.characters
        self.dispatch()

    def _dispatch_one(self, depth: int) -> bool:
        """Give one job to a worker with room; False if there is none for any job."""
        free: WorkerProcess | None = None
        now = self._clock()
        for worker in self.workers:
            load = len(worker.running)
            if self._has_room(worker, depth, now) and (free is None or load < len(free.running)):
                free = worker
        if free is None and len(self.workers) == 1 and not self.draining:
            # with one worker, and that one busy, there is no use in asking further
            return False
        for client, job in self._queue.heads():
            if job.deadline is not None and job.deadline < now + (job.cost if self.workers else 0.0):
                # it would be late even if it began now
                self._queue.pop(client)
                self._expired(job)
                return True
            chosen = free if job.worker is None else job.worker
            if chosen is not None and self._has_room(chosen, depth, now):
                self._queue.pop(client)
                job.attempts += 1
                job.started = now
                chosen.send(job)
                return True
        return False

    def _has_room(self, worker: WorkerProcess, depth: int, now: float) -> bool:
        return len(worker.running) < depth and worker.alive and self._rests_until(worker) <= now + INSTANT

    def _rests_until(self, worker: WorkerProcess) -> float:
        """On the clock; the past for one that does not rest. As the pace is now, whatever it was when the rest began."""
        if worker not in self._rests:
            return 0.0
        since, busy = self._rests[worker]
        return since + self._pace.rest(busy)

    def _wake_up(self) -> None:
        """Go on when the first worker has rested."""
        now = self._clock()
        for worker in [worker for worker in self._rests if self._rests_until(worker) <= now + INSTANT]:
            del self._rests[worker]
        if not self._rests:
            return
        at = min(map(self._rests_until, self._rests))
        if self._woken_at is None or not now < self._woken_at <= at:
            self._woken_at = at
            self._later(at - now, self.dispatch)

    def _full(self, of: str) -> Overloaded:
        half = self._backlog / 2 / (max(1, len(self.workers)) * self._pace.duty)
        return Overloaded(f"the queue of {self.model} is full ({of}); try again later", half)

    def _expired(self, job: Job) -> None:
        self._gone(job)
        job.fail(DeadlineExceeded("the request waited until its deadline"))

    def _gone(self, job: Job) -> None:
        self._backlog -= job.cost
        self._characters -= job.characters
        if not self._queue and not any(worker.running for worker in (*self.workers, *self.draining)):
            # sums of floats drift
            self._backlog = 0.0


def _stream_lost() -> ServerError:
    return ServerError("the worker process that had this stream ended; open it again")
