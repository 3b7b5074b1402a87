"""Text → token ids with their places in the text, by the tokenizer.json inside the model file.

The two texts of a pair are tokenised apart and joined here, after the pattern that the tokenizer's own post-processor
shows on a probe. So a text can be cut into windows without tokenising it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edge_runtime.errors import InputError, ModelError, TooLong
from edge_runtime.streaming.lexicon import Lexicon

MAX_CHARACTERS = 1 << 20
"""of one text; tokenising more takes seconds and hundreds of MB, on a board with 512 MB"""

Offset = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Encoding:
    """What goes into the network, and where in the text each token comes from. All fields have one entry per token."""

    ids: tuple[int, ...]
    types: tuple[int, ...]
    offsets: tuple[Offset, ...]
    """(start, end) in characters of the text that the token belongs to; None for special tokens"""
    texts: tuple[int | None, ...]
    """0: first text, 1: its pair, None: special token"""
    words: tuple[int | None, ...]
    """index of the word that the token is a piece of, counted within its text; None for special tokens"""

    def __len__(self) -> int:
        return len(self.ids)

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON has them."""
        return {
            "ids": list(self.ids),
            "types": list(self.types),
            "offsets": [None if offset is None else list(offset) for offset in self.offsets],
            "texts": list(self.texts),
            "words": list(self.words),
        }


@dataclass(frozen=True, slots=True)
class Pieces:
    """The tokens of one text, without special ones."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    words: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def cut(self, start: int, stop: int) -> Pieces:
        """Tokens `start` to `stop`; offsets still count from the beginning of the text."""
        return Pieces(self.ids[start:stop], self.offsets[start:stop], self.words[start:stop])


@dataclass(frozen=True, slots=True)
class _Pattern:
    """Special tokens around one text (`specials[0] text specials[1]`) or a pair (`… text specials[1] pair …`)."""

    specials: tuple[tuple[tuple[int, int], ...], ...]
    """(id, type) of each special token, before, between and after the texts"""
    types: tuple[int, ...]
    """token type of each text"""

    @property
    def cost(self) -> int:
        return sum(len(run) for run in self.specials)


class Tokenizer:
    """The tokenizer of one model; may be shared by threads."""

    def __init__(self, definition: bytes) -> None:
        """Read a tokenizer.json.

        Raises:
            ModelError: the tokenizers library cannot.
        """
        import tokenizers

        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(definition)
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
            self._single = self._probe("a", None)
            self._pair = self._probe("a", "a")
        except Exception as error:
            # tokenizers raises bare Exceptions
            raise ModelError(f"tokenizers {tokenizers.__version__} cannot read tokenizer.json: {error}") from None

    def pieces(self, text: str) -> Pieces:
        """The tokens of one text, without special ones.

        Raises:
            InputError: it is no string, or holds half of a surrogate pair.
            TooLong: it has more than `MAX_CHARACTERS` characters.
        """
        if not isinstance(text, str):
            raise InputError(f"a text must be a string, not {type(text).__name__}")
        if len(text) > MAX_CHARACTERS:
            raise TooLong(f"the text has {len(text)} characters; at most {MAX_CHARACTERS} are taken at once")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"character {error.start} of the text is half of a surrogate pair, which no tokenizer takes"
            ) from None
        found = self._tokenizer.encode(text, add_special_tokens=False)
        words = [index if index is not None else -1 for index in found.word_ids]
        return Pieces(tuple(found.ids), tuple(found.offsets), tuple(words))

    def join(self, first: Pieces, second: Pieces | None = None) -> Encoding:
        """Put special tokens around one text's tokens or a pair's."""
        pattern = self._single if second is None else self._pair
        ids: tuple[int, ...] = ()
        types: tuple[int, ...] = ()
        offsets: tuple[Offset, ...] = ()
        texts: tuple[int | None, ...] = ()
        words: tuple[int | None, ...] = ()
        contents: Sequence[Pieces | None] = (first, second)
        for place, run in enumerate(pattern.specials):
            ids += tuple([token for token, _ in run])
            types += tuple([kind for _, kind in run])
            blank = (None,) * len(run)
            offsets += blank
            texts += blank
            words += blank
            content = contents[place] if place < len(pattern.types) else None
            if content is not None:
                ids += content.ids
                types += (pattern.types[place],) * len(content)
                offsets += content.offsets
                texts += (place,) * len(content)
                words += content.words
        return Encoding(ids, types, offsets, texts, words)

    def special_tokens(self, *, pair: bool) -> int:
        """How many special tokens `join` adds."""
        return (self._pair if pair else self._single).cost

    @cached_property
    def lexicon(self) -> Lexicon:
        """What streams tokenise by.

        Raises:
            ModelError: this tokenizer's text cannot be cut.
        """
        return Lexicon(self._tokenizer)

    def token(self, token_id: int) -> str:
        """A token's text, with a continuation's leading `##` where the vocabulary has one."""
        return self._tokenizer.id_to_token(token_id) or ""

    def id(self, token: str) -> int | None:
        """A token's id, or None if the vocabulary lacks it."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def _probe(self, first: str, second: str | None) -> _Pattern:
        found = self._tokenizer.encode(first, second)
        specials: list[list[tuple[int, int]]] = [[]]
        types: list[int] = []
        before: int | None = None
        for token, kind, text in zip(found.ids, found.type_ids, found.sequence_ids, strict=True):
            if text is None:
                specials[-1].append((token, kind))
            elif text != before:
                types.append(kind)
                specials.append([])
            before = text if text is not None else before
        if len(types) != (1 if second is None else 2):
            raise ValueError("it does not keep the texts of a pair apart")
        return _Pattern(tuple(tuple(run) for run in specials), tuple(types))
