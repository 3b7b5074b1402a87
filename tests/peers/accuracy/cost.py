"""What accuracy costs in time: integer graphs of one checkpoint taking turns in LiteRT, one thread, the same tokens."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from tests.arm import naive

LENGTHS = (16, 32, 128)
WARMING, ROUNDS = 20, 300
QUICK = 0.1
"""the quantile of the rounds that counts: the slower ones had to share the core with other work"""
NAIVE = "naive"
"""the same layout with nothing done for accuracy (`tests.arm.naive`): what the others are divided by"""


def measure(checkpoint: Path, models: dict[str, Path], build: Path) -> None:
    """Write times of `models` by name, and of the naive graph, to `build`/cost.json."""
    plain = build / "naive.tflite"
    if not plain.exists():
        naive.convert(checkpoint, plain)
    rows: list[dict[str, str | int | float]] = []
    for length in LENGTHS:
        runs = {name: _runner(path, length) for name, path in {NAIVE: plain, **models}.items()}
        times = _take_turns(list(runs.values()))
        quick = np.quantile(times, QUICK, axis=0)
        for name, milliseconds in zip(runs, quick.tolist(), strict=True):
            ratio = milliseconds / float(quick[0])
            rows.append({"model": name, "tokens": length, "ms": round(milliseconds, 3), "ratio": round(ratio, 3)})
            print(rows[-1], file=sys.stderr, flush=True)
    (build / "cost.json").write_text(json.dumps(rows), encoding="utf-8")


def _runner(model: Path, length: int) -> Callable[[], object]:
    """An inference on `length` tokens, after tensors have been laid out for that length."""
    interpreter = Interpreter(str(model), num_threads=1)
    values: dict[str, NDArray[Any]] = {
        "ids": np.arange(1000, 1000 + length, dtype=np.int32)[None],
        "positions": np.arange(length, dtype=np.int32)[None],
    }
    for detail in interpreter.get_input_details():
        interpreter.resize_tensor_input(detail["index"], [1, length])
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], values["positions" if "positions" in detail["name"] else "ids"])
    return interpreter.invoke  # type: ignore[no-any-return]


def _take_turns(runs: list[Callable[[], object]]) -> NDArray[np.float64]:
    """Milliseconds, [rounds, runs]: whatever else the machine does falls on all of them."""
    times = np.empty((WARMING + ROUNDS, len(runs)))
    for row in times:
        for place, run in enumerate(runs):
            began = time.perf_counter()
            run()
            row[place] = time.perf_counter() - began
    return times[WARMING:] * 1000
