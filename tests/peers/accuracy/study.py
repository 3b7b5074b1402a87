"""One measurement for each checkpoint and method, kept as a small JSON file of its own, so that none is done twice."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from converter import checkpoint
from tests.peers.accuracy import tasks
from tests.peers.accuracy.methods import METHODS, Made, Subject, float_tensors
from tests.peers.accuracy.tflite import Outputs

REFERENCE = "float32"


@dataclass(frozen=True)
class Case:
    """A checkpoint of the study."""

    model: str
    """what it is, for the reader"""
    task: str
    folder: Path
    seed: int | None = None
    """of its training; None for pretrained weights"""

    @property
    def name(self) -> str:
        return self.folder.name if self.seed is not None else self.model


@dataclass(frozen=True)
class Measurement:
    """What one method made of one checkpoint."""

    model: str
    task: str
    seed: int | None
    method: str
    scores: dict[str, float]
    """in per cent"""
    likeness: dict[str, float]
    """to float32"""
    megabytes: float
    float_tensors: int | None
    """of a TFLite file"""
    seconds: float | None
    """to make the file, on a machine with other work to do; None where it was there already"""


class Session:
    """One checkpoint with its texts and its float32 outputs, read when they are first needed."""

    def __init__(self, case: Case, build: Path) -> None:
        self.case, self.build = case, build

    @cached_property
    def subject(self) -> Subject:
        heads = ["embedding"] if self.case.task == "similarity" else None
        folder = self.build / "models" / self.case.name
        folder.mkdir(parents=True, exist_ok=True)
        return Subject(self.case.folder, checkpoint.read(self.case.folder, heads), folder, self.build)

    @cached_property
    def task(self) -> tasks.Task:
        return tasks.build(self.case.task, self.subject.network)

    @cached_property
    def reference(self) -> Outputs:
        return self._outputs(METHODS[REFERENCE](self.subject))

    def measure(self, method: str) -> Measurement:
        existing = {path.name for path in self.subject.folder.iterdir()}
        made = METHODS[method](self.subject)
        outputs = self.reference if method == REFERENCE else self._outputs(made)
        return Measurement(
            self.case.model,
            self.case.task,
            self.case.seed,
            method,
            {name: round(value, 3) for name, value in self.task.score(outputs).items()},
            {name: round(value, 5) for name, value in self.task.likeness(outputs, self.reference).items()},
            round(made.path.stat().st_size / 1e6, 2),
            float_tensors(made.path),
            None if made.path.name in existing else round(made.seconds, 1),
        )

    def _outputs(self, made: Made) -> Outputs:
        return made.run(made.path, self.task.texts)


def measure(cases: Sequence[Case], methods: Sequence[str], build: Path) -> None:
    """Measure what is not yet measured under `build`."""
    folder = build / "measured"
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        session = Session(case, build)
        for method in methods:
            path = folder / f"{case.name}, {method}.json"
            if path.exists():
                continue
            began = time.perf_counter()
            found = session.measure(method)
            path.write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")
            told = {**found.scores, **found.likeness}
            print(f"{case.name}, {method}: {told} ({time.perf_counter() - began:.0f} s)", file=sys.stderr, flush=True)


def measured(cases: Iterable[Case], build: Path) -> Iterator[Measurement]:
    """What has been measured so far."""
    for case in cases:
        for method in METHODS:
            path = build / "measured" / f"{case.name}, {method}.json"
            if path.exists():
                yield Measurement(**json.loads(path.read_text("utf-8")))
