"""Chooses a plan from what calibration saw of the plain graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter import exact
from converter.calibration import Observation
from converter.encoder import BESIDE
from converter.graph import Graph
from converter.integer import HIGHEST
from converter.network import Array, Encoder, Layer, Linear
from converter.plan import STEPS_PER_OCTAVE, Giant, HiddenPlan, LayerPlan, NormPlan, Passed, Plan, balance
from converter.quantisation import SMALLEST_SCALE, Range

MOST_GIANTS = 4
"""channels of a LayerNorm"""
COST_OF_CHANNEL, COST_OF_TENSOR = 0.05, 0.7
"""what cutting a giant, and having a tensor for what is beyond at all, must gain: the logarithm of the noise left"""
REACH = 1.2
"""how far, in limits, a giant must reach to one side for that side to count"""
MOST_STEPS = 24
"""a channel's scale is within a factor of 8 of the usual"""
MOST_STEPS_OF_GIANT = 56
"""a factor of 128: what is left of such a channel of the embeddings has a few steps still"""
MARGIN = 0.1
"""of what was seen to lie between two ends, that is added to both"""
MOST_COPIES = 6
"""columns for one number"""
FEW_NEURONS = 4
"""that drive a giant by weights far above all others in its row"""
LEAST_CEILING = 4.0
"""relu(x − c) + GELU(min(x, c)) differs from GELU(x) by at most c · (1 − Φ(c)): 1.3e−4 at 4"""
MOST_OVERFLOW = 1 / 32
"""of a group's hidden neurons may have a side path"""


def choose_plan(encoder: Encoder, seen: Mapping[str, Observation]) -> Plan:
    """`seen`: observations of the plain graph's tensors, by name."""
    norms = [f"layer.{i}.{part}" for i in range(len(encoder.layers)) for part in ("attention", "feed_forward")]
    norms.insert(0, "embeddings")
    inverse = np.array([exact.mean(np.square(seen[f"{n}.inverse_deviation"].sample()))[0] for n in norms])
    centred, normalised = (np.stack([_extent(seen[f"{n}.{t}"]) for n in norms]) for t in ("centred", "normalised"))
    centred *= np.sqrt(inverse)[:, None]
    scales = _usable(np.sqrt(centred * normalised))
    steps = _scale_steps(scales)
    plans = {"embeddings": NormPlan(scales=_whole_steps(centred[0], scales[0], steps[0]))}
    for i, name in enumerate(norms[1:], 1):
        plans[name] = _choose_giants(name, centred[i], normalised[i], scales[i], steps[i], seen)
    layers = []
    before = plans["embeddings"]
    for i, layer in enumerate(encoder.layers):
        name = f"layer.{i}"
        value_balance = _value_balance(seen[f"{name}.attention.value"], layer.attention_output)
        hidden = _choose_ceilings(encoder, layer, f"{name}.feed_forward.hidden", seen)
        columns = balance(value_balance, encoder.hidden_size)
        attention = _pass(
            *(plans[f"{name}.attention"], before.channels, seen[f"{name}.attention.residual"], layer.attention_output),
            columns,
            _context(seen[f"{name}.attention.context"], columns),
        )
        hidden = _choose_copies(hidden, layer, plans[f"{name}.feed_forward"].channels)
        output = _pass(
            *(plans[f"{name}.feed_forward"], attention.channels, seen[f"{name}.feed_forward.residual"], layer.output),
            _shares(hidden, layer),
            _activated(f"{name}.feed_forward.hidden", hidden, seen),
        )
        layers.append(
            LayerPlan(
                query_key_balance=_balance(seen[f"{name}.attention.key"], seen[f"{name}.attention.query"]),
                value_balance=value_balance,
                hidden=hidden,
                attention=attention,
                output=output,
            )
        )
        before = output
    return Plan(plans["embeddings"], tuple(layers), centred=True)


