"""all-MiniLM-L6-v2, real pretrained weights, in integers: sentence vectors against transformers' own in float32.

docs/accuracy.md has the whole comparison; this is the part of it that a minute or two can check.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import converter
from converter import checkpoint
from converter.network import Network
from tests.peers.accuracy import tasks
from tests.peers.accuracy.tflite import Outputs, run_ours
from tests.peers.accuracy.torch_network import Headed

pytestmark = pytest.mark.minilm

LEAST_MEAN, LEAST_WORST = 0.992, 0.975
"""cosine over 500 sentences; other fully-integer conversions' mean on these weights is 0.74 to 0.84"""
MOST_SIMILARITY_LOST = 0.5
"""points of Spearman's ρ on 1,000 pairs, where 0.1 to 0.4 were seen"""


def float32(network: Network, texts: list[list[int]]) -> Outputs:
    """transformers' own classes."""
    model = Headed(network)
    with torch.no_grad():
        found = [model(torch.tensor([ids])) for ids in texts]
    names = [head.name for head in network.heads]
    return [{n: v.reshape(-1, v.shape[-1]).numpy() for n, v in zip(names, each, strict=True)} for each in found]


def test_integer_vectors_are_close(minilm: Path, tmp_path: Path) -> None:
    """The integer sentence vectors point where the float32 ones do, and find the same sentences alike."""
    # the least effort: more of it takes minutes more, and vectors that are no farther off
    converter.convert(minilm, tmp_path / "minilm.tflite", effort="fast")
    network = checkpoint.read(minilm)
    task = tasks.build("similarity", network)
    reference = float32(network, task.texts)
    outputs = run_ours(tmp_path / "minilm.tflite", task.texts)
    cosine = task.likeness(outputs, reference)
    expected, found = task.score(reference), task.score(outputs)
    print(f"{cosine}; {expected} in float32, {found} in integers")
    assert cosine["cosine mean"] >= LEAST_MEAN
    assert cosine["cosine worst"] >= LEAST_WORST
    assert found["Spearman"] >= expected["Spearman"] - MOST_SIMILARITY_LOST
