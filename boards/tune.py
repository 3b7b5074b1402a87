"""`edge-boards tune`: every safe backend, number of threads and cluster against each other, and the choice kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from boards.cpus import Cores, clusters, cores
from boards.errors import BoardError
from boards.probe import Probe, Way
from boards.statistics import geometric_mean, percentile
from boards.system import System
from edge_runtime.backends.selection import NAMES, select
from edge_runtime.errors import EdgeError
from edge_runtime.tuning import SYSTEM, user_place, write

LENGTHS = (16, 64)
"""tokens: a command, and a paragraph"""
MAX_THREADS = 4
"""of a cluster: what more threads gain on so small matrices, their waiting for each other takes"""
FINALISTS = 4
"""ways that are loaded at a time and take turns; four models of base size fit into 512 MB"""
SCREENING = 0.35
"""share of the time that goes into finding the finalists"""
HOPELESS = 1.3
"""how much slower than with one thread less a way may be before more threads are not tried any more"""
MARGIN = 1.05
"""what a way must gain over a simpler one (fewer threads, no pinning, the backend that is taken without tuning): less
than this is what two measurements of the same thing differ by on a busy board"""


@dataclass(slots=True)
class Measured:
    """A way and how long its inferences took."""

    way: Way
    times: dict[int, list[float]] = field(default_factory=dict)
    """milliseconds by length"""
    final: bool = False

    @property
    def cost(self) -> float:
        """Milliseconds: the geometric mean of p50 and p95 at all lengths."""
        return geometric_mean(percentile(ms, share) for ms in self.times.values() for share in (50, 95))

    def add(self, length: int, milliseconds: Sequence[float]) -> None:
        self.times.setdefault(length, []).extend(milliseconds)

    def to_json(self) -> dict[str, Any]:
        rows = {
            str(length): {"runs": len(ms), "p50_ms": percentile(ms, 50), "p95_ms": percentile(ms, 95)}
            for length, ms in sorted(self.times.items())
        }
        return {**self.way.to_json(), "final": self.final, "cost_ms": self.cost, "lengths": rows}


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured and chosen."""

    model: str
    seconds: float
    measured: tuple[Measured, ...]
    chosen: Way
    passed: Mapping[str, str]
    """backends that were not tried, and why"""
    written: Path | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "seconds": self.seconds,
            "chosen": self.chosen.to_json(),
            "measured": [each.to_json() for each in self.measured],
            "not_tried": dict(self.passed),
            "written": None if self.written is None else str(self.written),
        }

    def to_text(self) -> str:
        """A table for a terminal, fastest first."""
        width = max(len(str(each.way)) for each in self.measured)
        titles = "".join(f"{f'{length} tokens p50':>16}{'p95':>9}" for length in LENGTHS)
        lines = [f"{'':2}{'way':<{width}}{titles}  ms"]
        for each in self.measured:
            mark = "→ " if each.way == self.chosen else "  "
            figures = "".join(
                f"{percentile(ms, 50):>16.2f}{percentile(ms, 95):>9.2f}" for _, ms in sorted(each.times.items())
            )
            lines.append(f"{mark}{each.way!s:<{width}}{figures}{'' if each.final else '  (screened out)'}")
        lines += [f"  not tried: {name}: {reason}" for name, reason in self.passed.items()]
        if self.written is not None:
            lines.append(f"written to {self.written}; `edge-runtime serve` takes it from there (doctor shows it)")
        return "\n".join(lines)


def tune(model: str, seconds: float, progress: Callable[[str], None], system: System | None = None) -> Report:
    """Measure, about so many seconds, and choose.

    Ways take turns, so that a clock that falls or another program harms all of them alike.

    Args:
        model: a bundled model's name, or the path of a .tflite.
        seconds: for all of it; loading the models may add to it.
        progress: told what is being done.
        system: this machine.

    Raises:
        BoardError: nothing can be measured here.
    """
    safe, passed = backends()
    ways = list(candidates(safe, clusters(cores(system or System())), os.sched_getaffinity(0)))
    if not ways:
        raise BoardError("no backend can be used here; edge-runtime doctor says why")
    began = time.monotonic()
    progress(f"screening {len(ways)} ways, {SCREENING * seconds:.0f} s …")
    screened = _screen(model, ways, SCREENING * seconds / len(ways), progress)
    if not screened:
        raise BoardError("no way to run the model could be measured here; edge-runtime doctor says why")
    finalists = sorted(screened, key=lambda each: each.cost)[:FINALISTS]
    left = max(seconds - (time.monotonic() - began), 0.0)
    progress(f"{len(finalists)} take turns, {left:.0f} s …")
    _take_turns(model, finalists, left)
    ordered = sorted(screened, key=lambda each: (not each.final, each.cost))
    return Report(model, round(time.monotonic() - began, 1), tuple(ordered), choose(finalists, safe), passed)