def _choose_giants(
    name: str,
    centred: Array,
    normalised: Array,
    scales: Array,
    steps: NDArray[np.int64],
    seen: Mapping[str, Observation],
) -> NormPlan:
    """Which channels of a LayerNorm need a fine scale for most tokens and reach far beyond it on a few.

    Args:
        name: of the LayerNorm.
        centred, normalised: [channels] largest absolute values before and after it, `centred` in units of the usual
            deviation.
        scales, steps: [channels] what each channel would best be divided by, and the steps that stand for it.
        seen: observations of the plain graph's tensors, by name.
    """
    middle = float(np.median(scales))
    divided = middle * exact.power_of_eighths(steps)
    order = np.argsort(-centred / divided, kind="stable")

    def noise(giants: NDArray[np.int64], others: NDArray[np.int64]) -> float:
        """Of rounding, in all channels: proportional to each tensor's squared range."""
        # branch, residual, sum and centred value are rounded on the range of what comes before
        before, after = ((x[others] / divided[others]).max() for x in (centred, normalised))
        squares = exact.total(np.square(divided[others]))[0] + len(giants) * middle * middle
        return float(exact.logarithm(np.array(squares * (4 * before * before + after * after))))

    best, chosen = math.inf, 0
    for count in range(min(MOST_GIANTS, len(order) - 1) + 1):
        cost = noise(order[:count], order[count:]) + (COST_OF_TENSOR + count * COST_OF_CHANNEL if count else 0.0)
        if cost < best:
            best, chosen = cost, count
    if not chosen:
        return NormPlan(scales=steps)
    outputs = _extent(seen[f"{name}.output"]) / exact.power_of_eighths(steps)
    both = seen[f"{name}.centred"]
    assert both.channel_low is not None and both.channel_high is not None
    limit = float(outputs[order[chosen:]].max())
    giants = []
    for channel in np.sort(order[:chosen]).tolist():
        sides = {1: float(both.channel_high[channel]), -1: -float(both.channel_low[channel])}
        giants += [Giant(channel, side) for side, end in sides.items() if end > REACH * limit > 0]
    channels = [g.channel for g in giants]
    others = np.setdiff1d(np.arange(len(steps)), channels)
    after = (normalised[others] / exact.power_of_eighths(steps[others])).max()
    if not giants or not after:
        return NormPlan(scales=steps)
    limit = float(outputs[others].max())
    steps = steps.copy()
    steps[channels] = 0
    return NormPlan(steps, tuple(giants), round(limit, 4), _rounded(normalised[channels].max() / after))


