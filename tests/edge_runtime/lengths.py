"""What a new length of text costs here, and what a copy of a network that spares it takes.

    python -m tests.edge_runtime.lengths [MODEL [TEXTS]]

Milliseconds are those on the processor, medians of runs that take turns; memory is RssAnon (proc(5)). With a file of
texts, one a line: how many of a batch's have another length than the one before, as they are sent and in the order in
which the server runs them.
"""

from __future__ import annotations

import random
import re
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path

from edge_runtime import Model, load
from edge_runtime.protocol.limits import Limits
from edge_runtime.protocol.requests import Ask, Batch

SHORT, LONG = 16, 22
"""tokens"""
ROUNDS = 200
COPIES = 6
TOKEN = 5
BATCHES = 100


def private_mb() -> float:
    found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found
    return int(found[1]) * 1024 / 1e6


def milliseconds(model: Model, length: int) -> float:
    began = time.process_time()
    model.run([TOKEN] * length)
    return (time.process_time() - began) * 1e3


def changes(model: Model, texts: list[str]) -> float:
    """The share whose number of tokens is not that of the one before."""
    lengths = [0, *(len(model.encode(text).ids) for text in texts)]
    return sum(one != other for one, other in pairwise(lengths)) / len(texts)


def batches(model: Model, texts: list[str]) -> tuple[float, float]:
    """`changes` of the largest batches that there may be, as sent and in the server's order."""
    generator = random.Random(1)
    sent, ordered = [], []
    for _ in range(BATCHES):
        batch = generator.sample(texts, Limits().batch)
        asked = Batch(tuple(Ask("ask", None, text, None, None, None) for text in batch))
        sent.append(changes(model, batch))
        ordered.append(changes(model, [batch[place] for place, _ in asked.in_order_of_length()]))
    return statistics.mean(sent), statistics.mean(ordered)


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
        if len(sys.argv) > 2:
            sent, ordered = batches(model, Path(sys.argv[2]).read_text("utf-8").splitlines())
            print(f"another length than the text before: {sent:.0%} of a batch as sent, {ordered:.0%} as run")
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
