"""SqueezeBERT against ONNX Runtime float32 of the same weights: one thread, one process, taking turns.

    python -m tests.peers.speed CHECKPOINT MODEL.tflite [--length N]… [--rounds N] [--json]

CHECKPOINT is the folder that MODEL.tflite was converted from. Each round runs both once, so that whatever else the
machine does falls on both; the ratio is taken round by round, its median reported with the 10th and 90th percentile.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import edge_runtime
from tests.peers.onnx_export import INPUT, export

LENGTHS = (16, 128)
ROUNDS = 60
WARMING = 10
"""rounds that are not counted"""
HEAD = "embedding"
TEXT = """\
The kitchen lights were still on when she came home, so she turned them off, asked what the weather would be like in
the morning, and set an alarm for half past six. Her brother had sent a message: the train from Manchester was an hour
late, and would she order two pizzas from the Italian place by the station? She put milk, eggs and bread on the
shopping list, played the last episode of a podcast about the history of the telephone, and moved her appointment with
the dentist to Thursday. Nobody had watered the plants. The heating came on by itself at seven, as it did every
evening from October to March, and the robot vacuum cleaner started its round through the hall, the living room and
the bedroom.
"""
"""more tokens than are measured"""


@dataclass(frozen=True)
class Comparison:
    length: int
    """tokens"""
    ours_ms: float
    """median of a run"""
    onnx_ms: float
    ratio: float
    """median of ours / theirs over the rounds"""
    ratio_10: float
    ratio_90: float
    cosine: float
    """between the two results: the same network, not the same rounding"""


def compare(
    checkpoint: Path, model: Path, lengths: tuple[int, ...] = LENGTHS, rounds: int = ROUNDS
) -> list[Comparison]:
    """Run both at each length."""
    with edge_runtime.load(model, overflow="truncate") as ours, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export(checkpoint, file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        tokens = ours.encode(TEXT).ids
        found = []
        for length in lengths:
            ids = [*tokens[: length - 1], tokens[-1]]
            batch = {INPUT: np.array([ids], np.int64)}
            runs = (partial(ours.run, ids), partial(session.run, None, batch))
            times = _take_turns(*runs, rounds)
            cosine = _cosine(runs[0]()[HEAD], runs[1]()[0])
            found.append(_comparison(length, times, cosine))
    return found


def _take_turns(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> NDArray[np.float64]:
    """Milliseconds of each, [rounds, 2]."""
    times = np.empty((WARMING + rounds, 2))
    for row in times:
        began = time.perf_counter()
        ours()
        between = time.perf_counter()
        theirs()
        row[:] = between - began, time.perf_counter() - between
    return times[WARMING:] * 1000


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    a, b = np.ravel(one), np.ravel(other)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _comparison(length: int, times: NDArray[np.float64], cosine: float) -> Comparison:
    ours, theirs = (round(float(value), 3) for value in np.median(times, axis=0))
    low, middle, high = (round(float(value), 4) for value in np.quantile(times[:, 0] / times[:, 1], (0.1, 0.5, 0.9)))
    return Comparison(length, ours, theirs, middle, low, high, round(cosine, 5))


def table(rows: list[Comparison]) -> str:
    lines = [f"{'tokens':>6}{'ours, ms':>10}{'onnx, ms':>10}{'ratio':>8}{'10 %':>8}{'90 %':>8}{'cosine':>9}"]
    lines += [
        f"{row.length:>6}{row.ours_ms:>10.2f}{row.onnx_ms:>10.2f}"
        f"{row.ratio:>8.3f}{row.ratio_10:>8.3f}{row.ratio_90:>8.3f}{row.cosine:>9.4f}"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="compare a converted model with ONNX Runtime float32")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--length", type=int, action="append", help="tokens; default: 16 and 128")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = compare(arguments.checkpoint, arguments.model, tuple(arguments.length or LENGTHS), arguments.rounds)
    print(json.dumps([asdict(row) for row in rows], indent=2) if arguments.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
