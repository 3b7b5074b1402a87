"""A worker process: one model, one interpreter, one piece of work at a time.

Inference has a process of its own because LiteRT keeps Python's global lock while it runs (the server would answer
nobody in the meantime), and because native code that crashes takes its process with it. Workers of one model share the
mapped file and the packed weights.

    python -m edge_runtime.server.worker DESCRIPTOR SETTINGS
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import BackendError, EdgeError
from edge_runtime.own_process import keep_to, loaded, start_lean
from edge_runtime.protocol.replies import dump
from edge_runtime.server.wire import messages, pack

if TYPE_CHECKING:
    from edge_runtime.model import Model
    from edge_runtime.streaming.reader import Reader
    from edge_runtime.tasks.results import WindowResult
    from edge_runtime.windows import Window

READY, FAILED, DONE, ERROR = "ready", "failed", "done", "error"
"""what a worker says: the first two once, at its start, the others about a job"""

CANARY_TEXT = "turn off the kitchen lights"
OUT_OF_MEMORY_PREFERENCE = 500
"""added to this process's chances when the kernel must end one for memory: the server starts another worker"""

_HIDDEN = ("path", "weight_cache")
"""fields of `ModelInfo` that are nobody's business beyond this machine"""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a worker loads its model, the arguments of `edge_runtime.load`, and the cores that it keeps to."""

    model: str
    threads: int | None
    backend: str
    overflow: str
    cores: tuple[int, ...] | None = None
    lengths: int = 1

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def main() -> None:
    """Serve the socket whose descriptor is the first argument until its other end is closed."""
    start_lean()
    # The server decides when to stop; a signal meant for it reaches the whole group.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OUT_OF_MEMORY_PREFERENCE), encoding="ascii")
    connection = socket.socket(fileno=int(sys.argv[1]))
    settings = Settings(**json.loads(sys.argv[2]))
    if settings.cores:
        keep_to(settings.cores)
    with suppress(BrokenPipeError, ConnectionResetError):
        model = _load(connection, settings)
        if model is not None:
            _serve(connection, model)
    sys.stderr.flush()
    # Freeing the interpreter in order gains nothing now, and LiteRT talks while it does.
    os._exit(0)


def _load(connection: socket.socket, settings: Settings) -> Model | None:
    from edge_runtime.backends.native_library import release_freed_memory
    from edge_runtime.model import load

    try:
        model = load(settings.model, settings.threads, settings.backend, settings.overflow, lengths=settings.lengths)
        canary(model)
    except EdgeError as error:
        connection.sendall(pack((FAILED, error.code, str(error))))
        return None
    loaded()
    # reading tokenizer.json took a megabyte that glibc would keep
    release_freed_memory()
    return model


def _serve(connection: socket.socket, model: Model) -> None:
    shown = {name: value for name, value in model.info.to_json().items() if name not in _HIDDEN}
    connection.sendall(pack((READY, dump(shown))))
    work = Work(model)
    for job, kind, *arguments in messages(connection):
        before = model.spent
        try:
            answer: tuple[Any, ...] = (DONE, work.do(kind, *arguments))
        except EdgeError as error:
            answer = (ERROR, (error.code, str(error)))
        except Exception:  # whatever it was, the next job must not suffer from it
            traceback.print_exc()
            answer = (ERROR, (EdgeError.code, "the server failed at this request; its log says how"))
        spent = model.spent
        times = spent.tokenise - before.tokenise, spent.infer - before.infer
        connection.sendall(pack((answer[0], job, answer[1], *times)))


class Work:
    """What a worker is asked to do, by name. Results are JSON, made here so that the server need not."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._streams: dict[int, _OpenStream] = {}

    def do(self, kind: str, *arguments: Any) -> Any:
        """Raises EdgeError with what is wrong with the request."""
        return getattr(self, f"_{kind}")(*arguments)

    def _ask(self, op: str, text: str, pair: str | None, choices: tuple[str, ...] | None, top_k: int | None) -> bytes:
        model = self._model
        match op:
            case "understand":
                return encode(model.understand(text))
            case "classify":
                return encode(model.classify(text, pair, 3 if top_k is None else top_k))
            case "tag":
                return encode(model.tag(text))
            case "answer":
                return encode(model.answer(text, pair or ""))
            case "embed":
                return encode(model.embed(text))
            case "fill":
                return encode(model.fill(text, 5 if top_k is None else top_k))
            case "choose":
                return encode(model.choose(text, list(choices or ())))
        raise AssertionError(op)

    def _canary(self) -> bytes:
        canary(self._model)
        return b""

    def _open(
        self,
        number: int,
        task: str,
        window: int | None,
        overlap: int | None,
        question: str | None,
        top_k: int | None,
    ) -> tuple[int, int]:
        reader = self._model.read_stream(
            task, window=window, overlap=overlap, question=question, top_k=3 if top_k is None else top_k
        )
        self._streams[number] = _OpenStream(reader, deque())
        return reader.window, reader.overlap

    def _feed(self, number: int, data: bytes) -> int:
        stream = self._streams[number]
        stream.waiting.extend(stream.reader.feed(data))
        return len(stream.waiting)

    def _end(self, number: int) -> int:
        stream = self._streams[number]
        stream.waiting.extend(stream.reader.close())
        return len(stream.waiting)

    def _step(self, number: int, shown: bool) -> bytes:
        """Run one waiting window → what it gave, if that is to be shown."""
        stream = self._streams[number]
        found = stream.reader.run(stream.waiting.popleft())
        return _window(found) if shown else b""

    def _final(self, number: int) -> tuple[bytes, bool]:
        reader = self._streams.pop(number).reader
        return encode(reader.result()), reader.truncated

    def _drop(self, number: int) -> bytes:
        self._streams.pop(number, None)
        return b""


@dataclass(slots=True)
class _OpenStream:
    reader: Reader
    waiting: deque[Window]


def canary(model: Model) -> None:
    """One inference whose outputs must be finite and not all the same.

    Raises:
        EdgeError: the model cannot be run, or gives nonsense.
    """
    import numpy as np

    outputs = model.run(model.encode(CANARY_TEXT).ids)
    for head, logits in outputs.items():
        if not np.isfinite(logits).all():
            raise BackendError(f"the self-test of {model.info.name} failed: {head} is not finite")
    # a head that gives one number for each text (multiple choice) cannot be told from a stuck one by one text
    several = [logits for logits in outputs.values() if logits.size > 1]
    if several and all(np.ptp(logits) == 0 for logits in several):
        raise BackendError(f"the self-test of {model.info.name} failed: its outputs are all the same")


def encode(result: Any) -> bytes:
    """What a model's method returned, as JSON."""
    if isinstance(result, (list, tuple)):
        return dump([each.to_json() for each in result])
    if hasattr(result, "to_json"):
        return dump(result.to_json())
    return dump(result.tolist())


def _window(found: WindowResult) -> bytes:
    head = {"index": found.index, "start": found.start, "end": found.end, "tokens": found.tokens}
    return b'%b,"result":%b}' % (dump(head)[:-1], encode(found.result))


if __name__ == "__main__":
    main()
