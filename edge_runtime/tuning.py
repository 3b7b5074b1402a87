"""How models run on this board, as `edge-boards tune` measured it: backend, threads, cores.

A small JSON file, which `load`, `ask` and `serve` take their defaults from. It holds for one kind of CPU, one number of
cores and one version of the runtime; with any other (a card that moved to another board, an update) it is left aside,
and `edge-runtime doctor` says so. A damaged file is left aside as well: tuning is worth time, never an answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edge_runtime.backends.selection import (
    AUTO,
    ENVIRONMENT,
    NAMES,
    TFLITE,
    Selection,
    litert_version,
    select,
    tflite_version,
)
from edge_runtime.cpu import this_cpu
from edge_runtime.errors import BackendError, EdgeError

FORMAT = 1
FILE_ENVIRONMENT = "EDGE_RUNTIME_TUNING"
OFF = "off"
"""value of the variable for no tuning at all"""
NAME = "tuning.json"
SYSTEM = Path("/etc/edge-runtime") / NAME

MAX_THREADS = 64
"""more than any board has cores"""
MAX_CORES = 1024
"""the largest core number that sched_setaffinity(2) takes in its usual mask"""
MAX_SIZE = 1 << 16
"""bytes; the file takes a few hundred, and what is longer is none of ours"""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was measured to be fastest here."""

    backend: str
    threads: int
    cores: tuple[int, ...] | None
    """to which a process that serves is kept; None: the scheduler decides"""
    path: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """How to load a model."""

    selection: Selection
    threads: int
    cores: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Unfit:
    """A file that is left aside, and why."""

    path: Path
    reason: str


def places() -> tuple[Path, ...]:
    """Where the file may be, first come first: $EDGE_RUNTIME_TUNING alone, or the user's own, then the system's."""
    if named := os.environ.get(FILE_ENVIRONMENT):
        return () if named == OFF else (Path(named),)
    own = user_place()
    return (SYSTEM,) if own is None else (own, SYSTEM)


def user_place() -> Path | None:
    """The user's own file; None for a user without a home."""
    if base := os.environ.get("XDG_CONFIG_HOME"):
        return Path(base) / "edge-runtime" / NAME
    try:
        return Path.home() / ".config" / "edge-runtime" / NAME
    except RuntimeError:
        return None


def find() -> Tuning | Unfit | None:
    """The tuning that holds here, or why the first file that there is does not; None without any file."""
    for place in places():
        try:
            with place.open("rb") as file:
                content = file.read(MAX_SIZE + 1)
        except FileNotFoundError:
            continue
        except OSError as error:
            return Unfit(place, f"it cannot be read ({error.strerror})")
        return _understood(place, content)
    return None


def settle(backend: str = AUTO, threads: int | None = None) -> Settings:
    """What to load a model with: as asked for, else as tuned, else the best backend that is safe and one thread.

    A backend that is asked for (or named by $EDGE_RUNTIME_BACKEND) and is not the tuned one leaves all of the tuning
    aside, for threads and cores were measured with the other.

    Args:
        backend: as for `selection.select`.
        threads: None for the tuned number.

    Raises:
        InputError, BackendError: as `selection.select`.
    """
    tuning = _holding(backend)
    if tuning is not None:
        with contextlib.suppress(EdgeError):
            select(tuning.backend)
            chosen = Selection(tuning.backend, f"tuned on this board ({tuning.path})")
            if _wanted(backend) != AUTO:
                chosen = select(backend)
            return Settings(chosen, threads or tuning.threads, _cores(tuning, threads))
    # without tuning, or with one whose backend was uninstalled since
    return Settings(select(backend), threads or 1, None)


def cores_for(backend: str, threads: int | None, workers: int) -> tuple[int, ...] | None:
    """The cores that the workers of a server are kept to, told without importing anything of a backend.

    They are none where they do not suffice for so many workers: processes that wait for each other's cores while others
    idle would be worse off than without tuning.
    """
    tuning = _holding(backend)
    cores = None if tuning is None else _cores(tuning, threads)
    if tuning is None or cores is None or workers * (threads or tuning.threads) > len(cores):
        return None
    return cores


def _holding(backend: str) -> Tuning | None:
    tuning = current()
    return tuning if tuning is not None and _wanted(backend) in (AUTO, tuning.backend) else None


def _wanted(backend: str) -> str:
    return (os.environ.get(ENVIRONMENT) or AUTO) if backend == AUTO else backend


def _cores(tuning: Tuning, threads: int | None) -> tuple[int, ...] | None:
    return tuning.cores if threads in (None, tuning.threads) else None


def current() -> Tuning | None:
    """The tuning that holds here, if any; read once a process for each place that it may be in."""
    return _current(places())


@cache
def _current(_: tuple[Path, ...]) -> Tuning | None:
    found = find()
    return found if isinstance(found, Tuning) else None


def runtime_version(backend: str) -> str | None:
    """The installed version of the package that a backend is in."""
    return tflite_version() if backend == TFLITE else litert_version()


def write(path: Path, backend: str, threads: int, cores: tuple[int, ...] | None, measured: Mapping[str, Any]) -> None:
    """Write a choice for this board, whole or not at all; a reader sees the old file or the new one.

    Args:
        path: whose folder is made if need be.
        backend: one of `selection.NAMES`.
        threads: of one inference.
        cores: to keep a serving process to; None for all.
        measured: what the choice rests on, for people.

    Raises:
        BackendError: it cannot be written there.
    """
    content = {
        "format": FORMAT,
        "cpu": this_cpu().fingerprint,
        "cores": os.cpu_count(),
        "runtime": runtime_version(backend),
        "choice": {"backend": backend, "threads": threads, "cores": None if cores is None else list(cores)},
        "measured": dict(measured),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(content, file, ensure_ascii=False, indent=1)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
                # servers run as users of their own, and it is no secret
                os.fchmod(file.fileno(), 0o644)
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise BackendError(f"the choice cannot be written to {path} ({error.strerror}); name another file") from None
    _current.cache_clear()


def _understood(path: Path, content: bytes) -> Tuning | Unfit:
    damaged = Unfit(path, "it is damaged or none of ours")
    try:
        told = json.loads(content[: MAX_SIZE + 1])
        number, cpu, count, runtime, choice = (told[key] for key in ("format", "cpu", "cores", "runtime", "choice"))
        backend, threads, cores = (choice[key] for key in ("backend", "threads", "cores"))
        if number != FORMAT:
            return Unfit(path, f"its format is {number!r} and this release reads {FORMAT}")
        if backend not in NAMES or not _whole(threads, 1, MAX_THREADS) or not (cores is None or _numbers(cores)):
            return damaged
    except (ValueError, KeyError, TypeError, RecursionError):
        return damaged
    if cpu != this_cpu().fingerprint or count != os.cpu_count():
        return Unfit(path, "it was measured on another kind of CPU")
    if runtime != runtime_version(backend):
        return Unfit(path, f"it was measured with version {runtime} of the runtime, not {runtime_version(backend)}")
    return Tuning(backend, threads, None if cores is None else tuple(cores), path)


def _numbers(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_whole(each, 0, MAX_CORES - 1) for each in value)


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
