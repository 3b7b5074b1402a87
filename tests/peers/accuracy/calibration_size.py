"""How many texts calibration needs: subsets of 8 to 512 of a pool, ten draws each, and the cosines to float32.

The pool is the training part of the English Web Treebank, the scored sentences are the STS benchmark's: other people,
other subjects, as where a model is used. A draw's smaller sets are part of its larger ones. Each set is planned,
calibrated and quantised anew as `convert --effort fast` does it; only the float32 vectors are shared.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from converter import calibration, checkpoint
from converter.arrangement import arrange
from tests.peers.ablation import HEAD, float_vectors, integer_vectors
from tests.peers.accuracy import corpora, tasks

SIZES = (8, 16, 32, 64, 128, 256, 512)
DRAWS = 10
SENTENCES = 250
"""of those that the study scores; half of them, for seventy conversions"""
LEAST_WORDS = 4
"""shorter lines of the treebank are names, dates and signatures"""


@dataclass(frozen=True)
class Point:
    texts: int
    draw: int
    cosine_mean: float
    cosine_worst: float


def sweep(folder: Path, build: Path, draws: Sequence[int] = range(DRAWS)) -> None:
    """Measure what `build`/calibration-size.jsonl does not yet hold."""
    path = build / "calibration-size.jsonl"
    done = {(p.texts, p.draw) for p in points(build)}
    network = checkpoint.read(folder, [HEAD])
    pool = [each.text for each in corpora.entities()[0] if len(each.words) >= LEAST_WORDS]
    scored = calibration.encode(network, corpora.sts_sentences()[:SENTENCES], tasks.LONGEST)
    with threadpool_limits(limits=1, user_api="blas"):
        references = float_vectors(network, scored)
        for draw in draws:
            texts = random.Random(draw).sample(pool, max(SIZES))
            for size in SIZES:
                if (size, draw) in done:
                    continue
                samples = calibration.encode(network, texts[:size], calibration.LONGEST)
                found = tasks.cosines(integer_vectors(arrange(network, samples, "fast").integers, scored), references)
                point = Point(size, draw, round(float(found.mean()), 5), round(float(found.min()), 5))
                print(point, file=sys.stderr, flush=True)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(point)) + "\n")


def points(build: Path) -> Iterator[Point]:
    path = build / "calibration-size.jsonl"
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            yield Point(**json.loads(line))
