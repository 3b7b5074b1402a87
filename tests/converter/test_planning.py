"""The choice of a plan from what calibration saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converter import calibration, encoder, planning
from converter.arrangement import arrange
from converter.checkpoint import read
from converter.execution import execute
from converter.graph import Graph, Op, Tensor
from converter.network import LayerNorm, Network
from converter.plan import Giant, HiddenPlan, LayerPlan, NormPlan, Plan
from converter.quantisation import Range
from tests.converter.planted import CHANNELS, drive, plant
from tests.converter.random_checkpoint import GROUPS, WORDS, make
from tests.converter.test_conversion import soften

SIZES = {"hidden_size": 96, "embedding_size": 96, "intermediate_size": 192, "num_attention_heads": 4}
TEXTS = ["turn off the light", "é e 中", "the lights , turn", "Off", "e é e é light ##s"]


def plan_of(network: Network, texts: list[str] | None = None) -> Plan:
    graph = encoder.build(network)
    seen = calibration.observe(graph, calibration.encode(network, texts or TEXTS, 20))
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


def small(folder: Path, groups: int) -> Network:
    """Of 96 channels, all layers in as many groups."""
    make(folder, "SqueezeBertModel", **SIZES, **dict.fromkeys(GROUPS, groups))
    soften(folder)
    return read(folder)


def many_texts() -> list[str]:
    """In which no word is frequent."""
    generator = np.random.default_rng(0)
    words = [word for word in WORDS if word[0] not in "[#"]
    return [" ".join(generator.choice(words, generator.integers(1, 15))) for _ in range(40)]


@pytest.mark.parametrize("groups", [1, 4])
def test_outliers_are_found(tmp_path: Path, groups: int) -> None:
    """Channels far above the others in every token are scaled down; they need no tensor of their own."""
    config = dict.fromkeys(("q_groups", "k_groups", "v_groups", "intermediate_groups", "output_groups"), groups)
    make(tmp_path, "SqueezeBertModel", hidden_size=96, embedding_size=96, intermediate_size=96, **config)
    plan = plan_of(with_outliers(read(tmp_path), [5, 50], 40.0))
    for layer in plan.layers:
        scales = layer.output.scales
        assert scales is not None
        kept = np.setdiff1d([5, 50], layer.output.channels)
        others = np.setdiff1d(np.arange(96), [5, 50])
        assert (scales[kept] > scales[others].max()).all()
        assert (scales[layer.output.channels] == 0).all()


@pytest.mark.parametrize("groups", [1, 4])
def test_giants_of_few_tokens_are_planned_for(tmp_path: Path, groups: int) -> None:
    """A channel that one word drives far is a giant from there on, and passed to it and to the next sum; what each
    layer passes lies within what was given for it.
    """
    network = drive(small(tmp_path, groups), WORDS.index("中"), 17, 40.0)
    plan = plan_of(network, many_texts())
    first, second = plan.layers
    assert Giant(17, 1) in first.output.giants
    assert first.output.factor >= 1
    assert first.output.scales is not None and first.output.scales[17] == 0
    assert 17 in first.output.passed
    assert 17 in second.attention.passed
    assert 17 in plan.giants
    for layer in plan.layers:
        for norm in (layer.attention, layer.output):
            assert (norm.mean is not None) == (groups == 1)
            assert {*norm.channels} <= {*norm.passed}
            assert norm.beside[0] < norm.beside[1]
    seen = calibration.observe(encoder.build(network), calibration.encode(network, many_texts(), 20))
    residual = {t.name: o for t, o in seen.items()}["layer.1.attention.residual"]
    assert residual.channel_low is not None and residual.channel_high is not None
    passed = second.attention.passed[17]
    assert passed.low < residual.channel_low[17] < residual.channel_high[17] < passed.high
    if second.attention.mean is not None:
        assert second.attention.mean.low < residual.mean_low < residual.mean_high < second.attention.mean.high


@pytest.mark.parametrize("groups", [1, 4])
def test_what_is_passed_is_never_cut(tmp_path: Path, groups: int) -> None:
    """The range of what is passed holds all that was seen of it, and limits end where the ranges of branches do."""
    network = drive(small(tmp_path, groups), WORDS.index("中"), 17, 40.0)
    samples = calibration.encode(network, many_texts(), 20)
    arranged = arrange(network, samples, "fast")
    passed = [t for t in arranged.graph.tensors() if ".passed" in t.name and not t.name.endswith(("weight", "bias"))]
    assert passed
    for tensor, seen in calibration.observe(arranged.graph, samples).items():
        if tensor in passed:
            r = arranged.ranges[arranged.graph.representative(tensor)]
            assert tensor.whole
            assert r.low <= seen.low and seen.high <= r.high
    ranges = {t.name: r for t, r in arranged.ranges.items()}
    for i, layer in enumerate(arranged.plan.layers):
        for norm, part in ((layer.attention, "attention"), (layer.output, "feed_forward")):
            if norm.giants:
                name = arranged.graph.representative(named(arranged.graph)[f"layer.{i}.{part}.output"]).name
                assert ranges[name] == Range(-norm.limit, norm.limit)
    assert arranged.plan.giants


def named(graph: Graph) -> dict[str, Tensor]:
    return {t.name: t for t in graph.tensors()}


def test_limits_are_settled_where_branches_end() -> None:
    """A LayerNorm with giants is cut at the farther end of its branch's range; one without is left as it is."""
    norm = NormPlan(giants=(Giant(3, 1),), limit=1.0, factor=2.0)
    plan = Plan(layers=(LayerPlan(output=norm), LayerPlan(attention=norm)))
    ranges = {"layer.0.feed_forward.output": Range(-5.25, 2.0), "layer.1.attention.output": Range(-1.0, 3.5)}
    first, second = planning.settle_limits(plan, ranges).layers
    assert (first.output, second.attention) == (replace(norm, limit=5.25), replace(norm, limit=3.5))
    assert (first.attention, second.output) == (NormPlan(), NormPlan())


