"""From logits to labels, entities, answers and fillings, on logits written by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_runtime import InputError
from edge_runtime.manifest import Head
from edge_runtime.tasks import answering, classification, tagging
from edge_runtime.tasks.results import Answer, Choice, Entity, Filling, Label, Understanding
from edge_runtime.tokenizer import Encoding, Pieces
from edge_runtime.windows import Window

INTENTS = Head("intent", "classification", 0, 3, 0.1, 0, ("on", "off", "none"), 2.0, 0.6, "none")
BIO = ("O", "B-city", "I-city", "B-date", "I-date")


def tagger(labels: Sequence[str]) -> Head:
    return Head("slots", "tagging", 0, len(labels), 0.1, 0, tuple(labels))


def pieces(text: str, *tokens: str) -> Pieces:
    """Tokens found one after the other in the text; one that begins with ## continues the word before."""
    offsets, numbers, position, word = [], [], 0, -1
    for token in tokens:
        piece = token.removeprefix("##")
        start = text.index(piece, position)
        position = start + len(piece)
        word += piece == token
        offsets.append((start, position))
        numbers.append(word)
    return Pieces(tuple(range(len(tokens))), tuple(offsets), tuple(numbers))


def logits(labels: Sequence[str], *tags: str) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rows = np.zeros((len(tags), len(labels)), np.float32)
    rows[range(len(tags)), [labels.index(tag) for tag in tags]] = 9.0
    return rows


def tag(text: str, tokens: Sequence[str], tags: Sequence[str], labels: Sequence[str] = BIO) -> list[tuple[str, str]]:
    found = tagging.entities(text, pieces(text, *tokens), logits(labels, *tags), tagger(labels))
    assert all(text[entity.start : entity.end] == entity.text for entity in found)
    assert all(0.9 < entity.score <= 1 for entity in found)
    return [(entity.type, entity.text) for entity in found]


def test_softmax_divides_by_the_temperature() -> None:
    """Probabilities are those of logits divided by the temperature, sum to 1 and never overflow."""
    plain = classification.softmax(np.array([2.0, 0.0], np.float32), 2.0)
    assert plain == pytest.approx([0.7310586, 0.2689414])
    assert classification.softmax(np.array([1e30, -1e30], np.float32)).tolist() == [1.0, 0.0]


def test_ranking() -> None:
    """The likeliest labels come first, equal ones in their own order, no more than there are."""
    ranked = classification.rank(np.array([1.0, 4.0, 1.0], np.float32), INTENTS, 9)
    assert [label.label for label in ranked] == ["off", "on", "none"]
    assert sum(label.score for label in ranked) == pytest.approx(1.0)


@pytest.mark.parametrize("top_k", [0, -1, 1.0, True, None, "3"])
def test_wrong_top_k(top_k: object) -> None:
    """A count that is no positive integer is an InputError."""
    with pytest.raises(InputError, match="top_k"):
        classification.rank(np.zeros(3, np.float32), INTENTS, top_k)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "intent"),
    [([9, 0, 0], "on"), ([0, 9, 0], "off"), ([0, 0, 9], None), ([1, 0.9, 0], None)],
    ids=["sure", "another", "out of scope", "unsure"],
)
def test_recognition(values: list[float], intent: str | None) -> None:
    """Below the threshold, or where "out of scope" wins, nothing is recognised; the best of the others is told."""
    found, score = classification.recognise(np.array(values, np.float32), INTENTS)
    assert found == intent
    assert score == pytest.approx(float(classification.softmax(np.array(values, np.float32), 2.0)[:2].max()))


@pytest.mark.parametrize(
    ("values", "intent", "score"),
    [([9, 0, 0], "on", 0.494), ([0, 9, 0], "off", 0.978), ([0.6, 0, 9], None, 0.5 * 0.0146)],
    ids=["hardly believed", "believed", "out of scope"],
)
def test_reliability(values: list[float], intent: str | None, score: float) -> None:
    """What a label says counts as far as it can be believed; the label itself is the likeliest, believed or not."""
    head = replace(INTENTS, reliability=(0.5, 1.0, 1.0))
    found, believed = classification.recognise(np.array(values, np.float32), head)
    assert found == intent
    assert believed == pytest.approx(score, rel=0.01)
    assert classification.rank(np.array(values, np.float32), head, 3) == classification.rank(
        np.array(values, np.float32), INTENTS, 3
    )


def test_bio_tags() -> None:
    """B- begins an entity even next to another, I- goes on with it, O ends it."""
    tokens = ["to", "new", "york", "paris", "on", "monday"]
    tags = ["O", "B-city", "I-city", "B-city", "O", "B-date"]
    assert tag(" ".join(tokens), tokens, tags) == [("city", "new york"), ("city", "paris"), ("date", "monday")]


def test_i_without_b_begins_an_entity() -> None:
    """An I- that continues nothing of its type begins an entity."""
    tokens = ["york", "monday", "morning"]
    assert tag("york monday morning", tokens, ["I-city", "I-date", "I-date"]) == [
        ("city", "york"),
        ("date", "monday morning"),
    ]


@pytest.mark.parametrize("labels", [("O", "I-city", "I-date"), ("O", "city", "date")])
def test_io_and_plain_tags(labels: Sequence[str]) -> None:
    """Without B- tags, neighbours of one type are one entity, unless punctuation stands between them."""
    city = labels[1]
    tokens = ["new", "york", ",", "paris"]
    assert tag("new york, paris", tokens, [city, city, city, city], labels) == [("city", "new york"), ("city", "paris")]


