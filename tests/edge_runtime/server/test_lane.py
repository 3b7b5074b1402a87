"""Admission, turns and deadlines, in simulated time: the clock moves from event to event."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import pytest

from edge_runtime.errors import Overloaded
from edge_runtime.server.job import Job, Outcome
from edge_runtime.server.lane import Lane
from edge_runtime.server.pace import Pace


@dataclass(eq=False)
class Worker:
    """A worker that takes a given time for each job, one after the other."""

    world: World
    seconds: float
    running: deque[Job] = field(default_factory=deque)
    last_answer: float = 0.0
    alive: bool = True

    def send(self, job: Job) -> None:
        self.running.append(job)
        if len(self.running) == 1:
            self.world.after(self.seconds, self.answer)

    def answer(self) -> None:
        job = self.running.popleft()
        if self.running:
            self.world.after(self.seconds, self.answer)
        self.world.lane.finished(cast(Any, self), job, (True, b"", 0.0, self.seconds))


class World:
    """Simulated time, one lane, and what became of every request."""

    def __init__(self, seconds: float, workers: int = 1, limit: int = 1024) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        self.pace = Pace(lambda: self.now)
        self.lane = Lane("model", limit, lambda: self.now, self.pace, self.after)
        self.workers = [Worker(self, seconds) for _ in range(workers)]
        self.lane.workers.extend(cast(Any, self.workers))
        self.served: list[tuple[Any, float]] = []
        """client and latency of what was done"""
        self.refused: list[Any] = []
        self.failed: list[tuple[Any, str]] = []
        self.hints: list[float | None] = []
        """seconds after which those that were refused should come again"""

    def after(self, seconds: float, event: Callable[[], object]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, event))

    def ask(self, client: Any, patience: float = 1.0) -> Job | None:
        began = self.now

        def done(outcome: Outcome) -> None:
            if outcome.error is None:
                self.served.append((client, self.now - began))
            else:
                self.failed.append((client, outcome.error[0]))

        job = Job(client, "ask", (), done, characters=40)
        try:
            self.lane.submit(job, patience)
        except Overloaded as error:
            self.hints.append(error.retry_after)
            self.refused.append(client)
            return None
        return job

    def run(self, until: float = float("inf")) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()

    def warm_up(self) -> None:
        """Let the lane learn what a request costs."""
        for _ in range(100):
            self.ask("warm-up", 1e9)
            self.run()
        self.served.clear()


def test_everything_is_answered_when_there_is_time() -> None:
    """Requests below capacity are all served, in order."""
    world = World(0.01)
    world.warm_up()
    for place in range(50):
        world.after(place * 0.011, lambda: world.ask("client"))
    world.run()
    assert (len(world.served), world.refused, world.failed) == (50, [], [])


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("seconds", [0.0005, 0.02])
def test_overload(seconds: float, workers: int) -> None:
    """At three times the capacity as much is served as at capacity, in time, and the rest is refused at once."""
    world = World(seconds, workers)
    world.warm_up()
    source = random.Random(7)
    capacity = workers / seconds
    begin, length, patience = world.now, 1500 * seconds, 40 * seconds
    at = 0.0
    while (at := at + source.expovariate(3 * capacity)) < length:
        client = source.randrange(64)
        world.after(at, partial(world.ask, client, patience))
    world.run(begin + length)
    latencies = sorted(latency for _, latency in world.served)
    assert len(latencies) >= 0.95 * capacity * length
    assert latencies[int(0.99 * len(latencies))] <= patience
    assert len(world.failed) <= 0.02 * len(world.served)
    assert len(world.refused) > len(world.served)


def test_a_greedy_client_does_not_starve_others() -> None:
    """While one client keeps the queue full, another's lone requests wait for one of the first one's each."""
    world = World(0.01)
    world.warm_up()
    for place in range(400):
        world.after(place * 0.001, lambda: world.ask("greedy"))
    for place in range(8):
        world.after(0.02 + place * 0.05, lambda: world.ask("modest"))
    world.run()
    modest = [latency for client, latency in world.served if client == "modest"]
    assert len(modest) == 8
    assert max(modest) <= 0.031


def test_deadlines_end_waiting() -> None:
    """What was accepted and then held up is answered at its deadline."""
    world = World(0.01)
    world.warm_up()
    world.workers[0].seconds = 10.0
    world.ask("a", 1.0)
    world.ask("b", 1.0)
    world.after(1.5, world.lane.expire)
    world.run(world.now + 2.0)
    assert world.failed == [("b", "deadline")]


def test_queue_is_bounded() -> None:
    """A full queue refuses, however patient the client is."""
    world = World(0.01, limit=5)
    world.warm_up()
    for _ in range(10):
        world.ask("a", 1e9)
    assert len(world.refused) == 4
    world.run()
    assert len(world.served) == 6


def test_taking_back() -> None:
    """A waiting request can be taken back once; a running one cannot."""
    world = World(0.01)
    world.warm_up()
    running, waiting = world.ask("a"), world.ask("a")
    assert running is not None and waiting is not None
    assert not world.lane.cancel(running)
    assert world.lane.cancel(waiting)
    assert not world.lane.cancel(waiting)
    assert world.failed == [("a", "cancelled")]
    world.run()
    assert len(world.served) == 1


def test_a_gone_client_costs_nothing_more() -> None:
    """What nobody waits for is neither done nor answered."""
    world = World(0.01)
    world.warm_up()
    for client in "abab":
        world.ask(client)
    world.lane.forget(cast(Any, "a"))
    assert len(world.lane) == 2
    world.run()
    assert [client for client, _ in world.served] == ["b", "b"]
    assert world.failed == []


def test_work_of_a_dead_worker_is_done_again_once() -> None:
    """A request survives one worker's end, not two."""
    world = World(0.01)
    world.warm_up()
    world.ask("a")
    for attempt in (1, 2):
        worker = world.workers[0]
        jobs = list(worker.running)
        assert len(jobs) == 1
        worker.running.clear()
        world.lane.workers.clear()
        world.lane.orphaned(cast(Any, worker), jobs)
        assert world.failed == ([] if attempt == 1 else [("a", "internal")])
        world.workers[0] = Worker(world, 0.01)
        world.lane.workers.append(cast(Any, world.workers[0]))
        world.lane.dispatch()
    assert len(world.lane) == 0


