"""The accuracy study: every runtime is given the same network, nothing scored was seen, and the document is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from converter import calibration, checkpoint, encoder
from converter.execution import execute
from tests.converter.random_checkpoint import GROUPS, WORDS, make
from tests.peers import document
from tests.peers.accuracy import corpora, results, tables, tasks
from tests.peers.accuracy.torch_network import Headed


@pytest.mark.parametrize("groups", [4, 1])
@pytest.mark.parametrize("architecture", ["SqueezeBertForTokenClassification", "BertForSequenceClassification"])
def test_peers_are_given_the_same_network(architecture: str, groups: int, tmp_path: Path) -> None:
    """What is exported to the peers computes what our own float32 reference computes."""
    squeeze = architecture.startswith("Squeeze")
    settings = {**dict.fromkeys(GROUPS, groups), "num_attention_heads": 4} if squeeze else {}
    make(tmp_path, architecture, **settings)
    network = checkpoint.read(tmp_path)
    ids = [2, *np.random.default_rng(0).integers(5, len(WORDS), 9).tolist(), 3]
    with torch.no_grad():
        found = Headed(network)(torch.tensor([ids]))
    expected = execute(encoder.build(network), calibration.inputs(network, ids))
    for head, value in zip(network.heads, found, strict=True):
        reference = expected[head.name].reshape(value.numpy().reshape(-1, value.shape[-1]).shape)
        np.testing.assert_allclose(value.numpy().reshape(reference.shape), reference, rtol=1e-3, atol=1e-3)


def test_document_is_made_from_the_results() -> None:
    """Every table of docs/accuracy.md is what docs/accuracy/results.json gives."""
    text = results.DOCUMENT.read_text("utf-8")
    found = results.read()
    assert tables.fill(text, found) == text
    assert document.marked(text) == set(tables.TABLES)


def test_losses_are_differences_to_float32() -> None:
    """A line of the table takes each seed's score from float32's of the same seed."""
    rows = [
        {"model": "m", "task": "t", "seed": seed, "method": method, "scores": {"accuracy": score}}
        for seed, method, score in [(1, "float32", 90.0), (2, "float32", 80.0), (2, "x", 79.0), (1, "x", 90.5)]
    ]
    (line,) = tables.losses(results.Results({"measurements": rows}))
    assert line.float32 == [90.0, 80.0]
    assert line.by_method == {"x": [1.0, -0.5]}


def test_spearman() -> None:
    """Vectors whose cosines are in the order of the scores have a ρ of 1, in the opposite order −1."""
    first = np.tile(np.array([1, 0], np.float32), (3, 1))
    second = np.array([[1, 0], [1, 1], [0, 1]], np.float32)
    assert tasks.spearman(first, second, [5, 3, 0]) == pytest.approx(1)
    assert tasks.spearman(first, second, [0, 3, 5]) == pytest.approx(-1)


@pytest.mark.minilm
def test_nothing_scored_was_seen() -> None:
    """No validation text, nor a phrase of one, is in its task's training part or in the converter's own sample."""
    training, validation = corpora.sentiment()
    scored = "\n".join(each.text for each in validation)
    assert not any(each.text in scored for each in training)
    assert not {e.text for e in corpora.intents()[0]} & {e.text for e in corpora.intents()[1]}
    pairs, held = corpora.similarity()
    assert not {s for p in pairs for s in (p.first, p.second)} & {s for p in held for s in (p.first, p.second)}
    assert not set(calibration.default_texts()) & set(corpora.sts_sentences())
