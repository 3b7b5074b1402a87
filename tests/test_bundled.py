"""The models that come with the runtime: integers, cards, and answers to what they are for."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import edge_runtime
from converter import flatbuffer, model_file
from edge_runtime.model_file import BUNDLED, bundled_names
from tests.integer_walk import walk

MOST_BYTES = 40_000_000
"""of all of them together"""


def path_of(name: str) -> Path:
    return BUNDLED / f"{name}.tflite"


def test_names_and_size() -> None:
    """There is one for each kind of task that has been trained, and they are small together."""
    assert bundled_names() == ["answers", "assistant", "entities", "sentences", "sentiment"]
    assert sum(path_of(name).stat().st_size for name in bundled_names()) <= MOST_BYTES


@pytest.mark.parametrize("name", bundled_names())
def test_integers_and_card(name: str) -> None:
    """No tensor is a float, and the card tells licence, scores of integers and float32, cost, limits and origin."""
    assert walk(path_of(name).read_bytes()).strangers == []
    with zipfile.ZipFile(path_of(name)) as archive:
        card = archive.read("card.md").decode()
    for section in ("## Scores", "## Cost", "## Limits", "## How it was made"):
        assert f"\n{section}\n" in card
    assert "Licence: not stated" not in card
    assert "| integers | float32 |" in card
    assert re.findall(r"(?<!\w)/\w+/\S*", card) == [], "a path of the machine that made it"


@pytest.mark.parametrize("name", bundled_names())
def test_equal_vectors_are_stored_once(name: str) -> None:
    """The zero points of channels, which TFLite wants for each of them, take no space that the same ones took before;
    writing what was read gives the same bytes.
    """
    content, _ = model_file.read(path_of(name))
    assert flatbuffer.rewrite(content, lambda _: None) == content
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    places: dict[bytes, set[int]] = {}
    for number in range(graph.TensorsLength()):
        quantisation = graph.Tensors(number).Quantization()
        if quantisation is None or not quantisation.ZeroPointLength():
            continue
        for field, values in ((10, quantisation.ZeroPointAsNumpy()), (8, quantisation.ScaleAsNumpy())):
            places.setdefault(values.tobytes(), set()).add(quantisation._tab.Vector(quantisation._tab.Offset(field)))
    assert len(places) > 10
    assert {len(each) for each in places.values()} == {1}


def test_sentences() -> None:
    """A sentence is nearer to one that says the same in other words than to one that begins with its words."""
    model = edge_runtime.load("sentences")
    said, meant, shared = (
        model.embed(text)
        for text in (
            "How do I reset my password?",
            "I forgot the code for my account and want to change it.",
            "How do I cook my rice?",
        )
    )
    assert np.linalg.norm(said) == pytest.approx(1.0, abs=1e-3)
    assert float(said @ meant) > float(said @ shared)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("a warm, funny and deeply moving film", "positive"),
        ("one of the best performances of the year", "positive"),
        ("dull, predictable and far too long", "negative"),
        ("i wanted my money back after twenty minutes", "negative"),
    ],
)
def test_sentiment(text: str, label: str) -> None:
    """Praise is positive, blame is negative."""
    assert edge_runtime.load("sentiment").classify(text)[0].label == label


def test_entities() -> None:
    """Persons, places and organisations are found where they stand."""
    text = "Angela Merkel flew from Berlin to Washington to meet people from Microsoft."
    found = {(entity.type, text[entity.start : entity.end]) for entity in edge_runtime.load("entities").tag(text)}
    assert {("PER", "Angela Merkel"), ("LOC", "Berlin"), ("LOC", "Washington"), ("ORG", "Microsoft")} <= found


def test_answers() -> None:
    """An answer is cut out of the text that holds it."""
    context = "The old bridge over the river was built by a local mason in 1820. It fell in the flood of 1871."
    model = edge_runtime.load("answers")
    for question, words in (("Who built the bridge?", "mason"), ("When was the bridge built?", "1820")):
        found = model.answer(question, context)
        assert words in found.text
        assert context[found.start : found.end] == found.text
