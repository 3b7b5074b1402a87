"""How fast a stream is tokenised, and whether its memory stays where it is.

    python -m tests.edge_runtime.streaming.throughput [--model M] [--megabytes N] [--block BYTES] [--text KIND]

The text is made up: English words as often as they are in English, or one of the kinds that would fill memory if
anything could. Says MB/s of CPU time, how many times as fast the stream is as the tokenizers library, given the
same text whole (a megabyte at most, taking turns), and by how much resident memory grew after the first tenth.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import edge_runtime
from tests.edge_runtime.streaming.texts import ALPHABET

SENTENCES = 10_000
"""of the English that is repeated: a megabyte"""
LACKING = 0.1
"""of its words are not in the vocabulary as they stand"""

KINDS = {
    "word": "a",
    "marks": "\u0301",
    "dropped": "\0",
    "spaces": " ",
    "dashes": "-",
    "chinese": "很好的一个句子",
    "everything": "".join(ALPHABET),
}
"""other texts, repeated without end"""

TURNS = 5
LIBRARY_BYTES = 1_000_000

MOST_GROWTH_MB = 8
"""of resident memory between the first tenth and the end: the allocator's own rounding"""


def english(model: edge_runtime.Model) -> bytes:
    """Sentences of the vocabulary's words, which stand there by frequency: the n-th 1/n as often (Zipf's law)."""
    source = random.Random(0)
    words = [word for word in _vocabulary(model) if word.isascii() and word.isalpha() and len(word) > 1]
    frequency = [1 / rank for rank in range(1, len(words) + 1)]
    found = []
    for _ in range(SENTENCES):
        chosen = source.choices(words, frequency, k=source.randrange(4, 30))
        chosen = [word + source.choice(("ing", "ness", "-like")) * (source.random() < LACKING) for word in chosen]
        found.append(f"{' '.join(chosen).capitalize()}{source.choice('..!?')}{source.choice((' ', chr(10)))}")
    return "".join(found).encode()


def _vocabulary(model: edge_runtime.Model) -> Iterator[str]:
    tokenizer = model._tokenizer
    return (tokenizer.token(number) for number in range(model._manifest.vocabulary))


def endless(text: bytes, block: int) -> Iterator[bytes]:
    """The text over and over, in blocks that are cut anywhere."""
    repeated = text * (2 + block // len(text))
    place = 0
    while True:
        yield repeated[place : place + block]
        place = (place + block) % len(text)


def resident() -> float:
    """MB of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def against_library(model: edge_runtime.Model, text: bytes, block: int) -> float:
    """How many times as fast as the tokenizers library a stream is: median of some turns."""
    part = text[:LIBRARY_BYTES]
    whole = part.decode(errors="ignore")
    ratios = []
    for _ in range(TURNS):
        began = time.process_time()
        model._tokenizer.pieces(whole)
        turned = time.process_time()
        stream = model.stream()
        for start in range(0, len(part), block):
            stream.feed(part[start : start + block])
        ratios.append((turned - began) / (time.process_time() - turned))
    return statistics.median(ratios)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="assistant")
    arguments.add_argument("--megabytes", type=int, default=20)
    arguments.add_argument("--block", type=int, default=16384)
    arguments.add_argument("--text", choices=("english", *KINDS), default="english")
    given = arguments.parse_args()
    with edge_runtime.load(given.model) as model:
        text = (KINDS[given.text] * given.block).encode() if given.text in KINDS else english(model)
        total = given.megabytes * 1_000_000
        stream = model.stream()
        fed = windows = tenths = 0
        settled = 0.0
        began = time.process_time()
        for block in endless(text, given.block):
            if fed >= total:
                break
            windows += len(stream.feed(block))
            fed += len(block)
            if fed // (total // 10) > tenths:
                tenths += 1
                settled = settled or resident()
                print(f"{fed / 1e6:.0f} MB: {resident():.1f} MB resident", file=sys.stderr, flush=True)
        took = time.process_time() - began
        grown = resident() - settled
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        ratio = against_library(model, text, given.block)
    print(
        f"{given.text}: {fed / 1e6:.0f} MB in blocks of {given.block}, {windows} windows, {fed / 1e6 / took:.1f} MB/s, "
        f"{ratio:.1f} times as fast as the library; "
        f"resident memory grew by {grown:.1f} MB after the first tenth, its peak was {peak:.0f} MB"
    )
    return 1 if grown > MOST_GROWTH_MB else 0


if __name__ == "__main__":
    sys.exit(main())
