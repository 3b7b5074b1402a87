"""`edge-boards profile`: everything measured in turn, and written as JSON and as a page."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from boards.cpus import MATTERS, clusters, cores, features
from boards.detection import detect
from boards.errors import BoardError
from boards.probe import Probe, Way
from boards.profiles import board as named_board
from boards.profiling import loading, operators
from boards.profiling.comparison import comparison_page
from boards.profiling.page import page
from boards.profiling.record import FORMAT, check
from boards.profiling.soak import soak
from boards.schema import Board
from boards.statistics import percentile
from boards.system import System
from boards.tune import MAX_THREADS
from edge_runtime import __version__
from edge_runtime.model_file import find
from edge_runtime.tuning import settle

LENGTHS = (8, 16, 32, 64, 128)
"""tokens: a word of command to a paragraph"""
OPERATOR_LENGTH = 32
SOAK_LENGTH = 64
RUNS, QUICK_RUNS = 100, 20
"""timed inferences for each length and number of threads; a p95 of a hundred rests on five values"""
ROUNDS = 4
"""in which numbers of threads take turns, so that a clock that falls harms all alike"""


@dataclass(frozen=True, slots=True)
class Written:
    """The files that were made."""

    files: tuple[Path, ...]
    said: str

    def to_json(self) -> dict[str, Any]:
        return {"files": [str(file) for file in self.files]}

    def to_text(self) -> str:
        return "\n".join([self.said, *(f"wrote {file}" for file in self.files)])


def profile(
    identity: str | None,
    model: str,
    minutes: float,
    folder: Path,
    quick: bool,
    backend: str,
    progress: Callable[[str], None],
) -> Written:
    """Measure, and write `profile.json` and `profile.html`.

    Args:
        identity: whose profile to go by; None for the board that this is.
        model: a bundled model's name, or a path.
        minutes: of full load.
        folder: where the files go; made if need be.
        quick: fewer runs.
        backend: as for `edge_runtime.load`.
        progress: told what is being done.

    Raises:
        EdgeError: something cannot be measured, or the files cannot be written.
    """
    record = measure(identity, model, minutes, quick, backend, progress)
    files = (folder / "profile.json", folder / "profile.html")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files[0].write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        files[1].write_text(page(record), encoding="utf-8")
    except OSError as error:
        raise BoardError(f"{folder} cannot be written ({error.strerror}); name another with --output") from None
    rows = [row for row in record["latency"] if row["threads"] == record["settings"]["threads"]]
    said = ", ".join(f"{row['length']} tokens {row['p50_ms']:.2f} ms" for row in rows)
    return Written(files, f"{record['board']['name']}, {record['model']['name']}: {said}")


def compare(first: Path, second: Path, output: Path) -> Written:
    """Write a page of two earlier profiles.

    Raises:
        BoardError: one is none, or the page cannot be written.
    """
    records = [read(path) for path in (first, second)]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(comparison_page(*records), encoding="utf-8")
    except OSError as error:
        raise BoardError(f"{output} cannot be written ({error.strerror}); name another with --output") from None
    return Written((output,), f"{first} against {second}")


def read(path: Path) -> dict[str, Any]:
    """A profile that was written before.

    Raises:
        BoardError: it is none, or of another format.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BoardError(f"{path} is no profile: {error}") from None
    return check(record, str(path))


def measure(
    identity: str | None, model: str, minutes: float, quick: bool, backend: str, progress: Callable[[str], None]
) -> dict[str, Any]:
    """All of a profile (docs/profiling.md has its fields).

    Raises:
        EdgeError: something cannot be measured.
    """
    system = System()
    told = detect(system)
    board = told.board if identity is None else named_board(identity)
    settings = settle(backend)
    way = Way(settings.selection.name, settings.threads, settings.cores)
    path = find(model)
    progress("loading …")
    with Probe(str(path), way) as probe:
        info = probe.info
    lengths = tuple(length for length in LENGTHS if length <= info["max_length"])
    started = loading.measure(path, way, lengths[-1:])
    latency = list(_latency(str(path), way, lengths, QUICK_RUNS if quick else RUNS, progress))
    length = min(OPERATOR_LENGTH, info["max_length"])
    passes = 1 if quick else operators.PASSES
    shares, without = operators.try_measure(str(path), way.backend, length, progress, passes)
    firmware = board.thermal is not None and board.thermal.flags == "vcgencmd"
    with Probe(str(path), way) as probe:
        load = soak(probe, min(SOAK_LENGTH, info["max_length"]), minutes, firmware, progress, system)
    record: dict[str, Any] = {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "tool": __version__,
        "board": {"id": board.id, "name": board.name, "detected": board.id == told.board.id, "by": told.by},
        "machine": _machine(system, board),
        "model": {**info, "bytes": path.stat().st_size},
        "settings": {**way.to_json(), "reason": settings.selection.reason, "minutes": minutes, "quick": quick},
        "latency": latency,
        "loading": started.to_json(),
        "operators": None if shares is None else shares.to_json(),
        "without_operators": without,
        "soak": load.to_json(),
    }
    # as it is read back: lists, not tuples
    return check(json.loads(json.dumps(record)), "the profile")


def _machine(system: System, board: Board) -> dict[str, Any]:
    online = cores(system)
    governors = sorted(
        {system.text(each) for each in system.glob("/sys/devices/system/cpu/cpufreq/*/scaling_governor")}
    )
    uname = os.uname()
    return {
        "model": system.model or None,
        "machine": uname.machine,
        "kernel": uname.release,
        "bits": 8 * system.word,
        "page_bytes": os.sysconf("SC_PAGE_SIZE"),
        "memory_kb": system.memory_kb,
        "features": sorted(features(online) & set(MATTERS)),
        "clusters": [asdict(each) for each in clusters(online)],
        "governors": governors,
        "throttles_at": board.thermal.throttles_at if board.thermal else None,
        "load_before": os.getloadavg()[0],
    }


def _latency(
    path: str, way: Way, lengths: tuple[int, ...], runs: int, progress: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """By threads and length; the way's own cores are kept to only with its own threads."""
    most = min(MAX_THREADS, len(os.sched_getaffinity(0)))
    ways = [
        Way(way.backend, threads, way.cores if threads == way.threads else None)
        for threads in sorted({*range(1, most + 1), way.threads})
    ]
    progress(f"latency with {', '.join(str(each.threads) for each in ways)} threads …")
    times: dict[tuple[Way, int], list[float]] = {}
    with ExitStack() as stack:
        probes = [stack.enter_context(Probe(path, each)) for each in ways]
        for _ in range(ROUNDS):
            for probe in probes:
                for length in lengths:
                    times.setdefault((probe.way, length), []).extend(probe.runs(length, max(runs // ROUNDS, 1)))
    for (each, length), milliseconds in sorted(times.items(), key=lambda item: (item[0][0].threads, item[0][1])):
        yield {
            **each.to_json(),
            "length": length,
            "runs": len(milliseconds),
            "least_ms": min(milliseconds),
            "p50_ms": percentile(milliseconds, 50),
            "p95_ms": percentile(milliseconds, 95),
        }