@pytest.mark.parametrize("groups", [1, 4])
def test_without_outliers_nothing_is_cut(tmp_path: Path, groups: int) -> None:
    """Where no channel stands out, none is a giant and none is passed."""
    plan = plan_of(small(tmp_path, groups), many_texts())
    assert not plan.giants
    assert not any(norm.passed for layer in plan.layers for norm in (layer.attention, layer.output))


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
    """A hidden neuron that overshoots is cut and gets a side path; the ceiling, one for all groups, stays where GELU is
    linear.
    """
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
    assert [h.ceiling for h in hidden] == [hidden[1].ceiling] * 4
    assert not any(len(h.overflow) for h in (hidden[0], *hidden[2:]))


def test_different_groups_get_no_side_path(tmp_path: Path) -> None:
    """Where the layers around GELU are grouped differently there is no side path to choose."""
    make(tmp_path, "SqueezeBertModel", output_groups=2)
    assert all(layer.hidden == () for layer in plan_of(read(tmp_path)).layers)


@pytest.mark.parametrize("sides", [(1,), (-1,), (1, -1)], ids=["upwards", "downwards", "both"])
def test_giants_are_found_on_their_sides(sides: tuple[int, ...]) -> None:
    """Channels that dwarf the others before the LayerNorm but not after it are giants, to the sides to which they go;
    their scale is 1, and the limit is where the others' branch ends.
    """
    channels = [17, 40]
    norm = chosen(channels, sides)
    assert set(norm.giants) == {Giant(channel, side) for channel in channels for side in sides}
    assert len(norm.giants) == len(channels) * len(sides)
    assert norm.channels == channels
    assert norm.scales is not None
    assert (norm.scales[channels] == 0).all()
    others = np.delete(np.arange(96), channels)
    assert norm.limit == pytest.approx((5.0 / np.exp2(norm.scales[others] / 8)).max(), abs=1e-4)
    assert norm.factor > 1


def test_even_channels_have_no_giants() -> None:
    """Where no channel stands out none is cut, and scales differ little."""
    norm = chosen([], (1,))
    assert norm.giants == ()
    assert norm.scales is not None
    assert np.abs(norm.scales).max() <= 8


def chosen(giants: list[int], sides: tuple[int, ...]) -> NormPlan:
    """The plan of a LayerNorm of 96 channels whose branch reaches 5 but for `giants`, which go to ±200 on `sides`."""
    generator = np.random.default_rng(0)
    extents = generator.uniform(3, 5, 96).astype(np.float32)
    low, high, normalised = -extents, extents.copy(), extents.copy()
    branch = np.full(96, 5.0, np.float32)
    for side in sides:
        (high if side == 1 else low)[giants] = 200.0 * side
    branch[giants], normalised[giants] = 200.0, 9.0
    centred = np.maximum(-low, high)
    scales = planning._usable(np.sqrt(centred * normalised)[None])
    (steps,) = planning._scale_steps(scales)
    seen = {
        "layer.output": calibration.Observation(channel_low=-branch, channel_high=branch),
        "layer.centred": calibration.Observation(channel_low=low, channel_high=high),
    }
    return planning._choose_giants("layer", centred, normalised, scales[0], steps, seen)


