"""What a BERT tokenizer makes of single characters, found out by asking its own parts.

Python's `unicodedata` follows another version of Unicode than the tokenizers library, whose parts do not agree among
each other either; so nothing is looked up there that the library can be asked for.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from tokenizers.normalizers import BertNormalizer

Role = Literal["space", "mark", "letter"]
"""mark: a word of its own (punctuation)"""

_CACHE = 4096
"""characters remembered: more than a language uses at a time, except Chinese"""
_OVERLAY = "\u0334"
"""of the lowest combining class, 1: any mark of another class changes places with it"""
_ACUTE = "\u0301"
"""of a high combining class, 230: a mark of class 1 changes places with it"""


class Part(NamedTuple):
    """One character of the canonical decomposition of a character."""

    order: int
    """canonical combining class: parts of class 0 stand where they are, others are sorted by it between those"""
    letters: tuple[tuple[Role, str], ...]
    """what remains of it in the end; nothing where the normaliser drops it"""


class Characters:
    """Decomposes characters as one normaliser does."""

    def __init__(self, normalizer: BertNormalizer) -> None:
        from tokenizers.normalizers import NFD, BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer

        strips = normalizer.lowercase if normalizer.strip_accents is None else normalizer.strip_accents
        # In BertNormalizer's order (its `normalize`): clean, space around ideographs; decompose and strip; lower case.
        self._front = BertNormalizer(
            clean_text=normalizer.clean_text,
            handle_chinese_chars=normalizer.handle_chinese_chars,
            strip_accents=False,
            lowercase=False,
        )
        self._decomposed = NFD() if strips else None
        self._back = BertNormalizer(
            clean_text=False, handle_chinese_chars=False, strip_accents=strips, lowercase=normalizer.lowercase
        )
        self._words = BertPreTokenizer()
        self._known: dict[str, tuple[Part, ...]] = {}

    def parts(self, character: str) -> tuple[Part, ...]:
        """What a character is decomposed into; nothing if it is dropped before that."""
        found = self._known.get(character)
        if found is None:
            if len(self._known) >= _CACHE:
                self._known.clear()
            found = self._known[character] = tuple(self._ask(character))
        return found

    def _ask(self, character: str) -> list[Part]:
        cleaned = self._front.normalize_str(character)
        if self._decomposed is None:
            return [Part(0, self._letters(single)) for single in cleaned]
        return [Part(self.order(single), self._letters(single)) for single in self._decomposed.normalize_str(cleaned)]

    def order(self, character: str) -> int:
        """Canonical combining class, 0 where the library does not know the character as a mark."""
        nfd = self._decomposed
        if nfd is None:
            return 0
        # Classes never change once a character has one (Unicode's stability policy), so Python knows which it is.
        sorts = nfd.normalize_str(character + _OVERLAY)[:1] == _OVERLAY or (
            character != _ACUTE and nfd.normalize_str(_ACUTE + character)[-1:] == _ACUTE
        )
        return unicodedata.combining(character) if sorts else 0

    def _letters(self, single: str) -> tuple[tuple[Role, str], ...]:
        return tuple((self._role(letter), letter) for letter in self._back.normalize_str(single))

    def _role(self, letter: str) -> Role:
        pieces = len(self._words.pre_tokenize_str(f"a{letter}a"))
        return "letter" if pieces == 1 else "space" if pieces == 2 else "mark"