def test_first_piece_decides() -> None:
    """A word has the tag of its first piece; the others are ignored, and the word is never cut."""
    assert tag("in berlin", ["in", "ber", "##lin"], ["O", "B-city", "O"]) == [("city", "berlin")]
    assert tag("in berlin", ["in", "ber", "##lin"], ["O", "O", "B-city"]) == []


@pytest.mark.parametrize(
    ("text", "tokens", "found"),
    [
        ("lights, please", ["lights", ",", "please"], ["lights", "please"]),
        ("(paris)", ["(", "paris", ")"], ["paris"]),
        ("o'clock", ["o", "'", "clock"], ["o'clock"]),
        ("mother-in-law!", ["mother", "-", "in", "-", "law", "!"], ["mother-in-law"]),
        ("r. n. b.", ["r", ".", "n", ".", "b", "."], ["r.", "n.", "b."]),
        ("p.m. now.", ["p", ".", "m", ".", "now", "."], ["p.m.", "now"]),
        ("at 5.", ["at", "5", "."], ["at", "5"]),
        ("a - b", ["a", "-", "b"], ["a", "-", "b"]),
        ("中国人", ["中", "国", "人"], ["中", "国", "人"]),
        ("?!", ["?", "!"], ["?!"]),
    ],
)
def test_words(text: str, tokens: Sequence[str], found: Sequence[str]) -> None:
    """A word is what stands between white space without the punctuation at its ends; an ideograph is a word."""
    assert [text[word.start : word.end] for word in tagging.words(text, pieces(text, *tokens))] == found


def test_nothing_to_tag() -> None:
    """No tokens, no entities."""
    assert tagging.entities("", Pieces((), (), ()), np.zeros((0, 5), np.float32), tagger(BIO)) == []


def pair_window(context: str, question: int, start: int, values: Sequence[tuple[float, float]]) -> Window:
    """A window whose context tokens are the characters `start` and on of the context."""
    count = len(values)
    texts = (None, *[0] * question, None, *[1] * count, None)
    offsets = tuple(
        None if text is None else (0, 1) if text == 0 else (start + place - question - 2, start + place - question - 1)
        for place, text in enumerate(texts)
    )
    zeros = tuple([0] * len(texts))
    return Window(Encoding(zeros, zeros, offsets, texts, tuple([None] * len(texts))), start, start + count)


def rows(question: int, values: Sequence[tuple[float, float]]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Logits in which the special tokens and the question outbid the context."""
    framed = [(50.0, 50.0)] * (question + 2) + list(values) + [(50.0, 50.0)]
    return np.array(framed, np.float32)


def test_best_answer_lies_in_the_context() -> None:
    """The best span begins before it ends and never reaches into the question."""
    context = "abcdef"
    values = [(0.0, 8.0), (5.0, 0.0), (0.0, 1.0), (0.0, 4.0), (0.0, 0.0), (0.0, 0.0)]
    answer = answering.find(context, [pair_window(context, 2, 0, values)], [rows(2, values)])
    assert (answer.text, answer.start, answer.end) == ("bcd", 1, 4)
    assert 0 <= answer.score <= 1


def test_best_answer_of_several_windows() -> None:
    """The window with the highest sum of logits wins, and offsets count in the whole context."""
    context = "abcdefgh"
    weak, strong = [(1.0, 1.0)] + [(0.0, 0.0)] * 3, [(0.0, 0.0), (7.0, 0.0), (0.0, 7.0), (0.0, 0.0)]
    windows = [pair_window(context, 1, 0, weak), pair_window(context, 1, 4, strong)]
    answer = answering.find(context, windows, [rows(1, weak), rows(1, strong)])
    assert (answer.text, answer.start, answer.end) == ("fg", 5, 7)


def test_answers_are_bounded() -> None:
    """An answer has at most MAX_ANSWER_TOKENS tokens."""
    count = answering.MAX_ANSWER_TOKENS + 5
    values = [(9.0, 0.0)] + [(0.0, 0.0)] * (count - 2) + [(0.0, 9.0)]
    context = "x" * count
    answer = answering.find(context, [pair_window(context, 1, 0, values)], [rows(1, values)])
    assert 1 <= len(answer.text) <= answering.MAX_ANSWER_TOKENS


def test_results_become_json() -> None:
    """Every result becomes plain JSON and back to the same fields."""
    entity = Entity("city", "paris", 3, 8, 0.5)
    results: list[tuple[Any, dict[str, Any]]] = [
        (Label("on", 0.5), {"label": "on", "score": 0.5}),
        (entity, {"type": "city", "text": "paris", "start": 3, "end": 8, "score": 0.5}),
        (Understanding(None, 0.1, (entity,)), {"intent": None, "score": 0.1, "slots": [entity.to_json()]}),
        (Answer("paris", 3, 8, 0.5), {"text": "paris", "start": 3, "end": 8, "score": 0.5}),
        (Filling("on", "turn on", 0.5), {"token": "on", "text": "turn on", "score": 0.5}),
        (Choice(1, "b", 0.75, (0.25, 0.75)), {"index": 1, "text": "b", "score": 0.75, "scores": [0.25, 0.75]}),
    ]
    for result, expected in results:
        assert json.loads(json.dumps(result.to_json())) == expected
