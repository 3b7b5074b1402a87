"""What fresh processes take: import, load, first run, memory; and our own commands' start."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.peers.suite.roster import Peer
from tests.peers.suite.turns import REPOSITORY, Worker

PROCESSES = 5
COLD, WARM = "cold", "warm"
ASK = "import sys; sys.argv[0] = 'edge-runtime'; from edge_runtime.cli import main; main()"
IMPORT = "import time; t = time.process_time(); import edge_runtime; print((time.process_time() - t) * 1000)"
QUESTION = "turn off the kitchen lights"


def measure(peers: Sequence[Peer], build: Path, processes: int) -> list[dict[str, Any]]:
    """A row for each peer and state: medians over fresh processes, the peers taking turns.

    Cold: the model's file is not in memory, and nothing was kept from an earlier load; libraries are in memory in both
    states. Memory is that of the whole process after its first run.
    """
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for number in range(processes + 1):
        for peer in peers:
            for state in (COLD, WARM):
                file = build / peer.network / peer.file
                cache = build / "cache"
                if state == COLD:
                    _forget(file)
                    shutil.rmtree(cache, ignore_errors=True)
                worker = Worker(peer, build, 1, cache)
                worker.close()
                # in the first round libraries come into memory
                if number:
                    found.setdefault((peer.name, state), []).append(worker.first)
        print(f"load: round {number} of {processes} done", file=sys.stderr, flush=True)
    return [{"peer": name, "state": state, **_medians(runs)} for (name, state), runs in found.items()]


def start(processes: int) -> list[dict[str, Any]]:
    """Milliseconds on the processor of `import edge_runtime`, and of `edge-runtime ask` as a whole."""
    rows = []
    for what, run in (
        ("import edge_runtime", _import),
        ("edge-runtime ask, cold", lambda: _ask(COLD)),
        ("edge-runtime ask, warm", lambda: _ask(WARM)),
    ):
        run()
        taken = [run() for _ in range(processes)]
        rows.append({"what": what, "ms": round(statistics.median(taken), 1), "longest_ms": round(max(taken), 1)})
    return rows


def _import() -> float:
    return float(subprocess.check_output([sys.executable, "-c", IMPORT], cwd=REPOSITORY))


def _ask(state: str) -> float:
    with tempfile.TemporaryDirectory() as empty:
        own = {"EDGE_RUNTIME_CACHE": empty} if state == COLD else {}
        if state == COLD:
            _forget(REPOSITORY / "edge_runtime/models/assistant.tflite")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", ASK, "ask", QUESTION]
        subprocess.run(command, cwd=REPOSITORY, env={**os.environ, **own}, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _forget(path: Path) -> None:
    """Have the kernel drop a file, or a folder's files, from its page cache."""
    for file in [path, *path.parent.glob(f"{path.name}.data")] if path.is_file() else path.iterdir():
        with file.open("rb") as stream:
            os.fdatasync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(run[name] for run in runs), 1) for name in runs[0]}
