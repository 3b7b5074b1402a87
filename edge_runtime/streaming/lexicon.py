"""What all streams of one tokenizer share: which tokenizers can be streamed, and tokens of what stands between spaces.

A chunk is what stands between spaces, tabs and line ends. BERT's tokenizer treats chunks independently: white space is
kept by the normaliser until the pre-tokeniser splits at it, it ends a sequence of combining marks, and nothing else in
the normaliser, pre-tokeniser or model looks beyond a word (docs/streaming.md).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from edge_runtime.errors import ModelError
from edge_runtime.streaming.characters import Characters

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library

SPACE = re.compile(r"[ \t\n\r]")

MAX_WORD = 4096
"""highest `max_input_chars_per_word` that is streamed; BERT's is 100"""
MAX_ADDED = 256
"""characters of an added token: so much text at the end of a block is undecided until more comes"""
_CACHE = 16384
"""chunks whose tokens are remembered, and as many that were met before those: most of an English text's, in 8 MB"""
_CACHED = 32
"""characters of the longest of them"""
_PIECE = re.compile(r"[0-9A-Za-z]+|[!-/:-@\[-`{-~]")
"""words and punctuation of printable ASCII"""


class Found(NamedTuple):
    """The tokens of a chunk; places count from its beginning."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    words: tuple[int, ...]
    word_count: int


class Lexicon:
    """Tokens of chunks. May be shared by threads."""

    def __init__(self, library: Library) -> None:
        """Look into a tokenizer.

        Raises:
            ModelError: it is no BERT tokenizer, or has added tokens of a kind that streams do not know.
        """
        from tokenizers.models import WordPiece
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer

        parts = (
            (library.normalizer, BertNormalizer, "normalizer"),
            (library.pre_tokenizer, BertPreTokenizer, "pre-tokenizer"),
            (library.model, WordPiece, "model"),
        )
        for part, wanted, name in parts:
            if not isinstance(part, wanted):
                found = "none" if part is None else type(part).__name__
                raise _refusal(f"its {name} must be {wanted.__name__} and is {found}")
        self._library = library
        self._model = library.model
        unknown = library.model.token_to_id(library.model.unk_token)
        if unknown is None:
            raise _refusal(f"its vocabulary lacks the unknown token {library.model.unk_token}")
        self.unknown: int = unknown
        self.longest_word: int = library.model.max_input_chars_per_word
        if self.longest_word > MAX_WORD:
            raise _refusal(f"its words may have {self.longest_word} characters, and those of a stream {MAX_WORD}")
        self.characters = Characters(library.normalizer)
        self._lowers: bool = library.normalizer.lowercase
        self.known: dict[str, int | Found] = {}
        """chunks that were met lately; one that is a single token has just its number"""
        self._earlier: dict[str, int | Found] = {}
        self._added = _added_tokens(library)
        # Leftmost and then longest, as the library matches: alternatives are tried in order.
        longest_first = sorted(self._added, key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(content) for content in longest_first) or r"(?!)")
        self._beginnings = {content[:length] for content in self._added for length in range(1, len(content))}
        self._longest_beginning = max((len(beginning) for beginning in self._beginnings), default=0)

    def chunk(self, text: str) -> int | Found:
        """Tokens of a chunk that holds no added token and is not in `known`."""
        found = self._earlier.get(text)
        if found is None:
            # Printable ASCII is what the normaliser can only change to lower case.
            if text.isascii() and text.isprintable():
                found = self._alphanumeric(text) if text.isalnum() else self._plain(text)
            else:
                found = self._any(text)
            if len(found.ids) == 1 and found.offsets[0] == (0, len(text)):
                found = found.ids[0]
        if len(text) <= _CACHED:
            if len(self.known) >= _CACHE:
                self._earlier = self.known
                self.known = {}
            self.known[text] = found
        return found

    def word(self, letters: str) -> list[tuple[int, int, int]]:
        """Tokens of one normalised word: (id, first letter, one past the last)."""
        tokens = self._model.tokenize(letters)
        if letters.isascii():
            return [(token.id, *token.offsets) for token in tokens]
        # The model counts bytes.
        place = {0: 0}
        size = 0
        for number, letter in enumerate(letters, 1):
            size += len(letter.encode())
            place[size] = number
        return [(token.id, place[token.offsets[0]], place[token.offsets[1]]) for token in tokens]

    def added(self, text: str, final: bool) -> tuple[list[tuple[int, int, int]], int]:
        """Added tokens in a text: (id, first character, one past the last), and from where on it is undecided.

        Args:
            text: from a place where no added token is under way.
            final: nothing comes after it.
        """
        found: list[tuple[int, int, int]] = []
        done = 0
        # Where an added token may begin that goes on after the text:
        last = range(max(0, len(text) - self._longest_beginning), len(text))
        open_places = [] if final else [place for place in last if text[place:] in self._beginnings]
        for match in self._pattern.finditer(text):
            if any(done <= place <= match.start() for place in open_places):
                break
            found.append((self._added[match.group()], *match.span()))
            done = match.end()
        return found, next((place for place in open_places if place >= done), len(text))

    def last_cut(self, text: str) -> int:
        """Where a chunk can be cut so that both sides are tokenised as in the whole: as far right as is known, or 0.

        That is after a character that is split from what follows and that no combining mark can get past.
        """
        for place in range(len(text), 0, -1):
            parts = self.characters.parts(text[place - 1])
            if parts and not parts[-1].order and parts[-1].letters and parts[-1].letters[-1][0] != "letter":
                return place
        return 0

    def _alphanumeric(self, text: str) -> Found:
        """Tokens of one word of ASCII letters and digits."""
        tokens = self._model.tokenize(text.lower() if self._lowers else text)
        ids = tuple([token.id for token in tokens])
        return Found(ids, tuple([token.offsets for token in tokens]), (0,) * len(ids), 1)

    def _plain(self, text: str) -> Found:
        """Tokens of printable ASCII: words, and punctuation around each of which the pre-tokeniser splits."""
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        words: list[int] = []
        for word, match in enumerate(_PIECE.finditer(text)):
            letters = match.group()
            at = match.start()
            known = self.known.get(letters)
            if isinstance(known, int):
                ids.append(known)
                offsets.append((at, match.end()))
                words.append(word)
                continue
            for token in self._model.tokenize(letters.lower() if self._lowers else letters):
                begin, end = token.offsets
                ids.append(token.id)
                offsets.append((at + begin, at + end))
                words.append(word)
        return Found(tuple(ids), tuple(offsets), tuple(words), words[-1] + 1)

    def _any(self, text: str) -> Found:
        encoding = self._library.encode(text, add_special_tokens=False)
        words = tuple(word or 0 for word in encoding.word_ids)
        return Found(tuple(encoding.ids), tuple(encoding.offsets), words, words[-1] + 1 if words else 0)


def _added_tokens(library: Library) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, token in library.get_added_tokens_decoder().items():
        for flag in ("normalized", "lstrip", "rstrip", "single_word"):
            if getattr(token, flag):
                raise _refusal(f"its added token {token.content!r} is marked {flag}")
        if len(token.content) > MAX_ADDED:
            raise _refusal(f"an added token has {len(token.content)} characters, more than {MAX_ADDED}")
        found[token.content] = number
    if library.encode_special_tokens:
        raise _refusal("it reads special tokens in the text as plain text")
    return found


def _refusal(reason: str) -> ModelError:
    return ModelError(f"this model's tokenizer cannot be streamed: {reason}; send whole texts instead")