@pytest.mark.parametrize("groups", [1, 4])
def test_neurons_that_alone_drive_a_giant_are_copied(tmp_path: Path, groups: int) -> None:
    """They share their weight, so that the largest of the giant's row shrinks; each of the groups, which share an
    activation, has as many copies.
    """
    network = drive(small(tmp_path, groups), WORDS.index("中"), 50, 40.0)
    plan = plan_of(network, many_texts())
    group = 50 // (96 // groups)
    assert 50 in plan.layers[0].output.channels
    copied = [h.copied.tolist() for h in plan.layers[0].hidden]
    assert copied[group] == [0] * (planning.MOST_COPIES - 1)
    others = copied[:group] + copied[group + 1 :]
    assert others == [[*range(planning.MOST_COPIES - 1)]] * (groups - 1)

    def largest(plan: Plan) -> float:
        tensors = named(encoder.build(network, plan))
        suffix = "" if groups == 1 else f".{group}"
        weight = tensors[f"layer.0.feed_forward.output{suffix}.weight"].constant
        assert weight is not None
        return float(np.abs(weight[50 - group * (96 // groups), : 192 // groups]).max())

    def without(hidden: HiddenPlan) -> HiddenPlan:
        return replace(hidden, copied=np.empty(0, np.int64))

    first = replace(plan.layers[0], hidden=tuple(map(without, plan.layers[0].hidden)))
    alone = largest(replace(plan, layers=(first, plan.layers[1])))
    assert largest(plan) == pytest.approx(alone / planning.MOST_COPIES)


def test_a_giant_of_the_embeddings_is_not_cut() -> None:
    """It is divided by enough to stay within the others' range; they keep their scales."""
    generator = np.random.default_rng(0)
    extents = generator.uniform(3, 5, 96).astype(np.float32)
    extents[17] = 280.0
    steps = np.zeros(96, np.int64)
    steps[17] = planning.MOST_STEPS
    found = planning._whole_steps(extents, np.full(96, 4.0, np.float32), steps)
    assert (np.delete(found, 17) == 0).all()
    divided = extents / np.exp2(found / 8)
    assert divided[17] <= np.delete(divided, 17).max()
    assert divided[17] > 2.0  # nor by more than that takes
    even = np.delete(extents, 17)
    assert (planning._whole_steps(even, np.full(95, 4.0, np.float32), np.zeros(95, np.int64)) == 0).all()


@pytest.mark.parametrize("dead", [1, 20, 24])
def test_dead_channels_are_planned_for(dead: int) -> None:
    """Channels that never leave the mean, a few or all, get scales like quiet ones; none is a giant for it."""
    extents = np.full((5, 24), 3.0, np.float32)
    extents[:, :dead] = 0
    scales = planning._usable(extents)
    assert (scales > 0).all()
    observed = calibration.Observation(channel_low=-extents[0], channel_high=extents[0])
    seen = {"layer.output": observed, "layer.centred": observed}
    for row, steps in enumerate(planning._scale_steps(scales)):
        assert np.abs(steps).max() <= planning.MOST_STEPS
        norm = planning._choose_giants("layer", extents[row], extents[row], scales[row], steps, seen)
        assert norm.giants == ()


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
    norm = NormPlan(scales=steps)
    layers = tuple(LayerPlan(attention=norm, output=norm) for _ in network.encoder.layers)
    plain, planned = (encoder.build(network, plan) for plan in (None, Plan(norm, layers)))
    for sample in calibration.encode(network, TEXTS, 20):
        expected, found = (execute(graph, sample) for graph in (plain, planned))
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-3)
    readers = [o for o in planned.operators if o.op is Op.LINEAR and ".joined" in o.inputs[0].name]
    assert readers
    for operator in readers:
        weight = np.abs(np.asarray(operator.inputs[1].constant))
        assert np.median(weight.max(axis=1) / np.median(weight, axis=1)) < 30
