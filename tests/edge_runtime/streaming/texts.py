"""Texts that are hard to cut, ways of cutting them, and tokenizers of every make that streams take."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from edge_runtime.model_file import find, open_model_file
from edge_runtime.streaming.stream import Stream
from edge_runtime.tokenizer import Pieces, Tokenizer
from edge_runtime.windows import Window

WORDS = ("kitchen", "lights", "embeddings", "##s", "x" * 101, "y" * 99, "don't", "o'clock", "Straße", "İstanbul")
ADDED = ("[MASK]", "[CLS]", "[", "MASK", "]", "[MA", "SK]", "[UNK][SEP]", "[[PAD]]")
SPACES = (" ", "  ", "\t", "\n", "\r\n", "\xa0", "\u2000", "\u2001", "\u2028", "\u3000")
DROPPED = ("\0", "\ufffd", "\u200d", "\ufeff", "\x0b", "\x1c", "\x85", "\U0010ffff", "\ue000", "\xad")
PUNCTUATION = (".", ",", "!", "'", "-", "…", "“", "。", "\u2329", "\u1fef", "\u037e", "\u0387", "≠", "\u226e", "€", "^")
MARKS = ("\u0301", "\u0323", "\u0338", "\u0344", "\u0340", "\u0345", "\u0f71", "\u0f72", "\u0f73", "\u0f75", "\u0dca")
SPACING_MARKS = ("\u302e", "\U0001d165", "\U0001d16d", "\u1baa", "\u1b44", "\U000110ba", "\u08d4", "\u1df6", "\u0dcf")
LETTERS = ("a", "B", "é", "e\u0301", "ñ", "ở", "ß", "ﬁ", "İ", "Σ", "ς", "ж", "ᾳ", "\u0ddd", "\U0001109a", "\u0e33", "א")
ASIAN = ("中", "国", "\uf900", "\U0002f800", "한", "국", "\u1100\u1161\u11a8", "か\u3099", "ガ", "ไทย", "हिन्दी")
MUSIC = ("\U0001d15e", "\U0001d160", "\U0001d157")
EMOJI = ("👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "❤️", "1️⃣")
ALPHABET = WORDS + ADDED + SPACES + DROPPED + PUNCTUATION + MARKS + SPACING_MARKS + LETTERS + ASIAN + MUSIC + EMOJI

MAKES: Mapping[str, Mapping[str, Any]] = {
    "uncased": {},
    "cased": {"lowercase": False},
    "accented": {"strip_accents": False},
    "stripped": {"lowercase": False, "strip_accents": True},
    "unclean": {"clean_text": False},
    "unspaced": {"handle_chinese_chars": False},
    "short": {"max_input_chars_per_word": 4},
    "overlapping": {"added": ["::", ":::", "ab", "bc", "c d", "e\u0301", "中\0"]},
}
"""by name, what differs from the bundled assistant's tokenizer"""


def tokenizer(make: str) -> Tokenizer:
    """The bundled assistant's tokenizer, changed."""
    file = open_model_file(find("assistant"), None)
    definition = json.loads(file.tokenizer())
    file.close()
    for key, value in MAKES[make].items():
        if key == "added":
            flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
            first = len(definition["model"]["vocab"])
            definition["added_tokens"] += [{"id": first + n, "content": text, **flags} for n, text in enumerate(value)]
        else:
            definition["model" if key in definition["model"] else "normalizer"][key] = value
    return Tokenizer(json.dumps(definition).encode())


def texts(source: random.Random, make: str) -> Iterator[str]:
    """Endless random texts: of everything, of few things over and over, and of any characters at all."""
    alphabet = [*ALPHABET, *MAKES[make].get("added", ())]
    while True:
        length = source.choice((0, 1, 2, 3, 5, 10, 30, 100))
        match source.randrange(6):
            case 0:
                yield "".join(_any_character(source) for _ in range(length))
            case 1:
                few = source.sample(alphabet, 4)
                yield "".join(source.choice(few) for _ in range(2 * length))
            case _:
                yield "".join(source.choice(alphabet) for _ in range(length))


def _any_character(source: random.Random) -> str:
    ranges = ((0x20, 0x7F), (0x300, 0x370), (0x80, 0xD800), (0xE000, 0x110000))
    return chr(source.randrange(*source.choice(ranges)))


def blocks(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The data, cut at these places (in any order, some perhaps outside)."""
    places = [0, *sorted(min(max(0, cut), len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def stream(
    made_for: Tokenizer, data: Iterable[bytes], window: int, overlap: int, question: Pieces | None = None
) -> list[Window]:
    """All windows of a text that is fed in blocks."""
    fed = Stream(made_for, window, overlap, question)
    return [window for block in data for window in fed.feed(block)] + fed.close()


def content(windows: Sequence[Window], overlap: int) -> Pieces:
    """The tokens of the whole text: those of the windows without special ones and without what overlaps."""
    ids: list[int] = []
    offsets: list[tuple[int, int]] = []
    words: list[int] = []
    for window in windows:
        encoding = window.encoding
        columns = zip(encoding.ids, encoding.offsets, encoding.words, encoding.texts, strict=True)
        kept = [(number, offset, word) for number, offset, word, text in columns if text is not None]
        for number, offset, word in kept[overlap if window.index else 0 :]:
            assert offset is not None
            assert word is not None
            ids.append(number)
            offsets.append(offset)
            words.append(word)
    return Pieces(tuple(ids), tuple(offsets), tuple(words))
