"""Which tokenizers can be streamed, and what is known of their characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from edge_runtime import ModelError
from edge_runtime.streaming import lexicon as module
from edge_runtime.streaming.characters import Characters
from edge_runtime.streaming.lexicon import MAX_ADDED, MAX_WORD, Lexicon

VOCABULARY = {"[UNK]": 0, "a": 1, "##b": 2, ".": 3}


def bert(**model: Any) -> Tokenizer:
    """A tokenizer of BERT's make."""
    made = Tokenizer(models.WordPiece(**{"vocab": VOCABULARY, "unk_token": "[UNK]", **model}))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def with_token(**flags: bool) -> Tokenizer:
    made = bert()
    made.add_tokens([AddedToken("city", **{"normalized": False, **flags})])
    return made


def changed(part: str, value: object) -> Tokenizer:
    made = bert()
    setattr(made, part, value)
    return made


REFUSED: dict[str, tuple[Callable[[], Tokenizer], str]] = {
    "normalizer": (lambda: changed("normalizer", normalizers.NFC()), "normalizer must be BertNormalizer and is NFC"),
    "no normalizer": (lambda: Tokenizer(models.WordPiece(VOCABULARY)), "BertNormalizer and is none"),
    "pre-tokenizer": (lambda: changed("pre_tokenizer", pre_tokenizers.Whitespace()), "must be BertPreTokenizer"),
    "model": (lambda: changed("model", models.WordLevel(VOCABULARY, "[UNK]")), "model must be WordPiece"),
    "no unknown": (lambda: bert(unk_token="[NIL]"), r"lacks the unknown token \[NIL\]"),
    "long words": (lambda: bert(max_input_chars_per_word=MAX_WORD + 1), f"words may have {MAX_WORD + 1} characters"),
    "normalized": (lambda: with_token(normalized=True), "'city' is marked normalized"),
    "lstrip": (lambda: with_token(lstrip=True), "'city' is marked lstrip"),
    "rstrip": (lambda: with_token(rstrip=True), "'city' is marked rstrip"),
    "single_word": (lambda: with_token(single_word=True), "'city' is marked single_word"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """A tokenizer whose text cannot be cut is a ModelError that names what stands in the way."""
    make, message = REFUSED[name]
    with pytest.raises(ModelError, match=message) as refused:
        Lexicon(make())
    assert "cannot be streamed" in str(refused.value)


def test_long_added_token() -> None:
    """An added token that would hold back too much text is refused."""
    made = bert()
    made.add_tokens([AddedToken("c" * (MAX_ADDED + 1), normalized=False)])
    with pytest.raises(ModelError, match="an added token has"):
        Lexicon(made)


def test_memory_of_chunks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many different chunks there are, two generations are remembered, and what is in use stays."""
    monkeypatch.setattr(module, "_CACHE", 4)
    lexicon = Lexicon(bert())
    for number in range(50):
        lexicon.chunk(f"a{number}")
        assert lexicon.known.get("ab") or lexicon.chunk("ab")
        assert len(lexicon.known) + len(lexicon._earlier) <= 8
    assert "ab" in {**lexicon.known, **lexicon._earlier}


def test_orders_of_all_marks() -> None:
    """Every character that the library sorts as a combining mark has a combining class in Python's tables."""
    characters = Characters(normalizers.BertNormalizer())
    nfd = normalizers.NFD()
    for number in range(0x110000):
        character = chr(number)
        if unicodedata.category(character) in ("Cn", "Mn", "Mc", "Me"):
            sorts = character in (
                nfd.normalize_str(f"{character}\u0334")[-1],
                nfd.normalize_str(f"\u0301{character}")[0],
            )
            if sorts and nfd.normalize_str(character) == character and character != "\u0334":
                assert characters.order(character) == unicodedata.combining(character) > 0, hex(number)
