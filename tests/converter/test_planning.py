"""The choice of a plan from what calibration saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converter import calibration, encoder, planning
from converter.checkpoint import read
from converter.execution import execute
from converter.graph import Op
from converter.network import LayerNorm, Network
from converter.plan import LayerPlan, Plan
from converter.quantisation import Range
from tests.converter.planted import CHANNELS, plant
from tests.converter.random_checkpoint import make

TEXTS = ["turn off the light", "é e 中", "the lights , turn", "Off", "e é e é light ##s"]


def plan_of(network: Network) -> Plan:
    graph = encoder.build(network)
    seen = calibration.observe(graph, calibration.encode(network, TEXTS, 20))
    return planning.choose_plan(network.encoder, {t.name: o for t, o in seen.items()})


def with_outliers(network: Network, channels: list[int], factor: float) -> Network:
    """The same network with some channels of the residual stream blown up."""
    scale = np.ones(network.encoder.hidden_size, np.float32)
    scale[channels] = factor

    def blow_up(norm: LayerNorm) -> LayerNorm:
        return replace(norm, gamma=norm.gamma * scale, beta=norm.beta * scale)

    e = network.encoder
    layers = tuple(
        replace(
            layer,
            attention_norm=blow_up(layer.attention_norm),
            output_norm=blow_up(layer.output_norm),
            attention_output=replace(layer.attention_output, weight=layer.attention_output.weight * scale[:, None]),
            output=replace(layer.output, weight=layer.output.weight * scale[:, None]),
        )
        for layer in e.layers
    )
    return replace(network, encoder=replace(e, word_embeddings=e.word_embeddings * scale, layers=layers))


@pytest.mark.parametrize("groups", [1, 4])
def test_outliers_are_found(tmp_path: Path, groups: int) -> None:
    """Channels far above the others are scaled down, or taken out, as many from each block that grouped layers read."""
    config = dict.fromkeys(("q_groups", "k_groups", "v_groups", "intermediate_groups", "output_groups"), groups)
    make(tmp_path, "SqueezeBertModel", hidden_size=96, embedding_size=96, intermediate_size=96, **config)
    plan = plan_of(with_outliers(read(tmp_path), [5, 50], 40.0))
    taken = np.concatenate([np.empty(0, np.int64), *plan.tiers])
    for layer in plan.layers:
        assert layer.output_scales is not None
        kept = np.setdiff1d([5, 50], taken)
        others = np.setdiff1d(np.arange(96), [5, 50])
        assert (layer.output_scales[kept] > layer.output_scales[others].max()).all()
    for tier in plan.tiers:
        assert (np.diff(tier) > 0).all()
        assert len(set(np.bincount(tier // (96 // groups), minlength=groups).tolist())) == 1


def test_factors_match_tiers(tmp_path: Path) -> None:
    """Every norm has one factor per tier, none below 1."""
    make(tmp_path, "SqueezeBertModel")
    plan = plan_of(with_outliers(read(tmp_path), [3], 30.0))
    factors = [plan.embedding_factors, *(f for p in plan.layers for f in (p.attention_factors, p.output_factors))]
    assert len(plan.layers) == 2
    assert all(len(f) == len(plan.tiers) and min(f, default=1) >= 1 for f in factors)


def test_usual_values_of_outliers_are_brought_to_integers() -> None:
    """Values between two steps of a coarse tensor are shifted onto one; a few that reach far do not count for more."""
    generator = np.random.default_rng(0)
    usual = generator.normal(-0.35, 0.02, 5000)
    values = np.concatenate([usual, generator.uniform(100, 190, 20)]).astype(np.float32)
    weights = np.concatenate([np.full(5000, 1.0), np.full(20, 0.01)]).astype(np.float32)
    tensors = [f"layer.0.{p}.{t}.aside.0" for p in ("attention", "feed_forward") for t in ("output", "sum")]
    seen = {t: calibration.Observation(values=[values], weights=[weights]) for t in tensors}
    ranges = dict.fromkeys(tensors, Range(-1.0, 190.25))
    step = 191.25 / 255
    plan = Plan((np.array([3]),), (1.0,), None, (LayerPlan(),), centred=True)
    (layer,) = planning.choose_shifts(plan, ranges, seen).layers
    assert layer.attention_shift == layer.output_shift
    left = (np.median(usual) + layer.attention_shift) / step
    assert abs(left - np.rint(left)) <= 0.5 / planning.SHIFTS + 0.01


@pytest.mark.parametrize("groups", [1, 4])
def test_layers_with_groups_are_shifted(tmp_path: Path, groups: int) -> None:
    """Whether one layer or one for each group makes a tensor of outliers, its range and values are found."""
    config = dict.fromkeys(("q_groups", "k_groups", "v_groups", "intermediate_groups", "output_groups"), groups)
    make(tmp_path, "SqueezeBertModel", hidden_size=96, embedding_size=96, intermediate_size=96, **config)
    network = read(tmp_path)
    layer = LayerPlan(attention_factors=(2.0,), output_factors=(2.0,))
    plan = Plan((np.array([5, 30, 50, 80]),), (2.0,), None, (layer,) * 2, centred=True)
    graph = encoder.build(network, plan)
    seen = calibration.observe(graph, calibration.encode(network, TEXTS, 20))
    ranges = {t.name: r for t, r in calibration.choose_ranges(graph, seen).items()}
    shifted = planning.choose_shifts(plan, ranges, {t.name: o for t, o in seen.items()})
    for each in shifted.layers:
        assert each.attention_shift
        assert each.output_shift


def test_without_outliers_nothing_is_shifted(tmp_path: Path) -> None:
    """There is then no tensor whose steps are coarse."""
    make(tmp_path, "SqueezeBertModel")
    plan = plan_of(read(tmp_path))
    assert not plan.tiers
    assert planning.choose_shifts(plan, {}, {}) is plan


@pytest.mark.parametrize("groups", [1, 4])
def test_balance_of_values_undoes_what_was_planted(tmp_path: Path, groups: int) -> None:
    """However a checkpoint shares the size of values out between two layers, the balanced ones are the same."""
    config = dict.fromkeys(("q_groups", "k_groups", "v_groups", "post_attention_groups"), groups)
    make(tmp_path, "SqueezeBertModel", hidden_size=96, embedding_size=96, **config)
    network = read(tmp_path)
    before, after = plan_of(network), plan_of(plant(network, 8.0))
    for layer, planted in zip(before.layers, after.layers, strict=True):
        assert layer.value_balance is not None
        assert planted.value_balance is not None
        moved = planted.value_balance - layer.value_balance
        # 2^(24/8) of the channels that were planted; all together by what that moves the mean
        assert set(np.sort(moved - np.median(moved))[-CHANNELS:]) <= {23, 24, 25}
        assert np.abs(moved - np.median(moved))[np.argsort(moved)[:-CHANNELS]].max() <= 1


def test_few_neurons_get_a_side_path(tmp_path: Path) -> None:
    """A hidden neuron that overshoots is cut and gets a side path; its group's ceiling stays where GELU is linear."""
    make(tmp_path, "SqueezeBertModel", intermediate_size=256)
    network = read(tmp_path)
    first = network.encoder.layers[0].intermediate
    small = np.full_like(first.bias, 0.05)
    small[70] = 4.0
    layer = replace(
        network.encoder.layers[0], intermediate=replace(first, weight=first.weight * small[:, None], bias=small)
    )
    network = replace(network, encoder=replace(network.encoder, layers=(layer, network.encoder.layers[1])))
    hidden = plan_of(network).layers[0].hidden
    assert len(hidden) == 4
    assert hidden[1].overflow.tolist() == [70 - 64]
    assert hidden[1].ceiling is not None
    assert hidden[1].ceiling >= planning.LEAST_CEILING
    assert hidden[0].ceiling is None


