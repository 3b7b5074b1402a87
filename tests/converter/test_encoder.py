"""The graph in float32 against transformers' own computation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from converter import calibration, encoder
from converter.checkpoint import read
from converter.execution import execute
from converter.plan import HiddenPlan, LayerPlan, Plan
from tests.converter.random_checkpoint import GROUPS, SIZES, WORDS, make

RELATIVE = 1e-4
LENGTHS = (1, 2, 3, 7, SIZES["max_position_embeddings"])
ALIKE = {**dict.fromkeys(GROUPS, 4), "num_attention_heads": 4}

HEADS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Model": ("last_hidden_state", ("hidden", "pooled", "embedding")),
    "ForSequenceClassification": ("logits", ("classification",)),
    "ForTokenClassification": ("logits", ("tags",)),
    "ForQuestionAnswering": ("start_logits", ("answer",)),
    "ForMaskedLM": ("logits", ("fill",)),
    "ForMultipleChoice": ("logits", ("choice",)),
}


def sequence(length: int, seed: int) -> tuple[list[int], list[int]]:
    """Random ids and token types."""
    generator = np.random.default_rng(seed)
    types = np.sort(generator.integers(0, 2, length))
    return generator.integers(0, len(WORDS), length).tolist(), types.tolist()


def theirs(model: Any, ids: list[int], types: list[int]) -> dict[str, NDArray[np.float32]]:
    """Every output of a transformers model for one sequence, by our heads' names."""
    batch = {"input_ids": torch.tensor([ids]), "token_type_ids": torch.tensor([types])}
    kind = type(model).__name__
    if kind.endswith("MultipleChoice"):
        batch = {name: value[None] for name, value in batch.items()}
    with torch.no_grad():
        out = model.eval()(**batch)
    if kind.endswith("QuestionAnswering"):
        return {"answer": torch.stack([out.start_logits[0], out.end_logits[0]], dim=1).numpy()}
    if kind.endswith("Model"):
        hidden = out.last_hidden_state[0]
        return {
            "hidden": hidden.numpy(),
            "pooled": out.pooler_output.numpy(),
            "embedding": hidden.mean(0, keepdim=True).numpy(),
        }
    names = {suffix: heads[0] for suffix, (_, heads) in HEADS.items()}
    name = next(head for suffix, head in names.items() if kind.endswith(suffix))
    return {name: out.logits.numpy().reshape(-1, out.logits.shape[-1])}


def assert_close(got: NDArray[np.float32], expected: NDArray[np.float32], largest: float) -> None:
    """Equal but for float32's rounding, relative to the largest value that the head gives."""
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= RELATIVE * largest


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("SqueezeBert", {}),
        ("SqueezeBert", GROUPS),
        ("SqueezeBert", ALIKE),
        ("SqueezeBert", {"hidden_act": "gelu_new", "num_hidden_layers": 3}),
        ("Bert", {}),
        ("Bert", {"hidden_act": "relu", "intermediate_size": 36}),
    ],
    ids=["squeezebert", "six group counts", "four groups", "tanh gelu", "bert", "relu"],
)
def test_float32_equals_transformers(tmp_path: Path, head: str, family: str, config: dict[str, Any]) -> None:
    """Every head gives what transformers gives, for every length and for pairs of texts."""
    model = make(tmp_path, f"{family}{head}", **config)
    network = read(tmp_path, HEADS[head][1])
    graph = encoder.build(network)
    sequences = [sequence(length, length) for length in LENGTHS]
    got = [execute(graph, calibration.inputs(network, ids, types)) for ids, types in sequences]
    expected = [theirs(model, ids, types) for ids, types in sequences]
    for name in HEADS[head][1]:
        largest = max(float(np.abs(e[name]).max()) for e in expected)
        for g, e in zip(got, expected, strict=True):
            assert set(g) == set(e)
            assert_close(g[name], e[name], largest)


def test_plan_changes_nothing_in_float32(tmp_path: Path) -> None:
    """Outlier tiers, ceilings and balances are rearrangements: the exact result stays the same."""
    make(tmp_path, "SqueezeBertForTokenClassification", **ALIKE)
    network = read(tmp_path)
    generator = np.random.default_rng(0)
    hidden = HiddenPlan(6.0, np.arange(12), 1.5)
    layer = LayerPlan(
        query_key_balance=generator.integers(-8, 8, 24),
        value_balance=generator.integers(-8, 8, 24),
        hidden=(hidden,) * 4,
        attention_factors=(4.0, 1.5),
        output_factors=(2.0, 1.0),
        attention_scales=generator.integers(-8, 8, 24),
        # one among the first tensor's channels that is a giant and counts apart
        output_scales=np.where(np.arange(24) == 10, 40, generator.integers(-8, 8, 24)),
        attention_shift=0.3,
        output_shift=-0.7,
    )
    tiers = (np.array([0, 7, 13, 23]), np.array([1, 2, 6, 8, 12, 14, 18, 19]))
    plan = Plan(tiers, (3.0, 2.0), generator.integers(-8, 8, 24), (layer,) * 2, centred=True)
    plain, planned = encoder.build(network), encoder.build(network, plan)
    for length in LENGTHS:
        sample = calibration.inputs(network, *sequence(length, length))
        expected = execute(plain, sample)["tags"]
        assert_close(execute(planned, sample)["tags"], expected, float(np.abs(expected).max()))


def test_plan_needs_matching_groups_for_side_paths(tmp_path: Path) -> None:
    """A side path around GELU is refused where the layers before and after it are grouped differently."""
    make(tmp_path, "SqueezeBertModel", **GROUPS)
    network = read(tmp_path)
    hidden = (HiddenPlan(6.0, np.arange(1), 1.5),) * 8
    with pytest.raises(ValueError, match="as many groups"):
        encoder.build(network, Plan(layers=(LayerPlan(hidden=hidden),) * 2))


def test_plan_survives_json() -> None:
    """A plan read back from its JSON builds the same graph."""
    hidden = (HiddenPlan(4.5, np.array([3]), 2.0), HiddenPlan())
    layer = LayerPlan(np.array([1, -2]), None, hidden, (1.0,), (2.0,), attention_shift=0.1, output_shift=0.2)
    plan = Plan((np.array([1]),), (3.0,), np.array([-3, 4]), (layer,), centred=True)
    stored = plan.to_json()
    assert Plan.from_json(stored).to_json() == stored
    # as files have it that were written before there were shifts
    del stored["centred"], stored["layers"][0]["shifts"]
    older = Plan.from_json(stored)
    assert not older.centred
    assert older.layers[0].attention_shift == older.layers[0].output_shift == 0
    with pytest.raises(KeyError):
        Plan.from_json({})
