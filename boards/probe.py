"""A process that loads a model one way and measures what it is told to, so that several ways can take turns.

    python -m boards.probe SETTINGS

It reads one JSON object a line and answers each with one: {"length", "runs"} or {"length", "seconds"} with how long
each inference took, {"text"} when the text was answered, {"stages"} with what each step took in time and memory. It
begins with {"ready": …} or {"failed": …}.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from boards.errors import BoardError

if TYPE_CHECKING:
    from edge_runtime.model import Model

WARM_UP_RUNS = 3
"""before the first timing of each length: buffers are allocated, caches filled, the clock raised"""
_TIMEOUT = 300.0
"""seconds that a probe may take to end when it was told to"""
_SHOWN = ("name", "digest", "licence", "max_length", "backend", "backend_version", "architecture")
"""fields of `ModelInfo` that a report has"""
MAX_SECONDS = 60.0
"""of one command; longer loads are several commands"""


@dataclass(frozen=True, slots=True)
class Way:
    """How a model is run."""

    backend: str
    threads: int
    cores: tuple[int, ...] | None

    def __str__(self) -> str:
        kept = "" if self.cores is None else f", cores {ranges(self.cores)}"
        return f"{self.backend}, {self.threads} thread{'' if self.threads == 1 else 's'}{kept}"

    def to_json(self) -> dict[str, Any]:
        return {"backend": self.backend, "threads": self.threads, "cores": list(self.cores) if self.cores else None}


class Probe:
    """A probe process, from its parent's side. Use it in a `with` statement."""

    def __init__(self, model: str, way: Way, cache: str | None = None) -> None:
        """Start it and wait until the model is loaded.

        Args:
            model: a bundled model's name or a path.
            way: how it is run.
            cache: folder for packed weights, if not the usual one.

        Raises:
            BoardError: it cannot be loaded that way.
        """
        self.way = way
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "EDGE_RUNTIME_TUNING": "off"}
        if cache is not None:
            environment["EDGE_RUNTIME_CACHE"] = cache
        # CLOCK_MONOTONIC is the same in all processes of a machine
        settings = json.dumps({"model": model, **asdict(way), "began": time.monotonic()})
        self._process = subprocess.Popen(
            [sys.executable, "-m", "boards.probe", settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        try:
            self.info: dict[str, Any] = self._read()["ready"]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        try:
            self._process.wait(_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def runs(self, length: int, runs: int) -> list[float]:
        """Milliseconds of so many inferences at one length.

        Raises:
            BoardError: the process ended or failed.
        """
        return [float(value) for value in self._ask({"length": length, "runs": runs})["ms"]]

    def seconds(self, length: int, seconds: float) -> list[float]:
        """Milliseconds of each inference that fits into so many seconds (at least one).

        Raises:
            BoardError: the process ended or failed.
        """
        return [float(value) for value in self._ask({"length": length, "seconds": min(seconds, MAX_SECONDS)})["ms"]]

    def answer(self) -> None:
        """Let it answer a text, for the first time parse the tokenizer.

        Raises:
            BoardError: the process ended or failed.
        """
        self._ask({"text": "turn off the kitchen lights"})

    def stages(self) -> list[dict[str, Any]]:
        """What the process went through: after each step the milliseconds since it was started, and what it took
        (`memory.of_this_process`).

        Raises:
            BoardError: the process ended or failed.
        """
        found: list[dict[str, Any]] = self._ask({"stages": True})["stages"]
        return found

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise BoardError(f"{self.way}: the measuring process ended") from None
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            answer = json.loads(line)
        except ValueError:
            self._process.wait(_TIMEOUT)
            raise BoardError(f"{self.way}: the measuring process ended with {self._process.returncode}") from None
        assert isinstance(answer, dict)
        if "failed" in answer:
            raise BoardError(f"{self.way}: {answer['failed']}")
        return answer


def ranges(numbers: Sequence[int]) -> str:
    """Core numbers as `serve --cores` takes them: 4-7."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found)


def main() -> None:
    """Load, then answer standard input until it ends."""
    # What native code prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    settings = json.loads(sys.argv[1])
    stages = _Stages(settings["began"])
    stages.reached("python")

    def say(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    from edge_runtime.errors import EdgeError

    try:
        from edge_runtime.backends.selection import import_backend, select
        from edge_runtime.model import load
        from edge_runtime.own_process import keep_to

        if settings["cores"]:
            keep_to(settings["cores"])
        import_backend(select(settings["backend"]))
        stages.reached("libraries")
        model = load(settings["model"], settings["threads"], settings["backend"])
    except EdgeError as error:
        say({"failed": str(error)})
        return
    stages.reached("model loaded")
    say({"ready": {name: model.info.to_json()[name] for name in _SHOWN}})
    work = _Work(model, stages)
    for line in sys.stdin:
        try:
            say(work.do(json.loads(line)))
        except EdgeError as error:
            say({"failed": str(error)})
    # freeing the interpreter in order gains nothing now
    os._exit(0)


class _Stages:
    def __init__(self, began: float) -> None:
        self._began = began
        self.found: list[dict[str, Any]] = []

    def reached(self, name: str) -> None:
        from boards.profiling.memory import of_this_process

        milliseconds = 1e3 * (time.monotonic() - self._began)
        if all(stage["stage"] != name for stage in self.found):
            self.found.append({"stage": name, "ms": milliseconds, **of_this_process()})


class _Work:
    def __init__(self, model: Model, stages: _Stages) -> None:
        self._model = model
        self._stages = stages
        self._warm: set[int] = set()

    def do(self, command: dict[str, Any]) -> dict[str, Any]:
        if "text" in command:
            self._model.run(self._model.encode(command["text"]).ids)
            self._stages.reached("first answer")
            return {}
        if "stages" in command:
            return {"stages": self._stages.found}
        return {"ms": self._timed(command["length"], command.get("runs"), command.get("seconds"))}

    def _timed(self, length: int, runs: int | None, seconds: float | None) -> list[float]:
        # any token does: the time depends on the length alone
        ids = [number % int(self._model.info.architecture["vocabulary"]) for number in range(length)]
        for _ in range(0 if length in self._warm else WARM_UP_RUNS):
            self._model.run(ids)
        self._warm.add(length)
        until = time.perf_counter() + (seconds or 0.0)
        found: list[float] = []
        while len(found) < (runs or 1) or (seconds is not None and time.perf_counter() < until):
            began = time.perf_counter()
            self._model.run(ids)
            found.append(1e3 * (time.perf_counter() - began))
        self._stages.reached(f"{length} tokens")
        return found


if __name__ == "__main__":
    main()