def test_different_groups_get_no_side_path(tmp_path: Path) -> None:
    """Where the layers around GELU are grouped differently there is no side path to choose."""
    make(tmp_path, "SqueezeBertModel", output_groups=2)
    assert all(layer.hidden == () for layer in plan_of(read(tmp_path)).layers)


@pytest.mark.parametrize("blocks", [1, 4])
def test_giants_are_taken_out(blocks: int) -> None:
    """Channels that dwarf the others before the LayerNorm but not after it go aside, as many from each block."""
    generator = np.random.default_rng(0)
    centred = generator.uniform(3, 5, (7, 96)).astype(np.float32)
    normalised = centred.copy()
    giants = [17, 40, 60, 90][:blocks]
    centred[3:, giants] = 200.0
    tiers = planning._choose_tiers(centred, normalised, np.sqrt(centred * normalised), blocks)
    (tier,) = tiers
    assert set(giants) <= set(tier.tolist())
    assert np.bincount(tier // (96 // blocks), minlength=blocks).tolist() == [len(tier) // blocks] * blocks


def test_even_channels_stay_together() -> None:
    """Where no channel stands out nothing is taken out, and scales differ little."""
    generator = np.random.default_rng(0)
    extents = generator.uniform(3, 5, (7, 96)).astype(np.float32)
    assert planning._choose_tiers(extents, extents, extents, 1) == ()
    for steps in planning._scale_steps(extents, ()):
        assert np.abs(steps).max() <= 8


def test_a_giant_that_stays_is_not_cut() -> None:
    """Where no tier takes a giant, it is divided by enough to stay within the others' range; they keep their scales."""
    generator = np.random.default_rng(0)
    extents = generator.uniform(3, 5, 96).astype(np.float32)
    extents[17] = 280.0
    steps = np.zeros(96, np.int64)
    steps[17] = planning.MOST_STEPS
    found = planning._giant_steps(extents, steps, np.full(96, 4.0, np.float32))
    assert (np.delete(found, 17) == 0).all()
    divided = extents / np.exp2(found / 8)
    assert divided[17] <= np.delete(divided, 17).max()
    assert divided[17] > 2.0  # nor by more than that takes
    even = np.delete(extents, 17)
    assert (planning._giant_steps(even, np.zeros(95, np.int64), np.full(95, 4.0, np.float32)) == 0).all()


@pytest.mark.parametrize("dead", [1, 20, 24])
def test_dead_channels_are_planned_for(dead: int) -> None:
    """Channels that never leave the mean, a few or all, get scales like quiet ones; none is taken out for it."""
    extents = np.full((5, 24), 3.0, np.float32)
    extents[:, :dead] = 0
    scales = planning._usable(extents)
    assert (scales > 0).all()
    assert planning._choose_tiers(extents, extents, scales, 1) == ()
    for steps in planning._scale_steps(scales, ()):
        assert np.abs(steps).max() <= planning.MOST_STEPS


@pytest.mark.parametrize("groups", [1, 4])
def test_large_channels_do_not_coarsen_the_weights_of_others(tmp_path: Path, groups: int) -> None:
    """A channel that is divided by a hundred is read from a column of its own: the network computes the same, and in
    the rows of weights that channel does not dwarf the others.
    """
    config = dict.fromkeys(("q_groups", "k_groups", "v_groups", "intermediate_groups", "output_groups"), groups)
    make(tmp_path, "SqueezeBertModel", hidden_size=96, embedding_size=96, intermediate_size=96, **config)
    network = read(tmp_path)
    steps = np.zeros(96, np.int64)
    steps[50] = 53
    layers = tuple(LayerPlan(attention_scales=steps, output_scales=steps) for _ in network.encoder.layers)
    plain, planned = (encoder.build(network, plan) for plan in (None, Plan(embedding_scales=steps, layers=layers)))
    for sample in calibration.encode(network, TEXTS, 20):
        expected, found = (execute(graph, sample) for graph in (plain, planned))
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-3)
    readers = [o for o in planned.operators if o.op is Op.LINEAR and ".joined" in o.inputs[0].name]
    assert readers
    for operator in readers:
        weight = np.abs(np.asarray(operator.inputs[1].constant))
        assert np.median(weight.max(axis=1) / np.median(weight, axis=1)) < 30