def _pass(
    plan: NormPlan, before: list[int], residual: Observation, linear: Linear, columns: Array, ends: tuple[float, float]
) -> NormPlan:
    """`plan` with what goes through the layer that makes the branch.

    Args:
        plan: of the LayerNorm.
        before: giants of the LayerNorm whose output is the residual.
        residual: of the plain graph.
        linear: the layer.
        columns: [in] what its weight's columns are multiplied by.
        ends: what it reads lies between.
    """
    assert residual.channel_low is not None and residual.channel_high is not None
    width = linear.weight.shape[1]
    largest = np.abs(
        linear.weight
        * columns.reshape(linear.groups, 1, width).repeat(len(linear.bias) // linear.groups, axis=1).reshape(-1, width)
    ).max(axis=1)
    scale = balance(plan.scales, len(linear.bias))
    room = (ends[1] - ends[0]) * BESIDE

    def passed(low: float, high: float, weight: float) -> Passed:
        margin = MARGIN * (high - low)
        low, high = round(low - margin, 4), round(high + margin + 1e-3, 4)
        copies = math.ceil((high - low) / room / max(weight, 1e-6))
        return Passed(low, high, min(max(copies, 1), MOST_COPIES))

    channels = {
        c: passed(float(residual.channel_low[c]), float(residual.channel_high[c]), float(largest[c]))
        for c in sorted({*plan.channels, *before})
    }
    mean = None
    if linear.groups == 1:
        mean = passed(residual.mean_low, residual.mean_high, float(np.median(largest / scale) * np.median(scale)))
    return replace(plan, passed=channels, mean=mean, beside=ends)


def _choose_copies(hidden: tuple[HiddenPlan, ...], layer: Layer, giants: list[int]) -> tuple[HiddenPlan, ...]:
    """`hidden` with copies of the neurons that alone drive a giant."""
    linear = layer.output
    if linear.groups != layer.intermediate.groups:
        return hidden
    hidden = hidden or (HiddenPlan(),) * linear.groups
    block = len(linear.bias) // linear.groups
    copied = [np.zeros(linear.weight.shape[1], np.int64) for _ in hidden]
    for channel in giants:
        row = np.abs(linear.weight[channel])
        usual = 2 * np.sort(row)[::-1][min(FEW_NEURONS, len(row) - 1)]
        copies = np.minimum(np.ceil(row / max(float(usual), 1e-6)), MOST_COPIES).astype(np.int64) - 1
        copied[channel // block] = np.maximum(copied[channel // block], copies)
    most = max(int(c.sum()) for c in copied)
    for c in copied:
        # groups that share an activation have as many neurons each; a copy more of any does no harm
        c[: most - int(c.sum())] += 1
    return tuple(replace(h, copied=np.repeat(np.arange(len(c)), c)) for h, c in zip(hidden, copied, strict=True))


def _shares(hidden: tuple[HiddenPlan, ...], layer: Layer) -> Array:
    """[neurons] what is left of a weight of the second layer when copies have taken their shares."""
    size = layer.output.weight.shape[1]
    counts = [1 + np.bincount(h.copied, minlength=size) for h in hidden]
    shares = np.concatenate(counts) if counts else np.ones(layer.output.groups * size)
    return (1 / shares).astype(np.float32)


def _context(seen: Observation, columns: Array) -> tuple[float, float]:
    """What an attention's output layer reads lies between, its values being divided by `columns`."""
    end = round(float((_extent(seen) / columns).max()), 4)
    return -end, end


def _activated(name: str, hidden: tuple[HiddenPlan, ...], seen: Mapping[str, Observation]) -> tuple[float, float]:
    """What lies within the range of activated neurons."""
    each = seen[f"{name}.activated"]
    ceiling = hidden[0].ceiling if hidden else None
    high = each.high if ceiling is None else min(each.high, ceiling)
    return round(each.low, 4), round(max(high, 1e-3), 4)


def settle_limits(plan: Plan, ranges: Mapping[str, Range]) -> Plan:
    """`plan` with giants cut where the ranges of branches end.

    Args:
        plan: what `ranges`, by name of tensor, belong to.
    """

    def settled(norm: NormPlan, name: str) -> NormPlan:
        if not norm.giants:
            return norm
        r = ranges[f"{name}.output"]
        return replace(norm, limit=round(max(abs(r.low), abs(r.high)), 4))

    layers = tuple(
        replace(
            layer,
            attention=settled(layer.attention, f"layer.{i}.attention"),
            output=settled(layer.output, f"layer.{i}.feed_forward"),
        )
        for i, layer in enumerate(plan.layers)
    )
    return replace(plan, layers=layers)


def in_units(plan: Plan, graph: Graph, ranges: Mapping[str, Range]) -> tuple[Plan, dict[str, Range]]:
    """`plan` with keys, values and what is squared in units in which their range is −1 … 1, so that kernels can cut
    them at −127; and the ranges, by name of tensor, of the graph that it gives. No integer changes but −128.

    Args:
        plan, graph: what `ranges` belong to.
    """
    stands_for = {t.name: graph.representative(t).name for t in graph.tensors()}
    units: dict[str, float] = {}
    factors: dict[str, float] = {}
    for layer in range(len(plan.layers)):
        name = f"layer.{layer}.attention"
        units |= {part: _unit(ranges[part]) for part in (f"{name}.key", f"{name}.value")}
        factors[f"{name}.query"] = units[f"{name}.key"]
        factors |= {stands_for[f"{name}.context.{part}"]: 1 / units[f"{name}.value"] for part in ("shares", "heads")}
    units |= {name: _unit(r) for name, r in ranges.items() if name.endswith(".centred.unscaled")}
    moved = {
        name: Range(r.low * factors.get(name, 1.0), r.high * factors.get(name, 1.0))
        for name, r in ranges.items()
        if name not in units
    }
    return replace(plan, units=units), moved


def _unit(r: Range) -> float:
    """The largest that the integers of a tensor with zero point 0 say."""
    return float(np.float32(max(abs(r.low), abs(r.high), SMALLEST_SCALE * HIGHEST)))


def _extent(seen: Observation) -> Array:
    """[channels] largest absolute value."""
    assert seen.channel_low is not None and seen.channel_high is not None
    return np.maximum(np.abs(seen.channel_low), np.abs(seen.channel_high))


def _usable(scales: Array) -> Array:
    """[norms, channels] with channels that (nearly) always stay at the mean treated like quiet ones."""
    result: Array = np.maximum(scales, _middle(scales) / (1 << MOST_STEPS // STEPS_PER_OCTAVE)).astype(scales.dtype)
    return result


def _middle(values: Array) -> Array:
    """[norms, channels] → [norms, 1], never 0."""
    middle = np.median(values, axis=1, keepdims=True)
    result: Array = np.where(middle > 0, middle, 1).astype(values.dtype)
    return result


def _scale_steps(scales: Array) -> list[NDArray[np.int64]]:
    """scales [norms, channels] → for each norm the steps that stand for them, around 0."""
    return list(np.clip(_steps(scales / np.median(scales, axis=1, keepdims=True)), -MOST_STEPS, MOST_STEPS))


def _whole_steps(centred: Array, scales: Array, steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """`steps` [channels] of embeddings, of which no layer can cut a giant, with more for channels that stand out.

    A giant sets its token's deviation and must not be cut: it is divided by enough to stay within the range of the
    others, at the price of coarse steps for one channel of hundreds.
    """
    before = centred / (float(np.median(scales)) * exact.power_of_eighths(steps))
    others = np.sort(before)[::-1][min(MOST_GIANTS, len(before) - 1)]
    missing = np.ceil(_octaves(before / max(float(others), 1e-30)) * STEPS_PER_OCTAVE).astype(np.int64)
    giant = (missing > 0) & (steps + missing > MOST_STEPS)
    result: NDArray[np.int64] = np.where(giant, np.minimum(steps + missing, MOST_STEPS_OF_GIANT), steps)
    return result


def _octaves(ratio: NDArray[Any]) -> NDArray[Any]:
    result: NDArray[Any] = exact.logarithm(np.maximum(ratio, 1e-30)) / exact.LN_2
    return result


def _balance(key: Observation, query: Observation) -> NDArray[np.int64]:
    k, q = _extent(key), _extent(query)
    floor = 1e-4 * max(float(k.max()), float(q.max()), 1e-30)
    return _steps(np.sqrt(np.maximum(k, floor) / np.maximum(q, floor)))


def _value_balance(value: Observation, output: Linear) -> NDArray[np.int64]:
    """Half-way, on a scale of factors, between values of equal range and columns of the output layer of equal range.

    So it does not matter how the checkpoint shares a channel's size out between the two.
    """
    blocks = np.abs(output.weight).reshape(output.groups, -1, output.weight.shape[1])
    columns = blocks.max(axis=1).reshape(-1)
    values, columns = (np.maximum(x, 1e-4 * max(float(x.max()), 1e-30)) for x in (_extent(value), columns))
    ratio = np.sqrt(values / columns)
    return _steps(ratio / exact.exponential(exact.mean(exact.logarithm(ratio))))


def _steps(balance: NDArray[Any]) -> NDArray[np.int64]:
    steps: NDArray[np.int64] = np.rint(exact.logarithm(balance) * (STEPS_PER_OCTAVE / exact.LN_2)).astype(np.int64)
    return steps


def _rounded(factor: float) -> float:
    """Two digits: enough, and the same on every machine."""
    return round(max(1.0, float(factor)), 2)


def _choose_ceilings(
    encoder: Encoder, layer: Layer, name: str, seen: Mapping[str, Observation]
) -> tuple[HiddenPlan, ...]:
    """The lowest ceiling that few neurons reach beyond, the same for all groups, for one activation cuts them all."""
    groups = layer.intermediate.groups
    if layer.output.groups != groups or not encoder.activation.startswith("gelu"):
        return ()
    reached = seen[name].channel_high
    assert reached is not None
    high = np.sort(reached)[::-1]
    candidates = []
    for count in range(1, max(1, int(len(high) * MOST_OVERFLOW)) + 1):
        ceiling = max(LEAST_CEILING, float(high[count]) if count < len(high) else 0.0)
        if ceiling < 0.8 * high[0]:
            candidates.append((ceiling * (1 + 0.01 * count / groups), ceiling))
    if not candidates:
        return (HiddenPlan(),) * groups
    ceiling = round(min(candidates)[1], 2)
    return tuple(_cut(of_group, ceiling) for of_group in np.split(reached, groups))


def _cut(reached: Array, ceiling: float) -> HiddenPlan:
    """reached: [neurons of the group] largest values."""
    overflow = np.flatnonzero(reached > ceiling)
    if not len(overflow):
        return HiddenPlan(ceiling)
    return HiddenPlan(ceiling, overflow, _rounded((float(reached.max()) - ceiling) / ceiling))
