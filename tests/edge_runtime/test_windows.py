"""Texts that are longer than the model takes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime import InputError, Model, TooLong, load
from edge_runtime.tokenizer import Encoding
from edge_runtime.windows import MAX_WINDOWS, Window, _spans, mean, policy, stitch
from tests.edge_runtime.tiny_checkpoint import MAX_LENGTH

SPECIALS, PAIR_SPECIALS = 2, 3


def words(count: int) -> str:
    """A text of so many tokens."""
    return " ".join(["turn", "off", "the", "kitchen", "lights", "paris", "hello"][place % 7] for place in range(count))


def window(start: int, stop: int) -> Window:
    """A window without content but with its special tokens."""
    count = stop - start
    texts = (None, *[0] * count, None)
    columns = tuple([0] * (count + 2))
    return Window(
        Encoding(columns, columns, tuple([None] * (count + 2)), texts, tuple([None] * (count + 2))), start, stop
    )


OPERATIONS = {
    "assistant": lambda model, text: model.understand(text),
    "classification": lambda model, text: model.classify(text),
    "tags": lambda model, text: model.tag(text),
    "fill": lambda model, text: model.fill(text.replace("turn", "[MASK]", 1)),
    "embedding": lambda model, text: model.embed(text),
    "answer": lambda model, text: model.answer("paris", text),
    "choice": lambda model, text: model.choose("paris", [text]),
}
OVERHEAD = {"answer": PAIR_SPECIALS + 1, "choice": PAIR_SPECIALS + 1}


@pytest.mark.parametrize("name", OPERATIONS)
def test_one_policy_for_every_operation(name: str, models: Mapping[str, Path]) -> None:
    """At the longest text and one token less every policy answers alike; at one more `error` alone refuses."""
    longest = MAX_LENGTH - OVERHEAD.get(name, SPECIALS)
    loaded: dict[str, Model] = {overflow: load(models[name], overflow=overflow) for overflow in POLICIES}
    for count in (longest - 1, longest):
        answers = [repr(OPERATIONS[name](model, words(count))) for model in loaded.values()]
        assert answers[0] == answers[1] == answers[2]
    with pytest.raises(TooLong, match=f"{MAX_LENGTH + 1} tokens and the model takes {MAX_LENGTH}"):
        OPERATIONS[name](loaded["error"], words(longest + 1))
    truncated = OPERATIONS[name](loaded["truncate"], words(longest + 1))
    if name not in ("choice", "fill"):
        # a lone choice has probability 1 and is repeated whole; a filling repeats the whole text
        assert repr(truncated) == repr(OPERATIONS[name](loaded["truncate"], words(longest)))
    assert OPERATIONS[name](loaded["window"], words(longest + 1)) is not None
    for model in loaded.values():
        model.close()


POLICIES = ("error", "truncate", "window")


def test_encode_follows_the_policy(models: Mapping[str, Path]) -> None:
    """`encode` refuses, truncates or gives all of a text that is too long."""
    too_long = words(MAX_LENGTH)
    with load(models["tags"]) as model, pytest.raises(TooLong):
        model.encode(too_long)
    with load(models["tags"], overflow="truncate") as model:
        assert len(model.encode(too_long)) == MAX_LENGTH
        assert model.encode(too_long).texts[-1] is None
    with load(models["tags"], overflow="window") as model:
        assert len(model.encode(too_long)) == MAX_LENGTH + SPECIALS


def test_first_text_of_a_pair_is_never_cut(models: Mapping[str, Path]) -> None:
    """A question that leaves no room for its context is TooLong under every policy."""
    for overflow in POLICIES:
        with load(models["answer"], overflow=overflow) as model:
            assert model.answer(words(MAX_LENGTH - PAIR_SPECIALS - 1), "paris").text == "paris"
            with pytest.raises(TooLong):
                model.answer(words(MAX_LENGTH - PAIR_SPECIALS), "paris")


def test_answers_come_from_every_window(models: Mapping[str, Path]) -> None:
    """An answer from a later window has its place in the whole context."""
    context = words(300)
    with load(models["answer"], overflow="window") as model:
        answer = model.answer("paris", context)
    assert context[answer.start : answer.end] == answer.text


def test_too_many_windows(models: Mapping[str, Path]) -> None:
    """A text of more windows than one request may take is TooLong."""
    with load(models["embedding"], overflow="window") as model, pytest.raises(TooLong, match=str(MAX_WINDOWS)):
        model.embed(words(MAX_LENGTH * MAX_WINDOWS))


@given(st.integers(1, 3000), st.integers(1, 500))
def test_windows_cover_the_text(length: int, room: int) -> None:
    """Windows are full, overlap by about a quarter, and leave no token out."""
    if length <= room:
        return
    try:
        spans = _spans(length, room)
    except TooLong:
        assert length > room * MAX_WINDOWS // 2
        return
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert all(stop - start == room for start, stop in spans)
    for (before, end), (start, _) in pairwise(spans):
        assert before < start <= end - room // 4


def test_mean_is_weighted_by_tokens() -> None:
    """A window of three tokens counts three times as much as one of a single token."""
    rows = [np.array([[1.0, 0.0]], np.float32), np.array([[5.0, 4.0]], np.float32)]
    assert np.allclose(mean([window(0, 3), window(3, 4)], rows), [2.0, 1.0])


def test_each_token_from_its_best_window() -> None:
    """A token in two windows is taken from the one in which it is farther from an edge."""
    windows = [window(0, 6), window(4, 10)]
    rows = [np.full((8, 1), number, np.float32) for number in (1, 2)]
    assert stitch(windows, rows)[:, 0].tolist() == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]


def test_stitching_drops_special_tokens() -> None:
    """Rows of special tokens are left out."""
    rows = np.arange(5, dtype=np.float32)[:, None]
    assert stitch([window(0, 3)], [rows])[:, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", ["", "Error", "sliding", None])
def test_unknown_policy(name: str, models: Mapping[str, Path]) -> None:
    """A policy that does not exist is an InputError that lists those that do."""
    with pytest.raises(InputError, match="error, truncate, window"):
        load(models["tags"], overflow=name)
    assert policy("window") == "window"
