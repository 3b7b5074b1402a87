"""Tokens of a stream that are not in a window yet, or will be in another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.tokenizer import Pieces

if TYPE_CHECKING:
    from edge_runtime.streaming.lexicon import Lexicon


class Backlog:
    """Takes tokens from chunks, long chunks (`long_chunk.Sink`) and added tokens, and gives them to windows."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self.ids: list[int] = []
        self.offsets: list[tuple[int, int]] = []
        """in characters of the stream"""
        self._words: list[int] = []
        self._word = 0
        """of the next token"""
        self.first = 0
        """number of the first token"""
        self.before = 0
        """where the token before it ends"""

    def __len__(self) -> int:
        return len(self.ids)

    def token(self, number: int, start: int, end: int) -> None:
        """Take a token of the current word."""
        self.ids.append(number)
        self.offsets.append((start, end))
        self._words.append(self._word)

    def end_word(self) -> None:
        """The current word has no more tokens."""
        self._word += 1

    def read(self, text: str, first: int) -> None:
        """Take all tokens of whole chunks without added tokens; `first` is the place of the text's first character."""
        lexicon, known = self._lexicon, self._lexicon.known
        add_id, add_offset, add_word = self.ids.append, self.offsets.append, self._words.append
        word = self._word
        # `split` is several times as fast as a pattern that says where each chunk is.
        for chunk in text.replace("\n", " ").replace("\t", " ").replace("\r", " ").split(" "):
            if chunk:
                found = known.get(chunk)
                if found is None:
                    found = lexicon.chunk(chunk)
                    known = lexicon.known
                if isinstance(found, int):
                    add_id(found)
                    add_offset((first, first + len(chunk)))
                    add_word(word)
                    word += 1
                else:
                    self.ids += found.ids
                    self.offsets += [(first + start, first + end) for start, end in found.offsets]
                    self._words += [word + number for number in found.words]
                    word += found.word_count
            first += len(chunk) + 1
        self._word = word

    def pieces(self, start: int, stop: int) -> Pieces:
        """Tokens `start` to `stop` of these."""
        return Pieces(tuple(self.ids[start:stop]), tuple(self.offsets[start:stop]), tuple(self._words[start:stop]))

    def text_of(self, start: int, stop: int) -> tuple[int, int]:
        """Which characters they cover, with what stands before them."""
        before = self.offsets[start - 1][1] if start else self.before
        return min(before, self.offsets[start][0]), self.offsets[stop - 1][1]

    def drop(self, count: int) -> None:
        """Let go of the first tokens."""
        if count:
            self.before = self.offsets[count - 1][1]
            self.first += count
            del self.ids[:count], self.offsets[:count], self._words[:count]
