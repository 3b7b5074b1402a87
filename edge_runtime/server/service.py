"""What all sessions share: the models, the state, the metrics."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edge_runtime import __version__
from edge_runtime.errors import EdgeError, InputError, NoSuchHead, TooLong, UnknownModel
from edge_runtime.protocol.limits import PROTOCOL, SERVER, Limits
from edge_runtime.protocol.requests import STREAM_TASKS, Ask, Open
from edge_runtime.server import vitals
from edge_runtime.server.logs import EventLog
from edge_runtime.server.measures import STATES, Measures
from edge_runtime.server.metrics import Registry, exposition
from edge_runtime.server.pace import Pace
from edge_runtime.server.peer import Peer
from edge_runtime.server.served import ServedModel

if TYPE_CHECKING:
    from edge_runtime.server.session import Session

VITALS_PERIOD = 1.0
"""seconds; /proc is slow to read, and everybody may ask for the metrics, as often as they like"""
MAX_SHOWN_NAMES = 8
"""of models, in an error message"""

log = EventLog(__name__)


class Service:
    """The models that are served, and what can be said of them."""

    def __init__(self, limits: Limits, token: str | None = None) -> None:
        """`token`: what peers that are not on this machine must know."""
        self.limits = limits
        self.measures = Measures(Registry())
        self.models: dict[str, ServedModel] = {}
        self.sessions: set[Session] = set()
        self.started = False
        self.stopping = False
        self.on_reload: Callable[[bool], None] = lambda _: None
        """called with True when a reload begins, with False when it is over"""
        self.pace = Pace()
        self._token = token
        self._begun = time.monotonic()
        self._looked = -VITALS_PERIOD
        self._tasks: set[asyncio.Task[None]] = set()
        self.measures.started.set(time.time())

    async def start(self, models: Sequence[ServedModel]) -> None:
        """Start the models' workers.

        Raises:
            EdgeError: a model cannot be loaded, or two have the same name.
        """
        for model in models:
            await model.start()
            name = model.description.name
            if name in self.models:
                raise InputError(f"two models are called {name}; requests could not tell them apart")
            self.models[name] = model
        self.started = True
        for session in list(self.sessions):
            session.resume()

    def token_needed(self, peer: Peer) -> bool:
        return self._token is not None and peer.transport == "tcp"

    def is_token(self, given: str | None) -> bool:
        """Compare in constant time."""
        wanted = (self._token or "").encode()
        return hmac.compare_digest((given or "").encode("utf-8", "surrogatepass"), wanted)

    def model(self, name: str | None) -> ServedModel:
        """The model of that name, or the first.

        Raises:
            UnknownModel: there is none.
        """
        if name is None:
            return next(iter(self.models.values()))
        try:
            return self.models[name]
        except KeyError:
            known = ", ".join(list(self.models)[:MAX_SHOWN_NAMES])
            raise UnknownModel(f"no such model is served; there are {known}") from None

    def resolve(self, ask: Ask) -> tuple[ServedModel, str]:
        """Which model is asked to do what.

        Raises:
            UnknownModel, NoSuchHead, TooLong: as docs/protocol.md has them.
            InputError: a field that the operation needs is missing, or it takes none such.
        """
        model = self.model(ask.model)
        described = model.description
        op = described.task if ask.op == "ask" else ask.op
        _check_head(model, op)
        if ask.longest > described.max_characters:
            raise TooLong(f"the text has {ask.longest} characters; {described.name} takes {described.max_characters}")
        if ask.pair is not None and op not in ("classify", "answer"):
            raise InputError(f'"{op}" takes no "pair"')
        if ask.choices is not None and op != "choose":
            raise InputError(f'"{op}" takes no "choices"')
        if op == "answer" and ask.pair is None:
            raise InputError('"answer" needs the text to look in as "pair"')
        if op == "choose" and not ask.choices:
            raise InputError('"choose" needs a list of texts as "choices"')
        return model, op

    def stream_task(self, model: ServedModel, request: Open) -> str:
        """What a stream is read for.

        Raises:
            NoSuchHead, InputError: it cannot be.
        """
        task = request.task or model.description.task
        if task not in STREAM_TASKS:
            raise InputError(f"a stream can be read for {', '.join(STREAM_TASKS)}, not for {task}")
        _check_head(model, task)
        if (task == "answer") != (request.question is not None):
            raise InputError('"question" is what "answer" needs, and no other task takes')
        return task

    def hello(self) -> dict[str, Any]:
        return {
            "protocol": PROTOCOL,
            "server": SERVER,
            "version": __version__,
            "state": self.state()[0],
            "models": [model.description.summary() for model in self.models.values()],
            "limits": self.limits.to_json(),
        }

    def state(self) -> tuple[str, list[str]]:
        """One of `STATES`, and why it is not ready."""
        if self.stopping:
            return "stopping", ["the server was told to stop"]
        if not self.started:
            return "starting", ["models are being loaded"]
        reasons = [
            f"{name} has {len(model.lane.workers)} of {model.count} workers"
            for name, model in self.models.items()
            if len(model.lane.workers) < model.count
        ]
        return ("degraded" if reasons else "ready"), reasons

    def health(self) -> dict[str, Any]:
        state, reasons = self.state()
        models = [
            {
                "name": name,
                "digest": model.description.digest,
                "workers": len(model.lane.workers),
                "queue": len(model.lane),
            }
            for name, model in self.models.items()
        ]
        return {
            "state": state,
            "reasons": reasons,
            "uptime_s": round(time.monotonic() - self._begun, 3),
            "models": models,
            "slowed": self._slowed(),
        }

    def slow_down(self, duty: float, seconds: float, reason: str) -> None:
        """Let workers compute for a part of their time only, for so many seconds; 1 lets them at full speed again."""
        if duty != self.pace.duty:
            log.info("pace", duty=duty, reason=reason)
        self.pace.set(duty, seconds, reason)
        for model in self.models.values():
            model.lane.dispatch()

    def _slowed(self) -> dict[str, Any] | None:
        pace = self.pace
        if not pace.slowed:
            return None
        return {"duty": pace.duty, "reason": pace.reason, "for_ms": round(pace.seconds_left * 1e3)}

    def metrics(self) -> str:
        """In the Prometheus text format."""
        measures = self.measures
        state = self.state()[0]
        for each in STATES:
            measures.state.labels(each).set(each == state)
        measures.duty.set(self.pace.duty)
        self._look_around()
        return exposition([measures.registry.snapshot()])

    def _look_around(self) -> None:
        """Measure the processes and the board, if that was not done just now."""
        now = time.monotonic()
        if now - self._looked < VITALS_PERIOD:
            return
        self._looked = now
        measures = self.measures
        for zone, degrees in vitals.temperatures().items():
            measures.temperature.labels(zone).set(degrees)
        pids: list[int | str] = ["self"]
        for model in self.models.values():
            pids += model.pids()
        processes = [vitals.process(pid) for pid in pids]
        measures.private.set(sum(process.private_bytes or 0 for process in processes))
        measures.resident.set(sum(process.resident_bytes or 0 for process in processes))
        measures.cpu.follow(sum(process.cpu_seconds or 0 for process in processes))
        measures.descriptors.set(processes[0].open_descriptors or 0)

    def reload(self, name: str | None, done: Callable[[list[dict[str, Any]] | EdgeError], None]) -> None:
        """Reload a model, or all; `done` gets what came of it.

        Raises:
            UnknownModel: there is no such model.
        """
        models = list(self.models.values()) if name is None else [self.model(name)]
        task = asyncio.get_running_loop().create_task(self._reload(models, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload(
        self, models: Sequence[ServedModel], done: Callable[[list[dict[str, Any]] | EdgeError], None]
    ) -> None:
        self.on_reload(True)
        try:
            outcome: list[dict[str, Any]] | EdgeError = [await model.reload() for model in models]
        except EdgeError as error:
            outcome = error
        finally:
            self.on_reload(False)
        done(outcome)


def _check_head(model: ServedModel, op: str) -> None:
    described = model.description
    if op not in described.tasks:
        heads = ", ".join(f"{name} ({kind})" for name, kind in described.heads.items())
        tasks = ", ".join(described.tasks) or "nothing over this protocol"
        raise NoSuchHead(f"{described.name} cannot {op}; its heads are {heads}, so it can be asked to {tasks}")
