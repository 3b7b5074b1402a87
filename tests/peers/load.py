"""What a warm load costs: time, and private memory added, in fresh processes.

    python -m tests.peers.load MODEL [--backend litert-compiled|litert] [--processes N] [--json]

`litert` is what boards without LSE atomics (Pi 3, Pi 4, Zero 2 W) load with; the default is the best for this machine.
Warm: the file is in the page cache, a process before has made the weight cache, and the libraries are imported. Memory
is RssAnon; what is mapped from files is shared between processes and can be dropped at any time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

from tests.peers.memory import anonymous

PROCESSES = 7
MEBIBYTE = 1 << 20
TOKENS = 16


def measure(name: str, backend: str = "auto") -> dict[str, float | str]:
    """Load the model in this process, which must be a fresh one.

    Returns:
        `load_ms` and `first_run_ms`; `load_mb`, `run_mb` and `text_mb`: RssAnon added, in MiB, when the model is
        loaded, has run once on token ids, and has encoded its first text; `backend`.
    """
    import ai_edge_litert.compiled_model
    import ai_edge_litert.interpreter  # noqa: F401
    import numpy as np
    import tokenizers  # noqa: F401

    import edge_runtime
    import edge_runtime.model

    ids = np.arange(TOKENS)
    before = anonymous()
    began = time.perf_counter()
    with edge_runtime.load(name, backend=backend) as model:
        loaded = time.perf_counter()
        with_model = anonymous()
        model.run(ids)
        ran = time.perf_counter()
        with_run = anonymous()
        model.encode("turn off the kitchen lights")
        with_text = anonymous()
    return {
        "backend": model.info.backend,
        "load_ms": (loaded - began) * 1000,
        "first_run_ms": (ran - loaded) * 1000,
        "load_mb": (with_model - before) / MEBIBYTE,
        "run_mb": (with_run - before) / MEBIBYTE,
        "text_mb": (with_text - before) / MEBIBYTE,
    }


def summary(name: str, backend: str = "auto", processes: int = PROCESSES) -> dict[str, object]:
    """Medians over fresh processes, after one that warms the caches; the longest load as well."""
    command = [sys.executable, "-m", "tests.peers.load", name, "--backend", backend, "--here"]
    runs = [json.loads(subprocess.check_output(command)) for _ in range(processes + 1)][1:]
    numbers = [key for key, value in runs[0].items() if not isinstance(value, str)]
    found: dict[str, object] = {key: round(statistics.median(run[key] for run in runs), 2) for key in numbers}
    return {"backend": runs[0]["backend"], **found, "longest_load_ms": round(max(run["load_ms"] for run in runs), 2)}


def main() -> int:
    parser = argparse.ArgumentParser(description="measure a warm load")
    parser.add_argument("model")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--here", action="store_true", help="measure in this process and print JSON")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.model, arguments.backend)))
        return 0
    found = summary(arguments.model, arguments.backend, arguments.processes)
    print(
        json.dumps(found, indent=2) if arguments.json else "\n".join(f"{key:18}{value}" for key, value in found.items())
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
