"""Sentences in which names stand, of many kinds, for a tagger to be taught on without tags: words and marks apart.

python -m converter.recipes.names DATA [TIMES [SEED]] > names.txt

About 40,000 of them, or TIMES as many (1) where there are; another SEED (1) draws others.
"""

from __future__ import annotations

import json
import lzma
import random
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

KINDS = {
    "opentriviaqa": 4000,
    "un_general_debate": 3000,
    "changelog_transcripts": 5000,
    "qmsum": 2500,
    "medquad": 1000,
    "tatoeba_en": 4000,
    "vagov": 1000,
    "18f": 1500,
    "factbook": 1500,
    "novels": 2500,
}
"""sentences of each file of running text"""
ENCYCLOPAEDIA, TWEETS, CAPTIONS = 8000, 3400, 5000
SHORTEST, LONGEST = 5, 40
"""words"""

_WORD = re.compile(r"\w+(?:['’]\w+)?|[^\w\s]")
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'])")


def split(texts: Iterable[str]) -> Iterator[str]:
    """The sentences of texts, their words and marks apart."""
    for text in texts:
        for sentence in _END.split(text.strip()):
            words = _WORD.findall(sentence)
            if SHORTEST <= len(words) <= LONGEST:
                yield " ".join(words)


def contexts(path: Path) -> Iterator[str]:
    """Those of SQuAD's questions."""
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            yield paragraph["context"]


def untagged(path: Path) -> Iterator[str]:
    """The sentences of a CoNLL file."""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        words = [line.split()[0] for line in block.splitlines() if line.strip()]
        if SHORTEST <= len(words) <= LONGEST:
            yield " ".join(words)


def pairs(path: Path) -> Iterator[str]:
    """Both sentences of each pair of the STS benchmark."""
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        yield from line.split("\t")[7:9]


def collect(data: Path, generator: random.Random, times: float = 1.0) -> list[str]:
    """`times` as many sentences as the numbers above say, shuffled; `data` has the layout that docs/models.md names."""
    found: list[str] = []

    def take(sentences: Iterable[str], count: int) -> None:
        different = list(dict.fromkeys(sentences))
        generator.shuffle(different)
        found.extend(different[: round(count * times)])

    take(split(contexts(data / "squad/train-v1.1.json")), ENCYCLOPAEDIA)
    take(untagged(data / "wnut17/train/wnut17train.conll"), TWEETS)
    take(split(pairs(data / "stsb/train.tsv")), CAPTIONS)
    for name, count in KINDS.items():
        with lzma.open(data / f"text/{name}.txt.xz", "rt", encoding="utf-8") as file:
            lines = file.readlines()
        generator.shuffle(lines)
        take(split(lines[: round(count * times) * 6]), count)
    generator.shuffle(found)
    return found


def main() -> int:
    if not 2 <= len(sys.argv) <= 4:
        print(__doc__, file=sys.stderr)
        return 2
    data, times, seed = (*sys.argv[1:], *("1", "1")[len(sys.argv) - 2 :])
    generator = random.Random(int(seed))  # noqa: S311 (a repeatable draw, no secret)
    print("\n".join(collect(Path(data), generator, float(times))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
