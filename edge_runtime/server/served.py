"""One model that is served: its workers, their replacement when they end, and its replacement by a newer file."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from edge_runtime.errors import BackendError, EdgeError
from edge_runtime.protocol.limits import CHARACTERS_PER_TOKEN
from edge_runtime.server.job import Job, Outcome
from edge_runtime.server.lane import Lane
from edge_runtime.server.logs import EventLog
from edge_runtime.server.measures import Measures
from edge_runtime.server.pace import Pace
from edge_runtime.server.process import WorkerProcess
from edge_runtime.server.worker import Settings
from edge_runtime.windows import MAX_WINDOWS

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""seconds before a worker that ended is replaced; doubled each time, until one has lived for `STEADY`"""
STEADY = 60.0
"""seconds"""
STUCK = 60.0
"""seconds after which a worker is taken for stuck and ended; the longest request takes half as long on a Raspberry
Pi 4"""
STREAMS_MAY_END = 60.0
"""seconds that streams are given to end on a worker whose model was replaced"""

CANARY = "canary"
"""kind of the job that is a self-test"""

log = EventLog(__name__)


class Description:
    """What clients are told of a model."""

    def __init__(self, info: bytes, overflow: str) -> None:
        """`info`: as a worker sent it, JSON."""
        values: dict[str, Any] = json.loads(info)
        self.json = info
        self.name: str = values["name"]
        self.digest: str = values["digest"]
        self.task: str = values["task"]
        self.tasks: list[str] = values["tasks"]
        self.heads: dict[str, str] = values["heads"]
        self.max_length: int = values["max_length"]
        self.backend: str = values["backend"]
        windows = MAX_WINDOWS if overflow == "window" else 1
        self.max_characters = self.max_length * CHARACTERS_PER_TOKEN * windows

    def summary(self) -> dict[str, Any]:
        """For `hello`."""
        names = ("name", "digest", "task", "tasks", "heads", "max_length", "max_characters")
        return {name: getattr(self, name) for name in names}


