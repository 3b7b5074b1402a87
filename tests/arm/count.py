"""Exact instruction counts of one inference on emulated ARM cores.

    python -m tests.arm.count MODEL [--length N]… [--core CORE]… [--runtime litert|tflite] [--json]

MODEL is a bundled model's name or a file. What is counted is `Model.run`, one thread, at the length of the run before;
and what a run costs beyond that where the run before had another length, so that the interpreter lays out its tensors
anew. Counts repeat to within a thousandth and compare two versions of the code; they are not milliseconds, for an
emulator models neither caches nor memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.arm.emulation import EmulationError, Mark, Userland
from tests.arm.inference import EMPTY, END

INFERENCE = "tests.arm.inference"
LENGTHS = (16, 32, 128)
CORES = ("cortex-a53", "cortex-a72", "cortex-a76")
"""Pi 3 and Zero 2 W, Pi 4, Pi 5"""


@dataclass(frozen=True)
class Count:
    core: str
    backend: str
    length: int
    """tokens"""
    instructions: int
    change: int
    """instructions more where the run before had another length"""


def stretch(marks: list[Mark], number: int, place: int = -1) -> int:
    """Instructions of the last stretch that begins with the mark `number`, or of the one at another place."""
    first, last = ([mark.executed for mark in marks if mark.number == which][place] for which in (number, number + END))
    return last - first


def count(userland: Userland, model: str, core: str, lengths: tuple[int, ...], runtime: str = "") -> list[Count]:
    """Instructions of one inference at each length, less what marking costs."""
    output, marks = userland.count(core, INFERENCE, [model, *map(str, lengths)], runtime=runtime)
    backend = json.loads(output)["backend"]
    empty = stretch(marks, EMPTY)
    counts = []
    for length in lengths:
        anew, again = (stretch(marks, length, place) for place in (0, -1))
        counts.append(Count(core, backend, length, again - empty, anew - again))
    return counts


def table(counts: list[Count]) -> str:
    lines = [f"{'core':12}{'backend':18}{'tokens':>8}{'instructions':>16}{'new length':>14}"]
    lines += [f"{r.core:12}{r.backend:18}{r.length:>8}{r.instructions:>16,}{f'+ {r.change:,}':>14}" for r in counts]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="count the instructions of one inference on emulated ARM cores")
    parser.add_argument("model")
    parser.add_argument("--length", type=int, action="append", help="tokens; default: 16, 32, 128")
    parser.add_argument("--core", action="append", help=f"default: {', '.join(CORES)}")
    parser.add_argument("--runtime", default="", help="litert or tflite; default: the user land's")
    parser.add_argument("--userland", type=Path, default=Path(os.environ.get("EDGE_ARM", "build/arm"), "arm64"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    lengths = tuple(arguments.length or LENGTHS)
    model = str(Path(arguments.model).resolve()) if Path(arguments.model).exists() else arguments.model
    counts = []
    try:
        for core in arguments.core or CORES:
            counts += count(Userland(arguments.userland), model, core, lengths, arguments.runtime)
    except EmulationError as error:
        print(f"count: {error}", file=sys.stderr)
        return 1
    print(json.dumps([asdict(row) for row in counts], indent=2) if arguments.json else table(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