def test_idle_lane_owes_nothing() -> None:
    """After everything was answered the estimate of what is ahead is exactly nothing."""
    world = World(0.0007)
    for _ in range(200):
        world.ask("a", 1e9)
    world.run()
    assert world.lane._backlog == 0.0
    assert world.lane._characters == 0


def test_a_worker_rests_after_work() -> None:
    """At a quarter of its time a worker takes four times as long for the next, and the first one does not wait."""
    world = World(0.1)
    world.warm_up()
    world.pace.set(0.25, 1e6, "hot")
    for _ in range(4):
        world.ask("client", 10)
    world.run()
    assert [round(latency, 3) for _, latency in world.served] == [0.1, 0.5, 0.9, 1.3]
    assert (world.refused, world.failed) == ([], [])


def test_overload_while_slowed_down() -> None:
    """Slowed down, as much is served as that allows, in time, and the rest is told when to come again."""
    world = World(0.02, workers=2)
    world.warm_up()
    world.pace.set(0.3, 1e6, "hot")
    source = random.Random(3)
    capacity = 0.3 * 2 / 0.02
    begin, length, patience = world.now, 20.0, 1.0
    at = 0.0
    while (at := at + source.expovariate(3 * capacity)) < length:
        world.after(at, partial(world.ask, source.randrange(64), patience))
    world.run(begin + length)
    latencies = sorted(latency for _, latency in world.served)
    assert 0.9 * capacity * length <= len(latencies) <= 1.02 * capacity * length
    assert latencies[int(0.99 * len(latencies))] <= patience
    assert len(world.failed) <= 0.02 * len(world.served)
    assert len(world.refused) > len(world.served)
    assert all(hint is not None and 0 < hint < 60 for hint in world.hints)


def test_a_pace_is_forgotten() -> None:
    """When nobody repeats it, an order to slow down ends by itself, and what waited goes on at once."""
    world = World(1.0)
    world.warm_up()
    world.pace.set(0.1, 5.0, "hot")
    for _ in range(3):
        world.ask("client", 60)
    world.run()
    # the worker would rest until second 10
    assert [round(latency, 3) for _, latency in world.served] == [1.0, 6.0, 7.0]
    assert not world.pace.slowed


def test_what_would_come_too_late_is_refused_while_a_worker_rests() -> None:
    """A request that could only be begun after its deadline is refused though nothing else waits."""
    world = World(0.1)
    world.warm_up()
    world.pace.set(0.05, 1e6, "hot")
    world.ask("client", 10)
    world.run()
    world.ask("client", 1.0)
    assert world.refused == ["client"]
    # 1.9 s of rest and 0.1 s of work, of which 0.8 s may be waited for
    assert world.hints == [pytest.approx(1.2, abs=0.01)]
