"""The graph in float32 against transformers' own computation."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from converter import calibration, encoder
from converter.checkpoint import read
from converter.execution import Execution, execute
from converter.graph import Tensor
from converter.plan import Giant, HiddenPlan, LayerPlan, NormPlan, Passed, Plan, balance
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


GIANTS = (3, 7, 10, 20)
LIMITS = (2.0, 8.0)
"""of attention and feed-forward part, within what a random network's layers give: giants are cut, but not always"""


def norm_plan(generator: np.random.Generator, giants: tuple[Giant, ...], limit: float, mean: Passed | None) -> NormPlan:
    """With all that a LayerNorm's plan can ask for, one channel whose square counts apart among it."""
    scales = generator.integers(-8, 8, 24)
    scales[14] = 40
    scales[list(GIANTS)] = 0
    passed = {channel: Passed(-30.0, 20.0, 1 + channel % 3) for channel in GIANTS}
    return NormPlan(scales, giants, limit, 1.5, passed, mean, (-2.0, 5.0))


def plan_of_everything(groups: int, mean: Passed | None) -> Plan:
    """For two layers of 24 channels and 48 hidden neurons."""
    generator = np.random.default_rng(0)
    both_ways = tuple(Giant(channel, side) for channel in GIANTS[1:] for side in (-1, 1))
    up_and_down = (Giant(3, 1), Giant(10, -1), Giant(10, 1), Giant(20, -1))
    hidden = HiddenPlan(6.0, np.arange(48 // groups), 1.5, np.array([0, 0, 5, 11]))
    layer = LayerPlan(
        query_key_balance=generator.integers(-8, 8, 24),
        value_balance=generator.integers(-8, 8, 24),
        hidden=(hidden,) * groups,
        attention=norm_plan(generator, up_and_down, LIMITS[0], mean),
        output=norm_plan(generator, (Giant(3, -1), *both_ways), LIMITS[1], mean),
    )
    embeddings = NormPlan(np.where(np.arange(24) == 5, 40, generator.integers(-8, 8, 24)))
    units = {"layer.0.attention.value": 2.5, "layer.1.attention.key": 0.5, "layer.1.attention.centred.unscaled": 3.0}
    return Plan(embeddings, (layer, layer), mean is not None, units)


@pytest.mark.parametrize("head", ["Model", "ForTokenClassification", "ForMaskedLM"])
@pytest.mark.parametrize(
    ("groups", "mean"),
    [(1, None), (1, Passed(-6.0, 4.0, 3)), (4, None), (4, Passed(-6.0, 4.0))],
    ids=["one group", "one group, mean folded", "four groups", "four groups, no mean of the embeddings"],
)
def test_plan_changes_nothing_in_float32(tmp_path: Path, head: str, groups: int, mean: Passed | None) -> None:
    """Scales, giants, what is passed, ceilings, copies and balances are rearrangements: the exact result is the same,
    though giants are cut.
    """
    make(tmp_path, f"SqueezeBert{head}", **{**ALIKE, **dict.fromkeys(GROUPS, groups)})
    network = read(tmp_path, HEADS[head][1])
    plain, planned = encoder.build(network), encoder.build(network, plan_of_everything(groups, mean))
    beyond: dict[str, NDArray[np.float32]] = {}

    def keep(tensor: Tensor, value: NDArray[np.float32]) -> None:
        if re.fullmatch(r"layer\.\d\.(attention|feed_forward)\.excess\.\d", tensor.name):
            most = value.reshape(-1, value.shape[-1]).max(axis=0)
            beyond[tensor.name] = np.maximum(beyond.get(tensor.name, np.zeros_like(most)), most)

    for length in LENGTHS:
        sample = calibration.inputs(network, *sequence(length, length))
        expected, got = execute(plain, sample), Execution(planned).run(sample, keep)
        for name, values in expected.items():
            assert_close(got[name], values, float(np.abs(values).max()))
    assert sum(len(most) for most in beyond.values()) == 2 * (4 + 7)
    for part in ("attention", "feed_forward"):
        assert any((most > 0).any() for name, most in beyond.items() if part in name)


@pytest.mark.parametrize("groups", [1, 4])
def test_giants_are_cut_on_their_sides(tmp_path: Path, groups: int) -> None:
    """A branch holds giants' whole sums, cut at the limit on the sides on which they are some; what it lacks is beside
    it, and other channels are not cut.
    """
    make(tmp_path, "SqueezeBertModel", **{**ALIKE, **dict.fromkeys(GROUPS, groups)})
    network = read(tmp_path, ["hidden"])
    plan = plan_of_everything(groups, None)
    norm, name = plan.layers[0].attention, "layer.0.attention"
    sample = calibration.inputs(network, *sequence(20, 0))
    values: list[dict[str, NDArray[np.float32]]] = [{}, {}]
    for each, graph in zip(values, (encoder.build(network), encoder.build(network, plan)), strict=True):
        Execution(graph).run(sample, lambda tensor, value, kept=each: kept.__setitem__(tensor.name, value))  # type: ignore[misc]
    plain, planned = values
    sums, tolerance = plain[f"{name}.sum"], RELATIVE * float(np.abs(plain[f"{name}.sum"]).max())
    expected = sums.copy()
    for channel, side in ((g.channel, g.side) for g in norm.giants):
        ends = (-np.inf, norm.limit) if side == 1 else (-norm.limit, np.inf)
        expected[..., channel] = np.clip(expected[..., channel], *ends)
    assert (expected != sums).any()
    cut = planned[f"{name}.sum"] * balance(norm.scales, 24)
    assert (planned[f"{name}.output"] == planned[f"{name}.sum"])[..., norm.channels].all()
    assert np.abs(cut - expected).max() <= tolerance
    places = {g.channel // (24 // groups) for g in norm.giants}
    beyond = np.concatenate([planned[f"{name}.excess.{place}"] for place in sorted(places)], axis=-1)
    for column, giant in enumerate(norm.giants):
        found = np.maximum(sums[..., giant.channel] * giant.side - norm.limit, 0)
        assert np.abs(beyond[..., column] - found).max() <= tolerance


def test_overflow_that_a_limit_hides_is_left_out(tmp_path: Path) -> None:
    """Where a neuron at its ceiling takes a giant far beyond the limit, its overflow has no weight in what is cut, but
    all of it in what lies beyond, and nothing changes in float32.
    """
    make(tmp_path, "SqueezeBertModel", **ALIKE)
    network = read(tmp_path)
    first = network.encoder.layers[0]
    weight = first.output.weight.copy()
    weight[3, 5] = 400.0
    layers = (replace(first, output=replace(first.output, weight=weight)), network.encoder.layers[1])
    network = replace(network, encoder=replace(network.encoder, layers=layers))
    norm = NormPlan(giants=(Giant(3, 1),), limit=200.0, passed={3: Passed(-10.0, 10.0)})
    hidden = (HiddenPlan(6.0, np.array([2, 5]), 1.5), *(HiddenPlan(6.0, np.arange(12), 1.5),) * 3)
    attention = NormPlan(passed={3: Passed(-10.0, 10.0)})
    planned = Plan(layers=(LayerPlan(hidden=hidden, output=norm), LayerPlan(attention=attention)))
    plain, graph = encoder.build(network), encoder.build(network, planned)
    weights = {t.name: np.asarray(t.constant) for t in graph.tensors() if t.name.endswith(".weight")}
    cut, beyond = (weights[f"layer.0.feed_forward.{part}.weight"] for part in ("output.0", "excess.0"))
    # 12 neurons, the overflow of the third and the sixth, and what is passed
    assert cut.shape[1] == 12 + 2 + 1
    assert np.argwhere(cut[:, :14] == 0).tolist() == [[3, 13]]
    assert beyond[0, 13] == pytest.approx(400.0 * 1.5)
    for length in LENGTHS:
        sample = calibration.inputs(network, *sequence(length, length))
        expected, got = execute(plain, sample), execute(graph, sample)
        for name, values in expected.items():
            assert_close(got[name], values, float(np.abs(values).max()))


def test_plan_needs_matching_groups_for_side_paths(tmp_path: Path) -> None:
    """A side path around GELU is refused where the layers before and after it are grouped differently."""
    make(tmp_path, "SqueezeBertModel", **GROUPS)
    network = read(tmp_path)
    hidden = (HiddenPlan(6.0, np.arange(1), 1.5),) * 8
    with pytest.raises(ValueError, match="as many groups"):
        encoder.build(network, Plan(layers=(LayerPlan(hidden=hidden),) * 2))


@pytest.mark.parametrize("odd", [HiddenPlan(5.0), HiddenPlan(4.0, copied=np.array([1]))], ids=["ceiling", "copies"])
def test_groups_that_differ_are_refused(tmp_path: Path, odd: HiddenPlan) -> None:
    """One activation cuts all groups at one ceiling, and its result is cut into equal parts."""
    make(tmp_path, "SqueezeBertModel")
    hidden = (HiddenPlan(4.0),) * 3 + (odd,)
    with pytest.raises(ValueError, match="one ceiling and as many copies"):
        encoder.build(read(tmp_path), Plan(layers=(LayerPlan(hidden=hidden),) * 2))


def test_plan_survives_json() -> None:
    """A plan read back from its JSON is the same."""
    plan = plan_of_everything(4, Passed(-0.5, 0.25, 2))
    stored = json.dumps(plan.to_json())
    again = Plan.from_json(json.loads(stored))
    assert json.dumps(again.to_json()) == stored
    for layer, expected in zip(again.layers, plan.layers, strict=True):
        for norm, other in ((layer.attention, expected.attention), (layer.output, expected.output)):
            assert (norm.giants, norm.limit, norm.factor) == (other.giants, other.limit, other.factor)
            assert (norm.passed, norm.mean, norm.beside) == (other.passed, other.mean, other.beside)
        assert [h.copied.tolist() for h in layer.hidden] == [h.copied.tolist() for h in expected.hidden]
    assert (again.centred, again.units, again.giants) == (plan.centred, plan.units, [3, 7, 10, 20])


def test_plan_of_an_older_converter_is_refused() -> None:
    """Its graph was another: a plan with tiers, or no plan at all, is not taken for an empty one."""
    layer = {"query_key_balance": None, "value_balance": None, "hidden": [], "attention_factors": [2.0]}
    older = {"tiers": [[3]], "embedding_factors": [1.5], "embedding_scales": None, "layers": [layer], "centred": True}
    for stored in (older, {**older, "tiers": [], "layers": []}, {}):
        with pytest.raises(KeyError):
            Plan.from_json(stored)
