"""Logits of a stream's windows → one result, held against the rules for whole texts."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.manifest import Head
from edge_runtime.tasks import answering, classification, merging, tagging
from edge_runtime.tokenizer import Encoding
from edge_runtime.windows import Window, mean, stitch
from tests.edge_runtime.streaming import texts
from tests.edge_runtime.streaming.test_stream import made

BIO = ("O", "B-city", "I-city", "B-date", "I-date")
PLAIN = ("O", "city", "date")
PARTS = (
    "turn",
    "paris",
    "embeddings",
    ",",
    "...",
    "p.m.",
    "o'clock",
    "中国",
    "x" * 120,
    "- - -",
    "lights\n",
    "é\u0301,",
)
TEXTS = st.lists(st.tuples(st.sampled_from(PARTS), st.sampled_from(["", " ", " ", "\t ", " \0"])), min_size=1).map(
    lambda pairs: "a" + "".join(part + space for part, space in pairs)
)


def tagger(labels: tuple[str, ...]) -> Head:
    return Head("slots", "tagging", 0, len(labels), 0.1, 0, labels)


def cut(text: str, window: int, overlap: int) -> list[Window]:
    return texts.stream(made("uncased"), [text.encode()], window, overlap)


def rows(windows: list[Window], width: int, seed: int) -> list[NDArray[np.float32]]:
    """Random logits of every token of every window, in which one label often wins several times in a row."""
    source = np.random.default_rng(seed)
    found = []
    for window in windows:
        chosen = np.repeat(source.integers(0, width, len(window.ids)), source.integers(1, 4))[: len(window.ids)]
        logits = source.standard_normal((len(window.ids), width)).astype(np.float32)
        logits[np.arange(len(window.ids)), chosen] += 4
        found.append(logits)
    return found


@given(TEXTS, st.sampled_from([BIO, PLAIN]), st.integers(3, 30), st.integers(0, 20), st.integers(0, 1000))
def test_entities_are_those_of_the_stitched_text(
    text: str, labels: tuple[str, ...], window: int, overlap: int, seed: int
) -> None:
    """Entities merged window by window are those of the whole text with the windows' rows stitched together."""
    windows = cut(text, window, min(overlap, window - 3))
    head, logits = tagger(labels), rows(windows, len(labels), seed)
    merger = merging.Entities(head)
    for one, values in zip(windows, logits, strict=True):
        merger.add(one, {"slots": values})
    pieces = made("uncased").pieces(text)
    assert merger.result() == tagging.entities(text, pieces, stitch(windows, logits), head)
    assert not merger.truncated


@given(TEXTS, st.integers(3, 12), st.integers(0, 1000))
def test_a_window_alone(text: str, window: int, seed: int) -> None:
    """A window's own entities are those of its part of the text, in the places of the whole."""
    windows = cut(text, window, 0)
    head, logits = tagger(BIO), rows(windows, len(BIO), seed)
    merger = merging.Entities(head)
    for one, values in zip(windows, logits, strict=True):
        start, end = one.span
        found = merger.add(one, {"slots": values})
        assert all(text[entity.start : entity.end] == entity.text for entity in found)
        assert all(start <= entity.start < entity.end <= end for entity in found)


def test_an_entity_across_windows() -> None:
    """An entity that goes on in the next window is reported once and whole, and half of it by each window."""
    windows = cut("to new york city now", 5, 1)
    words = [("O",), ("B-city",), ("I-city",), ("I-city",), ("O",)]
    labels = [BIO.index(word[0]) for word in words]
    merger = merging.Entities(tagger(BIO))
    alone = []
    for window in windows:
        values = np.zeros((len(window.ids), len(BIO)), np.float32)
        values[range(1, len(window.ids) - 1), labels[window.start : window.stop]] = 9
        alone.append([entity.text for entity in merger.add(window, {"slots": values})])
    assert alone == [["new york"], ["york city"]]
    assert [(entity.text, entity.start, entity.end) for entity in merger.result()] == [("new york city", 3, 16)]


def test_entities_are_bounded() -> None:
    """A stream keeps `MAX_ENTITIES` entities, the first, and says that there were more."""
    text = "paris " * (merging.MAX_ENTITIES + 10)
    merger = merging.Entities(tagger(BIO))
    for window in cut(text, 128, 31):
        values = np.zeros((len(window.ids), len(BIO)), np.float32)
        values[:, 1] = 9
        merger.add(window, {"slots": values})
    found = merger.result()
    assert merger.truncated
    assert len(found) == merging.MAX_ENTITIES
    assert found[-1].start == 6 * (merging.MAX_ENTITIES - 1)


@pytest.mark.parametrize("text", ["-" * 20_000, "paris " * 20_000, "x" * 20_000, "a" + "\0" * 20_000 + "b"])
def test_memory_is_bounded(text: str) -> None:
    """Neither endless punctuation nor an endless entity makes the merger hold more and more."""
    merger = merging.Entities(tagger(BIO))
    most = 0
    for window in cut(text, 128, 31):
        values = np.zeros((len(window.ids), len(BIO)), np.float32)
        values[:, 2] = 9
        merger.add(window, {"slots": values})
        most = max(most, len(merger._stitch), len(str(merger._excerpt)) // 16)
    assert most <= merging.MAX_RUN + 256
    assert all(text[entity.start : entity.end] == entity.text for entity in merger.result())


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(0, 1000))
def test_means_are_weighted(sizes: list[int], seed: int) -> None:
    """A mean that is kept window by window is that of all windows at once."""
    source = np.random.default_rng(seed)
    windows = [Window(Encoding((), (), (), (), ()), 0, size) for size in sizes]
    values = [source.standard_normal((1, 7)).astype(np.float32) for _ in windows]
    kept = merging.Mean()
    for window, row in zip(windows, values, strict=True):
        kept.add(window, row)
    assert np.allclose(kept.value(), mean(windows, values), rtol=1e-6, atol=1e-7)


def test_labels_and_intents() -> None:
    """Labels and intents of the whole text come from the mean, those of a window from its own logits."""
    head = Head("intent", "classification", 0, 2, 0.1, 0, ("on", "off"))
    windows = cut("turn off the kitchen lights", 6, 0)
    logits = [np.array([[4.0, 0.0]], np.float32), np.array([[0.0, 9.0]], np.float32)]
    merger = merging.Labels(head, 1)
    assert [merger.add(*both)[0].label for both in zip(windows, [{"intent": one} for one in logits], strict=True)] == [
        "on",
        "off",
    ]
    assert merger.result() == classification.rank(mean(windows, logits), head, 1)
    assert merger.result()[0].label == "on"


def test_best_answer() -> None:
    """The best answer of all windows wins, the first of equal ones, with its place in the whole text."""
    tokenizer, source = made("uncased"), random.Random(2)
    question = tokenizer.pieces("who?")
    text = " ".join(source.choice(("ada", "grace", "was", "here")) for _ in range(60))
    windows = texts.stream(tokenizer, [text.encode()], 16, 4, question)
    logits = rows(windows, 2, 3)
    merger = merging.BestAnswer(Head("answer", "answer", 0, 2, 0.1, 0))
    alone = [merger.add(window, {"answer": values}) for window, values in zip(windows, logits, strict=True)]
    assert merger.result() == answering.find(text, windows, logits)
    assert all(text[answer.start : answer.end] == answer.text for answer in alone)
