"""Token ids and their places in the text."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime import InputError, ModelError, TooLong, load
from edge_runtime.model_file import open_model_file
from edge_runtime.tasks.tagging import words
from edge_runtime.tokenizer import MAX_CHARACTERS, Tokenizer

CLS, SEP, UNK = 2, 3, 1

WRITING = "👩‍👩‍👧‍👦 🇩🇪 é e\u0301 \u0301 中国 日本語 한국 \0 \ufffd \u200d \ufeff İ ß ﬁ Ⅷ \U0010ffff \ud7ff \ue000"
AWKWARD = st.sampled_from(
    [*WRITING.split(" "), "\t", "\r\n", "\u2028", "\xa0", "##s", "[MASK]", "[CLS]", "lights", "a" * 200]
)
TEXTS = st.lists(st.one_of(st.text(st.characters(exclude_categories=["Cs"])), AWKWARD)).map("".join)


@pytest.fixture(scope="session")
def tokenizer(models: Mapping[str, Path]) -> Tokenizer:
    file = open_model_file(models["assistant"], None)
    found = Tokenizer(file.tokenizer())
    file.close()
    return found


@given(TEXTS)
def test_offsets_lie_in_the_text(tokenizer: Tokenizer, text: str) -> None:
    """For any text, offsets count characters of the text as given, in order, and never run backwards."""
    pieces = tokenizer.pieces(text)
    position = 0
    for start, end in pieces.offsets:
        assert 0 <= start <= end <= len(text)
        assert start >= position or end >= position
        position = max(position, start)
    assert len(pieces.ids) == len(pieces.offsets) == len(pieces.words)
    assert list(pieces.words) == sorted(pieces.words)


@given(TEXTS)
def test_known_tokens_stand_where_the_offsets_say(tokenizer: Tokenizer, text: str) -> None:
    """A token that is plain ASCII is found, in lower case, at its offsets."""
    pieces = tokenizer.pieces(text)
    for token_id, (start, end) in zip(pieces.ids, pieces.offsets, strict=True):
        token = tokenizer.token(token_id).removeprefix("##")
        covered = text[start:end]
        if token_id != UNK and covered.isascii():
            assert covered.lower() == token.lower()


@given(TEXTS)
def test_words_stand_side_by_side(tokenizer: Tokenizer, text: str) -> None:
    """The words that tags belong to lie in the text, in order, and never overlap."""
    found = words(text, tokenizer.pieces(text))
    assert all(0 <= word.start <= word.end <= len(text) for word in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


@given(TEXTS, st.one_of(st.none(), TEXTS))
def test_encoding_fits_together(tokenizer: Tokenizer, text: str, pair: str | None) -> None:
    """Special tokens frame the texts, have no offsets, and every column has one entry per token."""
    first, second = tokenizer.pieces(text), None if pair is None else tokenizer.pieces(pair)
    encoding = tokenizer.join(first, second)
    columns = (encoding.ids, encoding.types, encoding.offsets, encoding.texts, encoding.words)
    assert {len(column) for column in columns} == {len(encoding)}
    assert len(encoding) == len(first) + len(second or ()) + tokenizer.special_tokens(pair=pair is not None)
    specials = [place for place, text_number in enumerate(encoding.texts) if text_number is None]
    assert [encoding.ids[place] for place in specials] == ([CLS, SEP] if pair is None else [CLS, SEP, SEP])
    assert all(encoding.offsets[place] is None and encoding.words[place] is None for place in specials)
    assert set(encoding.types) <= {0, 1}


@given(TEXTS, TEXTS)
def test_joining_is_what_the_library_does(tokenizer: Tokenizer, text: str, pair: str) -> None:
    """Tokenising apart and joining gives what the tokenizers library gives for the pair."""
    whole = tokenizer._tokenizer.encode(text, pair)
    joined = tokenizer.join(tokenizer.pieces(text), tokenizer.pieces(pair))
    assert (list(joined.ids), list(joined.types)) == (whole.ids, whole.type_ids)


def test_example(tokenizer: Tokenizer) -> None:
    """A plain sentence: ids, offsets and words as one would write them down."""
    encoding = tokenizer.join(tokenizer.pieces("Turn on, Paris!"))
    assert [tokenizer.token(token) for token in encoding.ids] == ["[CLS]", "turn", "on", ",", "paris", "!", "[SEP]"]
    assert encoding.offsets == (None, (0, 4), (5, 7), (7, 8), (9, 14), (14, 15), None)
    assert encoding.words == (None, 0, 1, 2, 3, 4, None)
    assert encoding.to_json()["offsets"][:2] == [None, [0, 4]]


def test_continuations_share_a_word(tokenizer: Tokenizer) -> None:
    """The pieces of one word carry one word index."""
    pieces = tokenizer.pieces("abc turn")
    assert pieces.words == (0, 0, 0, 1)


@given(st.text(), st.characters(categories=["Cs"]), st.text())
def test_lone_surrogates(tokenizer: Tokenizer, before: str, surrogate: str, after: str) -> None:
    """Half of a surrogate pair, which no UTF-8 can hold, is an InputError that says where."""
    with pytest.raises(InputError, match="surrogate"):
        tokenizer.pieces(before + surrogate + after)


@pytest.mark.parametrize("text", [None, b"bytes", 3, ["list"]])
def test_no_text(tokenizer: Tokenizer, text: object) -> None:
    """What is no string is an InputError."""
    with pytest.raises(InputError, match="must be a string"):
        tokenizer.pieces(text)  # type: ignore[arg-type]


def test_endless_text(tokenizer: Tokenizer) -> None:
    """The longest text is taken, one character more is TooLong."""
    assert len(tokenizer.pieces(" " * MAX_CHARACTERS)) == 0
    with pytest.raises(TooLong, match=str(MAX_CHARACTERS)):
        tokenizer.pieces(" " * (MAX_CHARACTERS + 1))


@pytest.mark.parametrize("definition", [b"", b"{}", b"\xff\xff", b'{"model": {"type": "Nonsense"}}'])
def test_no_tokenizer(definition: bytes) -> None:
    """A definition that the library cannot read is a ModelError."""
    with pytest.raises(ModelError, match="tokenizer"):
        Tokenizer(definition)


def test_tokens_and_ids(tokenizer: Tokenizer) -> None:
    """Tokens and ids translate both ways; what is unknown is None or empty."""
    number = tokenizer.id("kitchen")
    assert number is not None
    assert tokenizer.token(number) == "kitchen"
    assert tokenizer.id("xyzzy") is None
    assert tokenizer.token(1 << 30) == ""


def test_encode_of_a_model(models: Mapping[str, Path]) -> None:
    """`Model.encode` gives the same, for a text and for a pair, and even for nothing."""
    with load(models["classification"]) as model:
        assert [len(model.encode(*texts)) for texts in [("turn off",), ("turn off", "on"), ("",)]] == [4, 6, 2]
        assert model.encode("turn", "off").types == (0, 0, 0, 1, 1)
        with pytest.raises(InputError):
            model.encode("turn", "\ud800")
