"""What a new length of text costs here, and what a copy of a network that spares it takes.

    python -m tests.edge_runtime.lengths [MODEL]

Milliseconds are those on the processor, medians of runs that take turns; memory is RssAnon (proc(5)).
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from pathlib import Path

from edge_runtime import Model, load

SHORT, LONG = 16, 22
"""tokens"""
ROUNDS = 200
COPIES = 6
TOKEN = 5


def private_mb() -> float:
    found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found
    return int(found[1]) * 1024 / 1e6


def milliseconds(model: Model, length: int) -> float:
    began = time.process_time()
    model.run([TOKEN] * length)
    return (time.process_time() - began) * 1e3


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "assistant"
    with load(name) as model:
        anew, again = [], []
        for number in range(2 * ROUNDS):
            length = (SHORT, LONG)[number % 2]
            anew.append(milliseconds(model, length))
            again.append(milliseconds(model, length))
        more = statistics.median(new - old for new, old in zip(anew, again, strict=True))
        print(
            f"{SHORT} and {LONG} tokens: {statistics.median(again):.2f} ms, {more:.2f} ms more where the length is new"
        )
    with load(name, lengths=COPIES) as model:
        model.run([TOKEN])
        sizes = []
        for length in range(2, COPIES + 1):
            before = private_mb()
            model.run([TOKEN] * length)
            sizes.append(private_mb() - before)
        print(f"a further copy ({model.info.backend}): {max(sizes):.1f} MB")


if __name__ == "__main__":
    main()
