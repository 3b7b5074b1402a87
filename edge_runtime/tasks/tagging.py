"""Logits of tokens → entities.

Tags belong to words: a word has the tag of its first piece, for that is the only piece that training looks at (Devlin
et al., 2019, section 5.3). A word is what stands between white space, less the punctuation at its ends: "lights," is
the word "lights", while "o'clock" and "r." in "r. n. b." are words as they stand, as in the data that slots are
trained on.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.tasks.classification import softmax
from edge_runtime.tasks.results import Entity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.manifest import Head
    from edge_runtime.streaming.excerpt import Excerpt
    from edge_runtime.tokenizer import Pieces

    Text = str | Excerpt

OUTSIDE = "O"

MAX_WORDS = 4096
"""of an entity; what a stream tags as an endless one comes in parts of that length"""


MAX_CHARACTERS = 1024
"""whose kind is remembered; a language has a hundred or, written in ideographs, a few thousand"""


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


@dataclass(slots=True)
class _Open:
    """An entity whose end is not known yet."""

    kind: str
    start: int
    texts: list[str]
    """its first word, and what each further one adds, with what stands between"""
    end: int = 0
    scores: list[float] = field(default_factory=list)
    """highest probability of each word"""


class Tagger:
    """Reads the tags of a text, all at once (`entities`) or part by part.

    Takes BIO tags (`B-city`, `I-city`, `O`), IO tags (`I-city` alone) and plain labels (`city`). An `I-` whose word
    does not continue an entity of its type begins one. Plain labels and lone `I-` tags of one type join into one
    entity unless punctuation stands between them.
    """

    def __init__(self, head: Head) -> None:
        self._head = head
        self._bio = any(label.startswith("B-") for label in head.labels)
        self._detached = False
        self._open: _Open | None = None
        self.found: list[Entity] = []
        """entities that have ended, in the order of the text, none overlapping"""
        self.position = 0
        """end of the last word that was read; text before it is not looked at again"""

    def read(self, text: Text, pieces: Pieces, logits: NDArray[np.float32]) -> None:
        """Read on.

        Args:
            text: the text, or an excerpt that holds these pieces and what stands between them and `position`.
            pieces: the next tokens, without special ones; white space must follow the last.
            logits: [tokens, labels], without special tokens' rows.
        """
        found, self._detached = _words(text, pieces, self._detached)
        if not found:
            return
        probabilities = softmax(logits[[word.token for word in found]], self._head.temperature)
        for word, row in zip(found, probabilities, strict=True):
            prefix, kind = _split(self._head.labels[int(row.argmax())])
            entity = self._open
            goes_on = prefix != "B" and (self._bio or not word.detached)
            if entity and entity.kind == kind and goes_on and len(entity.scores) < MAX_WORDS:
                entity.texts.append(text[entity.end : word.end])
            else:
                self._close()
                entity = None if kind is None else _Open(kind, word.start, [text[word.start : word.end]])
                self._open = entity
            if entity:
                entity.end = word.end
                entity.scores.append(float(row.max()))
            self.position = word.end

    def end(self) -> list[Entity]:
        """The text has ended: all its entities."""
        self._close()
        return self.found

    def _close(self) -> None:
        entity = self._open
        if entity:
            text, score = "".join(entity.texts), math.fsum(entity.scores) / len(entity.scores)
            self.found.append(Entity(entity.kind, text, entity.start, entity.end, score))
            self._open = None


def entities(text: Text, pieces: Pieces, logits: NDArray[np.float32], head: Head) -> list[Entity]:
    """Read the tags of a text's words.

    Args:
        text: the text.
        pieces: its tokens, without special ones.
        logits: [tokens, labels], without special tokens' rows.
        head: whose labels.

    Returns:
        Entities in the order of the text, none overlapping.
    """
    tagger = Tagger(head)
    tagger.read(text, pieces, logits)
    return tagger.end()


def words(text: Text, pieces: Pieces) -> list[Word]:
    """The words of a text, in order."""
    return _words(text, pieces, False)[0]


def _words(text: Text, pieces: Pieces, detached: bool) -> tuple[list[Word], bool]:
    """The words of a text or of its next part, and whether punctuation was cut off the last one's end."""
    found: list[Word] = []
    for run in _runs(text, _units(pieces)):
        core = _core(text, run)
        if core[0] is not run[0]:
            detached = True
        found.append(Word(core[0].start, core[-1].end, core[0].token, detached))
        detached = core[-1] is not run[-1]
    return found, detached


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


def _runs(text: Text, units: Iterable[Word]) -> Iterable[list[Word]]:
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


def _core(text: Text, run: Sequence[Word]) -> Sequence[Word]:
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


def _is_punctuation(text: Text, unit: Word) -> bool:
    return all(_is_mark(character) for character in text[unit.start : unit.end])


@lru_cache(MAX_CHARACTERS)
def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"
