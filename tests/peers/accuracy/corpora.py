"""What the study trains on and scores on: public sets, each cut into a training and a validation part, always alike.

The parts depend on the files alone. No validation text, nor a phrase cut from one, is trained or calibrated on.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from converter.data_sets import Spoken, read
from converter.data_sets.lines import read_lines
from converter.train.split import set_aside

DATA = Path(__file__).resolve().parents[4] / "shared/data"
SENTIMENT_VALIDATION, SIMILARITY_VALIDATION = 1500, 1000
INTENT_VALIDATION = 0.15
"""share of every label's texts"""
SENTENCE_WORDS = 8
"""SST-2's training lines are mostly phrases cut from sentences; what has fewer words is taken for one of those"""
STS_SENTENCES = 500

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """Two sentences and how alike people found them, 0 to 5."""

    first: str
    second: str
    score: float


def sentiment() -> tuple[list[Spoken], list[Spoken]]:
    """SST-2: training texts (phrases among them), and whole sentences to validate on."""
    lines = [line.rpartition("\t") for line in read_lines(DATA / "sst2/train.tsv")[1:]]
    labels = {text.strip(): "positive" if label == "1" else "negative" for text, _, label in lines}
    everything = "\n".join(text for text in labels if len(text.split()) >= SENTENCE_WORDS)
    validation: list[str] = []
    for text in _shuffled(sorted(labels)):
        # a whole sentence is part of no longer line
        if len(text.split()) >= SENTENCE_WORDS and everything.count(text) == 1:
            validation.append(text)
        if len(validation) == SENTIMENT_VALIDATION:
            break
    seen = "\n".join(validation)
    training = [text for text in labels if text not in seen]
    return [[Spoken(tuple(t.split()), labels[t]) for t in part] for part in (training, validation)]  # type: ignore[return-value]


def intents() -> tuple[list[Spoken], list[Spoken]]:
    """hwu64: commands with intents and slots."""
    examples = read(DATA / "intents/hwu64/train", "understand").examples
    return set_aside(examples, INTENT_VALIDATION, 0, lambda each: each.label, lambda each: each.text)


def entities() -> tuple[list[Spoken], list[Spoken]]:
    """English Web Treebank with persons, places and organisations: its own training and development parts."""
    training, validation = (list(_sentences(DATA / f"uner_ewt/{part}.conll")) for part in ("train", "dev"))
    return training, validation


def similarity() -> tuple[list[Pair], list[Pair]]:
    """The STS benchmark's training part; no sentence is on both sides."""
    pairs = _shuffled(sts_pairs())
    validation = pairs[:SIMILARITY_VALIDATION]
    known = {sentence for pair in validation for sentence in (pair.first, pair.second)}
    return [p for p in pairs[SIMILARITY_VALIDATION:] if not {p.first, p.second} & known], validation


def sts_pairs() -> list[Pair]:
    with (DATA / "stsb/train.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [Pair(row["sentence1"], row["sentence2"], float(row["score"])) for row in rows]


def sts_sentences() -> list[str]:
    """Distinct ones, in whose vectors integers are compared with float32."""
    distinct = sorted({sentence for pair in sts_pairs() for sentence in (pair.first, pair.second)})
    return _shuffled(distinct)[:STS_SENTENCES]


def _sentences(path: Path) -> Iterator[Spoken]:
    words: list[str] = []
    tags: list[str] = []
    for line in [*read_lines(path), ""]:
        if line:
            word, _, tag = line.rpartition(" ")
            words.append(word)
            tags.append(tag)
        elif words:
            yield Spoken(tuple(words), "", tuple(tags))
            words, tags = [], []


def _shuffled(items: Sequence[T]) -> list[T]:
    return random.Random(0).sample(items, len(items))
