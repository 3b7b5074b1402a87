"""A chunk that is too long to be held back until its end is known: read character by character, in constant memory.

What the tokenizers library does to a whole string is done here to one that never stands in memory as a whole, with the
library's own parts for every character and every word. Where the library's alignment is peculiar, so is this.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from edge_runtime.errors import InputError

if TYPE_CHECKING:
    from edge_runtime.streaming.characters import Role
    from edge_runtime.streaming.lexicon import Lexicon

MAX_MARKS = 4096
"""combining marks in a row; real text has at most 30 (Unicode Standard Annex 15, stream-safe text). One letter among
them has to be remembered with all its neighbours, for their number decides its place; without it they only drop out."""
_ALPHANUMERIC = re.compile(r"[0-9A-Za-z]+")


class Sink(Protocol):
    """Takes tokens."""

    def token(self, number: int, start: int, end: int) -> None:
        """One token of the current word, from character `start` to `end` of the stream."""

    def end_word(self) -> None:
        """The current word has no more tokens."""


class LongChunk:
    """Reads one chunk and passes the tokens of each word to a sink as soon as the word has ended."""

    def __init__(self, lexicon: Lexicon, sink: Sink) -> None:
        self._lexicon = lexicon
        self._sink = sink
        self._letters: list[tuple[str, int]] = []
        """of the current word, with the character each comes from; no more than can matter"""
        self._count = 0
        """of all its letters"""
        self._last = 0
        """the character that the last one comes from"""
        self._marks: list[tuple[int, bool, tuple[tuple[Role, str], ...], int]] = []
        """since the last part of order 0: (order, whether its character begins with it, what remains, character)"""
        self._marks_dropped = False
        self._starter = 0
        """the character that the last part of order 0 comes from"""

    def feed(self, text: str, first: int) -> None:
        """Read on; `first` is the place of the text's first character in the stream."""
        longest = self._lexicon.longest_word
        parts_of = self._lexicon.characters.parts
        place = 0
        while place < len(text):
            if self._count > longest and not self._marks:
                run = _ALPHANUMERIC.match(text, place)
                if run:
                    # More letters of a word that is too long: only the last one matters.
                    self._marks_dropped = False
                    place = run.end()
                    self._count += place - run.start()
                    self._last = self._starter = first + place - 1
                    continue
            leads = True
            for order, letters in parts_of(text[place]):
                if order:
                    self._mark(order, leads, letters, first + place)
                else:
                    self._sort()
                    self._starter = first + place
                    self._put(letters, self._starter)
                leads = False
            place += 1

    def end(self) -> None:
        """The chunk has ended."""
        self._sort()
        self._end_word()

    def _mark(self, order: int, leads: bool, letters: tuple[tuple[Role, str], ...], character: int) -> None:
        if self._marks_dropped and not letters:
            return
        self._marks.append((order, leads, letters, character))
        if len(self._marks) > MAX_MARKS or self._marks_dropped:
            if any(remains for _, _, remains, _ in self._marks):
                raise InputError(
                    f"character {character} of the stream is one of more than {MAX_MARKS} combining marks in a row, "
                    "which cannot be tokenised; take out the marks"
                )
            self._marks.clear()
            self._marks_dropped = True

    def _sort(self) -> None:
        """Bring the marks into canonical order.

        The library aligns what it has sorted by counting: the first part of each character takes the next character of
        the text, whichever it came from, and further parts stay with the part before.
        """
        if self._marks:
            characters = iter([character for _, leads, _, character in self._marks if leads])
            character = self._starter
            for _, leads, letters, _ in sorted(self._marks, key=lambda mark: mark[0]):
                if leads:
                    character = next(characters)
                self._put(letters, character)
            self._marks.clear()
        self._marks_dropped = False

    def _put(self, letters: tuple[tuple[Role, str], ...], character: int) -> None:
        for role, letter in letters:
            if role != "letter":
                self._end_word()
            if role != "space":
                self._count += 1
                self._last = character
                if self._count <= max(1, self._lexicon.longest_word):
                    self._letters.append((letter, character))
            if role == "mark":
                self._end_word()

    def _end_word(self) -> None:
        if not self._count:
            return
        if self._count > self._lexicon.longest_word:
            self._sink.token(self._lexicon.unknown, self._letters[0][1], self._last + 1)
        else:
            for number, start, end in self._lexicon.word("".join(letter for letter, _ in self._letters)):
                self._sink.token(number, self._letters[start][1], self._letters[end - 1][1] + 1)
        self._sink.end_word()
        self._letters.clear()
        self._count = 0
