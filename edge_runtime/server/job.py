"""One piece of work for a worker, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edge_runtime.errors import EdgeError

if TYPE_CHECKING:
    from edge_runtime.server.process import WorkerProcess

MAX_ATTEMPTS = 2
"""a request on which two workers have died is not given to a third"""


class Client(Protocol):
    """Whose work it is: the queue takes turns between clients."""

    def __hash__(self) -> int: ...


@dataclass(slots=True)
class Outcome:
    """What came of a job: a value, or an error's code and message."""

    value: Any
    error: tuple[str, str] | None
    worker: WorkerProcess | None
    """that did it"""
    queue: float = 0.0
    """seconds that it waited"""
    tokenise: float = 0.0
    """seconds"""
    infer: float = 0.0
    """seconds"""


@dataclass(slots=True, eq=False)
class Job:
    client: Client
    kind: str
    """the name of a method of `worker.Work`, without its underscore"""
    arguments: tuple[Any, ...]
    done: Callable[[Outcome], None]
    """called once, whatever happens, unless the client has gone (`unconditional`: even then, if it had begun)"""
    characters: int = 0
    """that it reads, for an estimate of what it costs"""
    deadline: float | None = None
    """on the monotonic clock; None: whenever it is its turn"""
    worker: WorkerProcess | None = None
    """the only one that can do it, where a stream is open there"""
    arrived: float = 0.0
    started: float = 0.0
    cost: float = 0.0
    """seconds, estimated"""
    attempts: int = 0
    abandoned: bool = False
    """its client has gone: nobody waits for the outcome"""
    unconditional: bool = False
    finished: bool = False
    """it has its outcome"""

    def fail(self, error: EdgeError) -> None:
        """Let it end without a worker."""
        if not self.abandoned:
            self.done(Outcome(None, (error.code, str(error)), None))
