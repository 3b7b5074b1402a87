"""Bytes that arrive cut anywhere → windows of tokens, in memory that does not grow."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from edge_runtime.errors import InputError, TooLong
from edge_runtime.streaming.backlog import Backlog
from edge_runtime.streaming.excerpt import Kept
from edge_runtime.streaming.lexicon import SPACE
from edge_runtime.streaming.long_chunk import LongChunk
from edge_runtime.windows import OVERLAP, Window

if TYPE_CHECKING:
    from edge_runtime.tokenizer import Pieces, Tokenizer

BLOCK = 1 << 14
"""bytes that are worked on at a time, however many are fed: what fits into a CPU's cache with its tokens"""
LONG_CHUNK = 256
"""characters without white space that are held back, waiting for some; more are read one by one"""


class Stream:
    """Tokenises a text that arrives piece by piece; `Model.stream` makes it.

    The windows' tokens, without special ones and what overlaps, are those of the whole text, wherever the bytes were
    cut. Not to be fed by several threads at once.
    """

    def __init__(self, tokenizer: Tokenizer, window: int, overlap: int | None, question: Pieces | None = None) -> None:
        """Begin.

        Args:
            tokenizer: of the model that the windows are for.
            window: tokens of each, special ones and the question's included.
            overlap: tokens of the text that each window shares with the one before; None: a quarter of them.
            question: first text of a pair, repeated in every window; the stream is the second.

        Raises:
            InputError: a number is out of range.
            TooLong: the question leaves no room in a window.
            ModelError: text of this tokenizer cannot be cut.
        """
        special = tokenizer.special_tokens(pair=question is not None)
        if isinstance(window, bool) or not isinstance(window, int) or window <= special:
            raise InputError(f"window must be more than the {special} special tokens in it, not {window!r}")
        self._room = window - special - len(question or ())
        if self._room < 1:
            raise TooLong(
                f"the first text has {len(question or ())} tokens and leaves no room for the second in {window}"
            )
        if overlap is None:
            overlap = self._room // OVERLAP
        if isinstance(overlap, bool) or not isinstance(overlap, int) or not 0 <= overlap < self._room:
            raise InputError(
                f"overlap must be 0 to {self._room - 1}, less than the {self._room} tokens of text in a window, "
                f"not {overlap!r}"
            )
        self.window = window
        """tokens of each, special ones included"""
        self.overlap = overlap
        """tokens that neighbouring ones share"""
        self._tokenizer = tokenizer
        self._question = question
        self._lexicon = tokenizer.lexicon
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._bytes = 0
        """decoded so far"""
        self._failure: str | None = None
        self._closed = False
        self._held = ""
        """text whose tokens are not decided yet"""
        self._place = 0
        """its first character"""
        self._long: LongChunk | None = None
        """the chunk that the text before `_held` is part of"""
        self._long_start = 0
        self._kept = Kept()
        self._tokens = Backlog(self._lexicon)
        self._windows = 0

    def feed(self, data: bytes | bytearray | memoryview) -> list[Window]:
        """Take the next bytes of the text, UTF-8, cut anywhere.

        Returns:
            The windows that are complete now, in order; often none.

        Raises:
            InputError: these are no bytes, or no UTF-8 (the message says at which byte of the stream); the stream is
                closed, or failed before.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InputError(f"a stream is fed bytes, not {type(data).__name__}")
        self._check()
        view = memoryview(data).cast("B")
        return [
            window
            for start in range(0, len(view), BLOCK)
            for window in self._take(bytes(view[start : start + BLOCK]), final=False)
        ]

    def close(self) -> list[Window]:
        """The text has ended.

        Returns:
            The windows that are left; none at all of a text without tokens. Closing again returns none.

        Raises:
            InputError: the text ends in the middle of a character; the stream failed before.
        """
        if self._closed:
            return []
        self._check()
        windows = self._take(b"", final=True)
        self._closed = True
        return windows

    def _check(self) -> None:
        if self._failure is not None:
            raise InputError(self._failure)
        if self._closed:
            raise InputError("the stream is closed; begin another")

    def _take(self, data: bytes, final: bool) -> list[Window]:
        try:
            self._read(self._decode(data, final), final)
            return self._cut(final)
        except InputError as error:
            self._failure = str(error)
            raise

    def _decode(self, data: bytes, final: bool) -> str:
        undecoded = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            place = self._bytes - undecoded + error.start
            raise InputError(f"byte {place} of the stream is no UTF-8: {error.reason}; begin another stream") from None
        self._bytes += len(data)
        return text

    def _read(self, text: str, final: bool) -> None:
        if not final and not self._long and len(self._held) + len(text) <= LONG_CHUNK and not SPACE.search(text):
            # Part of a word: looked at when there is more of it, not byte by byte.
            self._held += text
            return
        text = self._held + text
        place = 0
        added, undecided = self._lexicon.added(text, final)
        for number, start, end in added:
            self._segment(text, place, start, closed=True)
            self._tokens.token(number, self._place + start, self._place + end)
            self._tokens.end_word()
            place = end
        place = self._segment(text, place, undecided, closed=final)
        self._kept.append(self._place, text[:place])
        self._held = text[place:]
        self._place += place

    def _segment(self, text: str, start: int, stop: int, *, closed: bool) -> int:
        """Read text without added tokens, up to the returned place. What follows it is another segment if `closed`."""
        if self._long:
            space = SPACE.search(text, start, stop)
            end = space.start() if space else stop
            self._long.feed(text[start:end], self._place + start)
            if not space and not closed:
                return stop
            self._long.end()
            self._long = None
            start = end
        open_from = stop if closed else 1 + max(start - 1, *(text.rfind(space, start, stop) for space in " \t\n\r"))
        if stop - open_from > LONG_CHUNK:
            open_from += self._lexicon.last_cut(text[open_from:stop])
        self._tokens.read(text[start:open_from], self._place + start)
        if stop - open_from > LONG_CHUNK:
            self._long = LongChunk(self._lexicon, self._tokens)
            self._long_start = self._place + open_from
            self._long.feed(text[open_from:stop], self._long_start)
            return stop
        return open_from

    def _cut(self, final: bool) -> list[Window]:
        """The windows that are complete, whose tokens are then dropped, and what is left if the text has ended."""
        tokens = self._tokens
        windows: list[Window] = []
        start = 0
        while len(tokens) - start >= self._room:
            windows.append(self._window(start, start + self._room))
            start += self._room - self.overlap
        if final and len(tokens) - start > (self.overlap if self._windows else 0):
            windows.append(self._window(start, len(tokens)))
        tokens.drop(start)
        self._kept.forget(tokens.text_of(0, 1)[0] if len(tokens) else tokens.before)
        if self._kept.full:
            end = self._kept.end
            word = self._long_start if self._long else end
            self._kept.thin([(tokens.before, tokens.before), *tokens.offsets, (word, end)])
        return windows

    def _window(self, start: int, stop: int) -> Window:
        content = self._tokens.pieces(start, stop)
        encoding = (
            self._tokenizer.join(content) if self._question is None else self._tokenizer.join(self._question, content)
        )
        index = self._windows
        self._windows += 1
        first = self._tokens.first
        excerpt = self._kept.cut(*self._tokens.text_of(start, stop))
        return Window(encoding, first + start, first + stop, index, excerpt)
