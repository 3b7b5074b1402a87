"""Logits of tokens → entities.

Tags belong to words: a word has the tag of its first piece, for that is the only piece that training looks at (Devlin
et al., 2019, section 5.3). A word is what stands between white space, less the punctuation at its ends: "lights," is
the word "lights", while "o'clock" and "r." in "r. n. b." are words as they stand, as in the data that slots are
trained on.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.tasks.classification import softmax
from edge_runtime.tasks.results import Entity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.manifest import Head
    from edge_runtime.tokenizer import Pieces

OUTSIDE = "O"


@dataclass(frozen=True, slots=True)
class Word:
    """A stretch of the text that gets one tag."""

    start: int
    """first character"""
    end: int
    """one past the last character"""
    token: int
    """its first piece"""
    detached: bool = False
    """punctuation was cut off between the word before and this one"""


def words(text: str, pieces: Pieces) -> list[Word]:
    """The words of a text, in order."""
    found: list[Word] = []
    detached = False
    for run in _runs(text, _units(pieces)):
        core = _core(text, run)
        if core[0] is not run[0]:
            detached = True
        found.append(Word(core[0].start, core[-1].end, core[0].token, detached))
        detached = core[-1] is not run[-1]
    return found


def entities(text: str, pieces: Pieces, logits: NDArray[np.float32], head: Head) -> list[Entity]:
    """Read the tags of a text's words.

    Takes BIO tags (`B-city`, `I-city`, `O`), IO tags (`I-city` alone) and plain labels (`city`). An `I-` whose word
    does not continue an entity of its type begins one. Plain labels and lone `I-` tags of one type join into one
    entity unless punctuation stands between them.

    Args:
        text: the text.
        pieces: its tokens, without special ones.
        logits: [tokens, labels], without special tokens' rows.
        head: whose labels.

    Returns:
        Entities in the order of the text, none overlapping.
    """
    found = words(text, pieces)
    if not found:
        return []
    probabilities = softmax(logits[[word.token for word in found]], head.temperature)
    bio = any(label.startswith("B-") for label in head.labels)
    groups: list[tuple[str, list[int]]] = []
    previous: str | None = None
    for place, (word, row) in enumerate(zip(found, probabilities, strict=True)):
        prefix, kind = _split(head.labels[int(row.argmax())])
        if kind is None:
            previous = None
            continue
        continues = kind == previous and prefix != "B" and (bio or not word.detached)
        if continues:
            groups[-1][1].append(place)
        else:
            groups.append((kind, [place]))
        previous = kind
    return [_entity(text, kind, [found[place] for place in places], probabilities[places]) for kind, places in groups]


def _entity(text: str, kind: str, members: Sequence[Word], probabilities: NDArray[np.float64]) -> Entity:
    start, end = members[0].start, members[-1].end
    return Entity(kind, text[start:end], start, end, float(probabilities.max(axis=1).mean()))


def _split(label: str) -> tuple[str, str | None]:
    """`B-city` → (B, city), `city` → ("", city), `O` → ("", None)."""
    if label == OUTSIDE:
        return "", None
    if label[:2] in ("B-", "I-") and len(label) > 2:
        return label[0], label[2:]
    return "", label


def _units(pieces: Pieces) -> Iterable[Word]:
    """What the tokenizer takes for words: punctuation apart, one ideograph each."""
    start = 0
    for place in range(1, len(pieces) + 1):
        if place == len(pieces) or pieces.words[place] != pieces.words[start]:
            span = pieces.offsets[start:place]
            yield Word(min(begin for begin, _ in span), max(end for _, end in span), start)
            start = place


def _runs(text: str, units: Iterable[Word]) -> Iterable[list[Word]]:
    """Units that touch, where one of the two is punctuation: a word between white space, or one ideograph."""
    run: list[Word] = []
    for unit in units:
        touches = run and unit.start <= run[-1].end
        if run and not (touches and (_is_punctuation(text, unit) or _is_punctuation(text, run[-1]))):
            yield run
            run = []
        run.append(unit)
    if run:
        yield run


def _core(text: str, run: Sequence[Word]) -> Sequence[Word]:
    """A run without the punctuation at its ends; all of it if it is nothing else."""
    first, last = 0, len(run)
    while first < last and _is_punctuation(text, run[first]):
        first += 1
    while last > first and _is_punctuation(text, run[last - 1]):
        last -= 1
    if first == last:
        return run
    letter = text[run[last - 1].start : run[last - 1].end]
    if len(letter) == 1 and letter.isalpha() and text[run[last - 1].end :][:1] == ".":
        # "r.", "p.m.": the full stop belongs to a single letter
        last += 1
    return run[first:last]


def _is_punctuation(text: str, unit: Word) -> bool:
    return all(unicodedata.category(character)[0] in "PS" for character in text[unit.start : unit.end])