class ServedModel:
    """A model, its lane and its workers."""

    def __init__(self, settings: Settings, workers: int, queue: int, measures: Measures, pace: Pace) -> None:
        self._settings = settings
        self.count = workers
        self._measures = measures
        self._stopping = False
        self._pause = FIRST_PAUSE
        self._tasks: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self._description: Description | None = None
        self.lane = Lane(settings.model, queue, pace=pace)

    @property
    def description(self) -> Description:
        assert self._description is not None
        return self._description

    async def start(self) -> None:
        """Start the workers.

        Raises:
            EdgeError: the model cannot be loaded or fails its self-test.
        """
        first = await self._spawn()
        self._describe(first)
        self.lane.model = self.description.name
        self._enlist(first)
        await asyncio.gather(*(self._add() for _ in range(self.count - 1)))

    async def reload(self) -> dict[str, str]:
        """Read the model's file again; what is served changes only when the new one has passed its self-test.

        Raises:
            EdgeError: it cannot be used; the old one goes on.
        """
        async with self._reloading:
            before = self.description
            fresh: list[WorkerProcess] = []
            try:
                while len(fresh) < self.count:
                    fresh.append(await self._spawn())
                described = self._successor(fresh)
            except EdgeError as error:
                for worker in fresh:
                    worker.retire()
                self._measures.reloads.labels(before.name, "failed").add()
                log.error("reload failed", model=before.name, reason=str(error))  # noqa: TRY400  no traceback
                raise
            old = self.lane.workers[:]
            self.lane.workers.clear()
            self._describe(fresh[0])
            for worker in fresh:
                self._enlist(worker)
            for worker in old:
                self._keep(self._drain(worker))
            self._measures.reloads.labels(before.name, "ok").add()
            log.info("reloaded", model=before.name, digest=described.digest, previous=before.digest)
            return {"model": before.name, "digest": described.digest, "previous": before.digest}

    def sweep(self, now: float) -> None:
        """Due every fraction of a second: deadlines, stuck workers."""
        self.lane.expire()
        for worker in (*self.lane.workers, *self.lane.draining):
            if worker.running and now - max(worker.running[0].started, worker.last_answer) > STUCK:
                log.error("a worker is stuck and is ended", model=self.lane.model, pid=worker.pid)
                worker.kill()
        self._measures.queued.labels(self.lane.model).set(len(self.lane))
        self._measures.workers.labels(self.lane.model).set(len(self.lane.workers))

    def probe(self) -> None:
        """Give each worker that has nothing to do a canary inference."""
        for worker in self.lane.workers:
            if not worker.running:
                worker.send(Job(self, CANARY, (), self._canary, started=time.monotonic()))

    def _canary(self, outcome: Outcome) -> None:
        if outcome.error is not None and outcome.worker is not None:
            log.error("a worker failed its self-test and is ended", model=self.lane.model, reason=outcome.error[1])
            outcome.worker.kill()

    def alive_since(self, moment: float) -> bool:
        """Whether every worker has answered something since then, or is at somebody's request and not stuck there."""
        return bool(self.lane.workers) and all(
            worker.last_answer >= moment or (worker.running and worker.running[0].kind != CANARY)
            for worker in self.lane.workers
        )

    async def stop(self) -> None:
        """End the workers; what they are doing is finished."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        workers = [*self.lane.workers, *self.lane.draining]
        for worker in workers:
            worker.retire()
        await asyncio.gather(*(worker.wait() for worker in workers))

    def kill(self) -> None:
        for worker in (*self.lane.workers, *self.lane.draining):
            worker.kill()

    def pids(self) -> list[int]:
        """Of its workers."""
        workers = (*self.lane.workers, *self.lane.draining)
        return [worker.pid for worker in workers if worker.pid is not None]

    async def _spawn(self) -> WorkerProcess:
        worker = WorkerProcess(self.lane.finished, self._worker_ended)
        await worker.start(self._settings)
        return worker

    async def _add(self) -> None:
        self._enlist(await self._spawn())

    def _enlist(self, worker: WorkerProcess) -> None:
        self.lane.workers.append(worker)
        self.lane.dispatch()

    def _describe(self, worker: WorkerProcess) -> None:
        if self._description is not None:
            old = self._description
            self._measures.models.labels(old.name, old.digest, old.backend).set(0)
        self._description = now = Description(worker.info, self._settings.overflow)
        self._measures.models.labels(now.name, now.digest, now.backend).set(1)

    def _successor(self, fresh: list[WorkerProcess]) -> Description:
        """What new workers hold, if it can take over."""
        described = Description(fresh[0].info, self._settings.overflow)
        if described.name != self.description.name:
            raise BackendError(f"the file now holds {described.name}; start the server anew to serve that")
        if any(worker.info != fresh[0].info for worker in fresh):
            raise BackendError("the file changed while it was read; try again")
        return described

    async def _drain(self, worker: WorkerProcess) -> None:
        """Let streams on an old worker end, then the worker."""
        self.lane.draining.append(worker)
        end = time.monotonic() + STREAMS_MAY_END
        while worker.streams and time.monotonic() < end and not self._stopping:
            await asyncio.sleep(0.1)
        worker.retire()
        await worker.wait()

    def _worker_ended(self, worker: WorkerProcess, jobs: list[Job]) -> None:
        was_serving = worker in self.lane.workers
        for group in (self.lane.workers, self.lane.draining):
            if worker in group:
                group.remove(worker)
        self.lane.orphaned(worker, jobs)
        if self._stopping or worker.retired or not was_serving:
            return
        self._measures.worker_ends.labels(self.lane.model).add()
        log.error("a worker ended; it is replaced", model=self.lane.model, pid=worker.pid)
        if time.monotonic() - worker.started > STEADY:
            self._pause = FIRST_PAUSE
        self._keep(self._replace())

    async def _replace(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            try:
                worker = await self._spawn()
            except EdgeError as error:
                log.error(  # noqa: TRY400  no traceback
                    "no worker could be started", model=self.lane.model, reason=str(error)
                )
                continue
            if worker.info != self.description.json:
                # the file was exchanged without a reload, so this model is not the one clients were told of
                self._describe(worker)
                log.warning("the model's file has changed", model=self.lane.model, digest=self.description.digest)
            self._enlist(worker)
            return

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
