"""The stretch of a stream's text that a window covers, and what a stream keeps so that it can give such stretches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GAP = "…"
"""stands for text that was not kept"""

MAX_KEPT = 1 << 16
"""characters that a stream keeps before it drops what is far from its tokens: many windows of any real language"""
_NEAR = 64
"""characters before and after a token that are kept: white space and punctuation"""
_ENDS = 512
"""characters kept of each end of a long token: longer than any word"""
_SMALL = 4096
"""parts below it are joined, so that text that comes byte by byte is not kept byte by byte"""

Part = tuple[int, str]
"""(place of its first character in the stream, text)"""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Part of a text, addressed by places in the whole: `excerpt[start:end]` is what `text[start:end]` would be.

    What lies outside is empty, as with any slice; what was not kept (the inside of a word of a million letters, endless
    white space) is replaced by `GAP`.
    """

    parts: tuple[Part, ...] = ()

    @property
    def start(self) -> int:
        """First character."""
        return self.parts[0][0] if self.parts else 0

    @property
    def end(self) -> int:
        """One past the last character."""
        return _end(self.parts[-1]) if self.parts else 0

    def __str__(self) -> str:
        return self[self.start : self.end]

    def __getitem__(self, span: slice) -> str:
        start = self.start if span.start is None else max(self.start, span.start)
        end = self.end if span.stop is None else min(self.end, span.stop)
        found = []
        for part in self.parts:
            first, text = part
            if start < end and first < end and _end(part) > start:
                if first > start:
                    found.append(GAP)
                found.append(text[max(0, start - first) : end - first])
                start = _end(part)
        if start < end:
            found.append(GAP)
        return "".join(found)

    def cut(self, start: int, end: int) -> Excerpt:
        """What of it lies between two places of the whole text."""
        found = []
        for part in self.parts:
            first, text = part
            if first < end and _end(part) > start:
                found.append((max(first, start), text[max(0, start - first) : end - first]))
        return Excerpt(tuple(found))

    def join(self, other: Excerpt) -> Excerpt:
        """This and one that begins within it, at its end or later."""
        more = other.cut(self.end, other.end) if self.parts else other
        if self.parts and more.parts and more.start == self.end:
            first, text = self.parts[-1]
            return Excerpt((*self.parts[:-1], (first, text + more.parts[0][1]), *more.parts[1:]))
        return Excerpt(self.parts + more.parts)


class Kept:
    """The newest text of a stream."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._size = 0
        self._limit = MAX_KEPT

    @property
    def end(self) -> int:
        """One past the last character."""
        return _end(self._parts[-1]) if self._parts else 0

    @property
    def full(self) -> bool:
        """Whether it is time to `thin`."""
        return self._size > self._limit

    def append(self, first: int, text: str) -> None:
        """Keep the text that follows."""
        if not text:
            return
        self._size += len(text)
        if self._parts and len(text) < _SMALL and len(self._parts[-1][1]) < _SMALL and self.end == first:
            first, before = self._parts.pop()
            text = before + text
        self._parts.append((first, text))

    def cut(self, start: int, end: int) -> Excerpt:
        """What is kept between two places."""
        return Excerpt(tuple(self._parts)).cut(start, end)

    def forget(self, before: int) -> None:
        """Drop the parts that end before a place."""
        gone = 0
        while gone < len(self._parts) and _end(self._parts[gone]) <= before:
            self._size -= len(self._parts[gone][1])
            gone += 1
        del self._parts[:gone]

    def thin(self, spans: Iterable[tuple[int, int]]) -> None:
        """Drop what is neither in nor near these tokens (in order), and the inside of long ones."""
        whole = Excerpt(tuple(self._parts))
        kept: list[Part] = []
        done = 0
        for start, end in (near for span in spans for near in _nearby(*span)):
            kept.extend(whole.cut(max(start, done), end).parts)
            done = max(done, end)
        self._parts = kept
        self._size = sum(len(text) for _, text in kept)
        self._limit = max(MAX_KEPT, 2 * self._size)


def _nearby(start: int, end: int) -> Iterable[tuple[int, int]]:
    if end - start <= 2 * _ENDS:
        yield start - _NEAR, end + _NEAR
    else:
        yield start - _NEAR, start + _ENDS
        yield end - _ENDS, end + _NEAR


def _end(part: Part) -> int:
    return part[0] + len(part[1])
