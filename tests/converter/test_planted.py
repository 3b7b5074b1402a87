"""Checkpoints with planted outliers lose no accuracy in integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converter import arrangement, calibration, evaluation
from converter.checkpoint import read
from converter.encoder import build
from converter.execution import execute
from converter.network import Network
from converter.plan import Giant
from tests.converter.planted import drive, plant
from tests.converter.random_checkpoint import GROUPS, WORDS, make
from tests.converter.test_conversion import soften
from tests.peers.ablation import arrange_as, without_giants

LOST = 0.001
"""cosine, at most"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    folder = tmp_path_factory.mktemp("planted")
    make(folder, "SqueezeBertModel", hidden_size=96, embedding_size=96, intermediate_size=192, num_attention_heads=4)
    soften(folder)
    return read(folder, ["embedding"])


@pytest.fixture(scope="module")
def texts() -> list[str]:
    generator = np.random.default_rng(0)
    words = [w for w in WORDS if w[0] not in "[#"]
    return [" ".join(generator.choice(words, generator.integers(1, 15))) for _ in range(72)]


def cosine(network: Network, texts: list[str]) -> float:
    """Mean over texts, calibrated on others."""
    arranged = arrangement.arrange(network, calibration.encode(network, texts[24:], 20), "fast")
    return evaluation.simulate(network, arranged, texts[:24])["embedding"].cosine_mean


@pytest.mark.parametrize("factor", [8.0, 100.0])
def test_planting_changes_nothing_in_float32(network: Network, factor: float) -> None:
    """The tool compensates what it scales."""
    sample = calibration.inputs(network, [2, 5, 6, 7, 8, 3])
    expected = execute(build(network), sample)["embedding"]
    got = execute(build(plant(network, factor)), sample)["embedding"]
    assert np.abs(got - expected).max() <= 2e-3 * np.abs(expected).max()


@pytest.mark.parametrize("factor", [8.0, 100.0], ids=["moderate", "extreme"])
def test_planted_outliers_cost_nothing(network: Network, texts: list[str], factor: float) -> None:
    """The cosine to float32 stays within a thousandth."""
    assert cosine(plant(network, factor), texts) >= cosine(network, texts) - LOST


@pytest.mark.parametrize("height", [40.0, -40.0], ids=["upwards", "downwards"])
@pytest.mark.parametrize("groups", [1, 4])
def test_a_giant_of_few_tokens_costs_little(tmp_path: Path, texts: list[str], groups: int, height: float) -> None:
    """A channel that one word drives far is found on that side, and costs many times less than if it were not cut."""
    sizes = {"hidden_size": 96, "embedding_size": 96, "intermediate_size": 192, "num_attention_heads": 4}
    make(tmp_path, "SqueezeBertModel", **sizes, **dict.fromkeys(GROUPS, groups))
    soften(tmp_path)
    network = drive(read(tmp_path, ["embedding"]), WORDS.index("中"), 17, height)
    samples = calibration.encode(network, texts[24:], 20)
    arranged = arrangement.arrange(network, samples, "fast")
    assert Giant(17, int(np.sign(height))) in arranged.plan.layers[0].output.giants

    found = evaluation.simulate(network, arranged, texts[:24])["embedding"]
    uncut = arrange_as(network, without_giants(arranged.plan), samples)
    without = evaluation.simulate(network, uncut, texts[:24])["embedding"]
    assert 1 - found.cosine_mean <= 0.003
    assert 1 - without.cosine_mean >= 4 * (1 - found.cosine_mean)