def keep(report: Report, output: Path | None) -> Report:
    """Write the choice where servers find it, or to `output`.

    Raises:
        BackendError: it cannot be written there.
    """
    if output is None:
        output = SYSTEM if os.geteuid() == 0 else user_place()
        if output is None:
            raise BoardError("this user has no home folder; give --output FILE and set EDGE_RUNTIME_TUNING to it")
    best = next(each for each in report.measured if each.way == report.chosen)
    measured = {
        "model": report.model,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "lengths": best.to_json()["lengths"],
    }
    write(output, report.chosen.backend, report.chosen.threads, report.chosen.cores, measured)
    return replace(report, written=output)


def backends() -> tuple[list[str], dict[str, str]]:
    """The backends that are safe here, the one taken without tuning first, and why the others are not.

    One that would crash this CPU is never imported: `select` decides from the CPU's features alone.
    """
    safe, passed = [], {}
    for name in NAMES:
        try:
            select(name)
            safe.append(name)
        except EdgeError as error:
            passed[name] = str(error)
    return safe, passed


def candidates(safe: Sequence[str], groups: Sequence[Cores], allowed: set[int]) -> Iterator[Way]:
    """Backends × threads × where: anywhere, and where cores differ each kind of them.

    Args:
        safe: backends.
        groups: the machine's clusters.
        allowed: cores that this process may use.
    """
    fast = max((len(set(group.numbers) & allowed) for group in groups), default=len(allowed))
    for backend in safe:
        for threads in range(1, min(fast or 1, MAX_THREADS) + 1):
            yield Way(backend, threads, None)
        if len(groups) < 2:
            continue
        for group in groups:
            kept = tuple(sorted(set(group.numbers) & allowed))
            for threads in range(1, min(len(kept), MAX_THREADS) + 1):
                yield Way(backend, threads, kept)


def choose(measured: Sequence[Measured], safe: Sequence[str]) -> Way:
    """The simplest way that is within `MARGIN` of the fastest."""
    best = min(each.cost for each in measured)
    near = [each for each in measured if each.cost <= best * MARGIN]
    return min(
        near,
        key=lambda each: (each.way.threads, each.way.cores is not None, safe.index(each.way.backend), each.cost),
    ).way


def _screen(model: str, ways: Sequence[Way], share: float, progress: Callable[[str], None]) -> list[Measured]:
    """Each way alone, shortly; one that cannot be loaded is left out."""
    found: list[Measured] = []
    for way in ways:
        if _hopeless(way, found):
            progress(f"left out: {way}: fewer threads were faster")
            continue
        measured = Measured(way)
        try:
            with Probe(model, way) as probe:
                for length in LENGTHS:
                    measured.add(length, probe.seconds(length, share / len(LENGTHS)))
        except BoardError as error:
            progress(f"left out: {error}")
            continue
        found.append(measured)
    return found


def _hopeless(way: Way, found: Sequence[Measured]) -> bool:
    """Whether one thread less already was far worse than two less, so that one more cannot be the best."""
    costs = {
        each.way.threads: each.cost for each in found if (each.way.backend, each.way.cores) == (way.backend, way.cores)
    }
    one, two = costs.get(way.threads - 1), costs.get(way.threads - 2)
    return one is None and way.threads > 2 if two is None else one is None or one > HOPELESS * two


def _take_turns(model: str, finalists: Sequence[Measured], seconds: float) -> None:
    """Measure anew, all of them loaded at once, one after the other in rounds."""
    for each in finalists:
        each.times.clear()
        each.final = True
    with ExitStack() as stack:
        probes = [(each, stack.enter_context(Probe(model, each.way))) for each in finalists]
        until = time.monotonic() + seconds
        rounds = 0
        while rounds < 2 or time.monotonic() < until:
            # who comes first changes, for the first after another's turn finds its weights pushed out of the caches
            turn = rounds % len(probes)
            for each, probe in probes[turn:] + probes[:turn]:
                for length in LENGTHS:
                    each.add(length, probe.seconds(length, min(0.25, seconds / 20)))
            rounds += 1
