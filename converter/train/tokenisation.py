"""Texts as the runtime tokenises and cuts them, so that a model is trained on what it will be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converter.train.features import Tokens
from edge_runtime.tokenizer import Encoding, Pieces, Tokenizer
from edge_runtime.windows import MAX_WINDOWS, Window, cut

MOST_FIRST = 2
"""the first text of a pair may have one part in so many of the tokens; more of it is cut off"""


@dataclass(frozen=True)
class Tokenisation:
    """A tokenizer and the longest sequence that the network takes."""

    tokenizer: Tokenizer
    longest: int
    """tokens, special ones included"""

    def encode(self, text: str, pair: str | None = None) -> Encoding:
        """A text or a pair, cut at its end to what the network takes."""
        first, second = self._pieces(text, pair)
        return cut(self.tokenizer, first, second, self.longest, "truncate")[0].encoding

    def windows(self, text: str, pair: str) -> list[Window]:
        """A pair whose second text is read in overlapping windows, as the runtime does with `overflow="window"`."""
        first, second = self._pieces(text, pair)
        assert second is not None
        room = self.longest - self.tokenizer.special_tokens(pair=True) - len(first)
        # Below what MAX_WINDOWS windows hold, whatever they overlap by.
        second = second.cut(0, max(room, room * MAX_WINDOWS // MOST_FIRST))
        return cut(self.tokenizer, first, second, self.longest, "window")

    def _pieces(self, text: str, pair: str | None) -> tuple[Pieces, Pieces | None]:
        first = self.tokenizer.pieces(text)
        if pair is None:
            return first, None
        return first.cut(0, self.longest // MOST_FIRST), self.tokenizer.pieces(pair)


def tokens(encoding: Encoding) -> Tokens:
    """What of an encoding the network reads."""
    return Tokens(encoding.ids, encoding.types)


@dataclass(frozen=True)
class Unit:
    """What the tokenizer takes for a word, by its first piece."""

    token: int
    word: int
    """which of the data's words it belongs to"""
    start: int
    """its first character in the text"""
    begins: bool
    """whether it is the first of that word"""


def units(words: Sequence[str], encoding: Encoding) -> list[Unit]:
    """The units of a text whose words stand in `words`, one space between two.

    The tokenizer may take a word of the data for several of its own ("what's" for three).
    """
    ends: list[int] = []
    place = 0
    for word in words:
        place += len(word) + 1
        ends.append(place)
    found: list[Unit] = []
    at, previous, seen = 0, None, -1
    for token, (own, offset) in enumerate(zip(encoding.words, encoding.offsets, strict=True)):
        if own is None or offset is None or offset[0] == offset[1]:
            continue
        while offset[0] >= ends[at]:
            at += 1
        if own != previous:
            found.append(Unit(token, at, offset[0], at != seen))
        previous, seen = own, at
    return found
