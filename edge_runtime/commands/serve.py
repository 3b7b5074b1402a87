"""`edge-runtime serve`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge_runtime.errors import InputError
from edge_runtime.protocol.limits import Limits
from edge_runtime.server import daemon
from edge_runtime.server.worker import Settings
from edge_runtime.tuning import MAX_CORES, cores_for

SOCKET_NAME = "edge.sock"
SLOT = "*/current/model.tflite"
"""where `firmware_hooks.slots` keeps a model that is active"""


def options(
    *,
    models: Sequence[str],
    workers: int,
    threads: int | None,
    backend: str,
    cores: str,
    lengths: int,
    overflow: str,
    queue: int,
    deadline_ms: float | None,
    connections: int | None,
    unix: Path | None,
    mode: str,
    group: str | None,
    tcp: Sequence[str],
    allow_remote: bool,
    token_file: Path | None,
    metrics: str | None,
    serial: Sequence[str] = (),
) -> daemon.Options:
    """What the command line says, checked as far as it can be without opening anything.

    Raises:
        InputError: it makes no sense.
    """
    limits = Limits()
    if deadline_ms is not None:
        if not 0 < deadline_ms <= limits.max_deadline_ms:
            raise InputError(f"--deadline-ms must be above 0 and at most {limits.max_deadline_ms:g}")
        limits = replace(limits, default_deadline_ms=deadline_ms)
    if connections is not None:
        limits = replace(limits, connections=connections)
    if len(set(models)) != len(models):
        raise InputError("a model is named twice; --workers gives one model several workers")
    try:
        permissions = int(mode, 8)
    except ValueError:
        permissions = -1
    if not 0 <= permissions <= 0o777:
        raise InputError(f"--socket-mode must be octal, 0 to 777, not {mode!r}")
    kept = _cores(cores, threads, backend, workers * len(models))
    if unix is None and not tcp and not serial and not os.environ.get("LISTEN_FDS"):
        unix = default_socket()
    return daemon.Options(
        models=tuple(Settings(_absolute(model), threads, backend, overflow, kept, lengths) for model in models),
        workers=workers,
        queue=queue,
        limits=limits,
        unix=unix,
        mode=permissions,
        group=group,
        tcp=tuple(tcp),
        allow_remote=allow_remote,
        token_file=token_file,
        metrics=metrics,
        serial=tuple(serial),
    )


def in_slots(folder: Path, named: Sequence[str]) -> list[str]:
    """The models in a folder of slots (docs/slots.md), by name, but for those that were named already.

    They are the links that are followed at each reload: NAME/current/model.tflite.
    """
    known = {_absolute(model) for model in named}
    return [str(path) for path in sorted(folder.glob(SLOT)) if _absolute(str(path)) not in known]


def default_socket() -> Path:
    """Where a server of this user listens: the folder that a service manager made for it, or the user's own."""
    folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if folder:
        return Path(folder) / SOCKET_NAME
    if os.geteuid() == 0:
        place = Path("/run/edge-runtime")
    else:
        own = os.environ.get("XDG_RUNTIME_DIR")
        if not own:
            raise InputError("there is no folder for a socket of this user ($XDG_RUNTIME_DIR); give --socket PATH")
        place = Path(own) / "edge-runtime"
    try:
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{place} cannot be made ({error.strerror}); give --socket PATH") from None
    return place / SOCKET_NAME


def _cores(named: str, threads: int | None, backend: str, workers: int) -> tuple[int, ...] | None:
    """The cores that workers keep to: those named, none for "all", and for "auto" the tuned ones if they suffice.

    Raises:
        InputError: they are no core numbers, or none of them is there.
    """
    if named == "all":
        return None
    if named == "auto":
        return cores_for(backend, threads, workers)
    found: set[int] = set()
    for part in named.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal()) or int(last) >= MAX_CORES:
            raise InputError(f"--cores must be core numbers as 0,2 or 4-7, all or auto, not {named!r}")
        found.update(range(int(first), int(last) + 1))
    if not found & os.sched_getaffinity(0):
        raise InputError(f"this machine has none of the cores {named}; it has {sorted(os.sched_getaffinity(0))}")
    return tuple(sorted(found))


def _absolute(model: str) -> str:
    """A path as it is from anywhere, for workers; a bundled model's name as it stands."""
    return os.path.abspath(model) if os.sep in model or model.endswith(".tflite") else model  # noqa: PTH100  no links resolved: a reload follows them anew
