"""`edge-runtime bench`: latency per length here, load time and memory in fresh processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import BackendError, InputError
from edge_runtime.model import Model, load
from edge_runtime.verified import cache_folder, private_folder

DEFAULT_LENGTHS = (16, 32, 64, 128)
_WARM_UP_RUNS = 3
_LOADS = 5
"""fresh processes whose median is the warm load"""
_CHILD_TIMEOUT = 120.0
"""seconds; a cold load of 50 MB on a Raspberry Pi 3 takes two"""

# What a fresh process does: the libraries first, for their import is no part of loading a model; then the load, in
# which the interpreter's own library is initialised as well; then the first answer, at which the tokenizer is parsed.
_CHILD = """
import json, sys
from edge_runtime.commands.bench import load_once
print(json.dumps(load_once(sys.argv[1], int(sys.argv[2]))))
"""


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one length, in milliseconds."""

    length: int
    runs: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Load:
    """One fresh process."""

    import_ms: float
    """NumPy, tokenizers and the interpreter's package"""
    load_ms: float
    first_run_ms: float
    tokenizer_ms: float
    """at the first text"""
    private_kb: int
    """anonymous memory that loading added"""
    private_after_run_kb: int
    private_after_text_kb: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was measured."""

    model: str
    digest: str
    backend: str
    backend_version: str
    threads: int
    latency: tuple[Latency, ...]
    cold: Load
    """without a weight cache or stamps"""
    warm: Load
    """with them; median of several"""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        """A table for a terminal."""
        lines = [
            f"{self.model}  {self.backend} {self.backend_version}  {self.threads} thread(s)",
            f"{'tokens':>8}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}",
            *(f"{row.length:>8}{row.p50_ms:>10.2f}{row.p95_ms:>10.2f}{row.p99_ms:>10.2f}" for row in self.latency),
        ]
        columns = f"{'import ms':>12}{'load ms':>10}{'first run ms':>14}{'tokenizer ms':>14}"
        lines.append(f"{'':8}{columns}{'private kB: load':>18}{'+ run':>8}{'+ text':>8}")
        for name, row in (("cold", self.cold), ("warm", self.warm)):
            lines.append(
                f"{name:>8}{row.import_ms:>12.1f}{row.load_ms:>10.1f}{row.first_run_ms:>14.1f}"
                f"{row.tokenizer_ms:>14.1f}{row.private_kb:>18}{row.private_after_run_kb:>8}"
                f"{row.private_after_text_kb:>8}"
            )
        return "\n".join(lines)


def bench(
    name_or_path: str, lengths: Sequence[int], threads: int, runs: int, progress: Callable[[str], None]
) -> Report:
    """Measure a model on this machine.

    Args:
        name_or_path: of the model.
        lengths: tokens of a request; the default ones that the model takes if empty.
        threads: of one inference.
        runs: inferences per length.
        progress: told what is being measured.

    Raises:
        EdgeError: the model cannot be loaded, or takes fewer tokens than a length.
    """
    with load(name_or_path, threads=threads) as model:
        longest = model.info.max_length
        wanted = list(lengths) or [length for length in DEFAULT_LENGTHS if length <= longest] or [longest]
        if max(wanted) > longest:
            raise InputError(f"{model.info.name} takes at most {longest} tokens, not {max(wanted)}")
        latency = []
        for length in wanted:
            progress(f"{length} tokens …")
            latency.append(_latency(model, length, runs))
        info = model.info
    progress("load times …")
    with tempfile.TemporaryDirectory() as empty:
        cold = _fresh(info.path, threads, {"EDGE_RUNTIME_CACHE": empty})
        # The shared cache may be out of reach; then warm loads are measured in the folder that the cold one has filled.
        usable = private_folder(cache_folder()) is None
        folder = {} if usable else {"EDGE_RUNTIME_CACHE": empty}
        _fresh(info.path, threads, folder)
        loads = sorted((_fresh(info.path, threads, folder) for _ in range(_LOADS)), key=lambda one: one.load_ms)
    warm = loads[len(loads) // 2]
    return Report(info.name, info.digest, info.backend, info.backend_version, threads, tuple(latency), cold, warm)


def load_once(path: str, threads: int) -> dict[str, float]:
    """Load a model in this process and say what it cost: the fields of `Load`."""
    began = time.perf_counter()
    from edge_runtime.backends.selection import import_backend
    from edge_runtime.tuning import settle

    import_backend(settle(threads=threads).selection)
    import tokenizers  # noqa: F401  so that its import does not count as parsing

    imported = time.perf_counter()
    before = private_memory()
    model = load(path, threads=threads)
    loaded = time.perf_counter()
    after_load = private_memory()
    model.run([0] * min(16, model.info.max_length))
    ran = time.perf_counter()
    after_run = private_memory()
    model.encode("a")
    encoded = time.perf_counter()
    return {
        "import_ms": 1e3 * (imported - began),
        "load_ms": 1e3 * (loaded - imported),
        "first_run_ms": 1e3 * (ran - loaded),
        "tokenizer_ms": 1e3 * (encoded - ran),
        "private_kb": after_load - before,
        "private_after_run_kb": after_run - before,
        "private_after_text_kb": private_memory() - before,
    }


def private_memory() -> int:
    """Anonymous memory of this process in kB: what it does not share with a file's other readers (proc(5), RssAnon)."""
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


def _latency(model: Model, length: int, runs: int) -> Latency:
    import numpy as np

    # Any token does: the time depends on the length alone.
    ids = np.arange(length) % int(model.info.architecture["vocabulary"])
    for _ in range(_WARM_UP_RUNS):
        model.run(ids)
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        model.run(ids)
        times.append(1e3 * (time.perf_counter() - began))
    p50, p95, p99 = (float(value) for value in np.percentile(times, [50, 95, 99]))
    return Latency(length, runs, p50, p95, p99)


def _fresh(path: str, threads: int, environment: dict[str, str]) -> Load:
    """Load the model in a new process."""
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, path, str(threads)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_CHILD_TIMEOUT,
            check=True,
        )
        return Load(**json.loads(done.stdout))
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        raise BackendError(f"a fresh process could not load the model: {error}") from None
