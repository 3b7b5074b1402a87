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
from converter.integer import HIGHEST, LOWEST
from converter.network import Array, Encoder, Layer, Linear
from converter.plan import STEPS_PER_OCTAVE, HiddenPlan, LayerPlan, Plan
from converter.quantisation import SMALLEST_SCALE, Range

MOST_GIANTS = 3
"""channels in a tier of outliers, per block of channels"""
COST_OF_CHANNEL, COST_OF_TIER = 0.02, 0.1
"""what taking a channel out, and making a tier at all, must gain: the logarithm of the noise left"""
MOST_STEPS = 24
"""a channel's scale is within a factor of 8 of the usual, but for giants that cannot be taken out"""
MOST_STEPS_OF_GIANT = 56
"""a factor of 128: what is left of such a channel after the LayerNorm has a few steps still"""
LEAST_CEILING = 4.0
"""relu(x − c) + GELU(min(x, c)) differs from GELU(x) by at most c · (1 − Φ(c)): 1.3e−4 at 4"""
SHIFTS = 32
"""that are tried within the step of a tensor of outliers"""
MOST_OVERFLOW = 1 / 32
"""of a group's hidden neurons may have a side path"""


def choose_plan(encoder: Encoder, seen: Mapping[str, Observation]) -> Plan:
    """`seen`: observations of the plain graph's tensors, by name."""
    blocks = _blocks(encoder)
    norms = [f"layer.{i}.{part}" for i in range(len(encoder.layers)) for part in ("attention", "feed_forward")]
    norms.insert(0, "embeddings")
    inverse = np.array([exact.mean(np.square(seen[f"{n}.inverse_deviation"].sample()))[0] for n in norms])
    centred, normalised = (np.stack([_extent(seen[f"{n}.{t}"]) for n in norms]) for t in ("centred", "normalised"))
    centred *= np.sqrt(inverse)[:, None]
    scales = _usable(np.sqrt(centred * normalised))
    tiers = _choose_tiers(centred, normalised, scales, blocks)
    each = _scale_steps(scales, tiers)
    if not tiers:
        each = [_giant_steps(*row) for row in zip(centred, each, scales, strict=True)]
    steps = dict(zip(norms, each, strict=True))
    factors = dict(zip(norms, _factors(normalised, scales, tiers), strict=True))
    layers = []
    for i, layer in enumerate(encoder.layers):
        name = f"layer.{i}"
        layers.append(
            LayerPlan(
                query_key_balance=_balance(seen[f"{name}.attention.key"], seen[f"{name}.attention.query"]),
                value_balance=_value_balance(seen[f"{name}.attention.value"], layer.attention_output),
                hidden=_choose_ceilings(encoder, layer, f"{name}.feed_forward.hidden", seen),
                attention_factors=factors[f"{name}.attention"],
                output_factors=factors[f"{name}.feed_forward"],
                attention_scales=steps[f"{name}.attention"],
                output_scales=steps[f"{name}.feed_forward"],
            )
        )
    return Plan(tiers, factors["embeddings"], steps["embeddings"], tuple(layers), centred=True)


def choose_shifts(plan: Plan, ranges: Mapping[str, Range], seen: Mapping[str, Observation]) -> Plan:
    """`plan` with shifts in front of its LayerNorms that bring outliers' usual values near to integers.

    A tensor of outliers has coarse steps, for a few tokens reach far; all other tokens lie within a step or two of 0.
    A number that is added to all channels is taken off again by the LayerNorm, so it can be chosen for them to be
    rounded by little.

    Args:
        plan: what `ranges` and `seen`, by name of tensor, belong to.
    """
    if not plan.tiers:
        return plan
    layers = []
    for i, layer in enumerate(plan.layers):
        shifts = [_choose_shift(f"layer.{i}.{part}", ranges, seen) for part in ("attention", "feed_forward")]
        layers.append(replace(layer, attention_shift=shifts[0], output_shift=shifts[1]))
    return replace(plan, layers=tuple(layers))


def in_units(plan: Plan, ranges: Mapping[str, Range]) -> tuple[Plan, dict[str, Range]]:
    """`plan` with keys, values and what is squared in units in which their range is −1 … 1, so that kernels can cut
    them at −127; and the ranges, by name of tensor, of the graph that it gives. No integer changes but −128.

    Args:
        plan: what `ranges` belong to.
    """
    units: dict[str, float] = {}
    factors: dict[str, float] = {}
    for layer in range(len(plan.layers)):
        name = f"layer.{layer}.attention"
        units |= {part: _unit(ranges[part]) for part in (f"{name}.key", f"{name}.value")}
        factors[f"{name}.query"] = units[f"{name}.key"]
        factors |= {f"{name}.context.{part}": 1 / units[f"{name}.value"] for part in ("shares", "heads")}
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


def _choose_shift(name: str, ranges: Mapping[str, Range], seen: Mapping[str, Observation]) -> float:
    tensors = [f"{name}.{part}.aside.0" for part in ("output", "sum")]
    steps = [(ranges[t].high - ranges[t].low) / (HIGHEST - LOWEST) for t in tensors]
    shifts = np.linspace(-0.5, 0.5, SHIFTS, endpoint=False) * max(steps)
    lost = np.zeros(SHIFTS)
    for tensor, step in zip(tensors, steps, strict=True):
        values, weights = seen[tensor].sample().astype(np.float64), seen[tensor].weight().astype(np.float64)
        for i, shift in enumerate(shifts):
            moved = (values + shift) / step
            lost[i] += float(exact.mean(weights * np.square(np.rint(moved) - moved))[0]) * step * step
    return round(float(shifts[np.argmin(lost)]), 6)


def _blocks(encoder: Encoder) -> int:
    """The least number of blocks that every layer reading the residual stream cuts it into a whole number of."""
    readers = [(layer.query, layer.key, layer.value, layer.intermediate) for layer in encoder.layers]
    return math.lcm(*(linear.groups for layer in readers for linear in layer))


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


def _choose_tiers(centred: Array, normalised: Array, scales: Array, blocks: int) -> tuple[NDArray[np.int64], ...]:
    """Which channels to take out: those that need a fine scale after the LayerNorm and a coarse one before it.

    Args:
        centred, normalised, scales: [norms, channels] largest absolute values, `centred` in units of the usual
            deviation, and what each channel would be divided by.
        blocks: as many channels must be chosen from each block.

    Returns:
        No tier, or one of ascending channels.
    """
    before, after = centred / scales, normalised / scales
    standing_out = np.square(before / _middle(before)) + np.square(after / _middle(after))
    size = centred.shape[1] // blocks
    order = np.argsort(-exact.total(standing_out, axis=0).reshape(blocks, size), axis=1, kind="stable")
    order += np.arange(blocks)[:, None] * size

    def noise(main: NDArray[np.int64], aside: NDArray[np.int64]) -> float:
        """Of rounding, in all channels of all norms: proportional to each tensor's squared range."""
        # branch, residual, sum and centred value are rounded on the range of `before`, the result on its own
        n = after[:, main].max(axis=1)
        square = exact.total(np.square(scales[:, main]))[:, 0]
        total = square * (4 * np.square(before[:, main].max(axis=1)) + np.square(n))
        if aside.size:
            c = centred[:, aside].max(axis=1)
            total += aside.size * (4 * np.square(c) + np.square(normalised[:, aside].max(axis=1)))
        return float(exact.logarithm(exact.total(total))[0])

    best: tuple[float, tuple[NDArray[np.int64], ...]] = (math.inf, ())
    for count in range(min(MOST_GIANTS, size - 1) + 1):
        aside, main = (p.ravel() for p in np.split(order, [count], axis=1))
        cost = noise(main, aside) + (COST_OF_TIER + count * COST_OF_CHANNEL if count else 0.0)
        if cost < best[0]:
            best = (cost, (np.sort(aside),) if count else ())
    return best[1]


def _main(channels: int, tiers: tuple[NDArray[np.int64], ...]) -> NDArray[np.int64]:
    """The channels that no tier took."""
    return np.setdiff1d(np.arange(channels), np.concatenate([np.empty(0, np.int64), *tiers]))


def _scale_steps(scales: Array, tiers: tuple[NDArray[np.int64], ...]) -> list[NDArray[np.int64]]:
    """scales [norms, channels] → for each norm the steps that stand for them, around 0."""
    main = _main(scales.shape[1], tiers)
    middle = np.median(scales[:, main], axis=1, keepdims=True)
    return list(np.clip(_steps(scales / middle), -MOST_STEPS, MOST_STEPS))


def _giant_steps(centred: Array, steps: NDArray[np.int64], scales: Array) -> NDArray[np.int64]:
    """For a norm's steps [channels] those with its giants', where no tier takes them.

    A giant sets its token's deviation, and must not be cut: it is divided by enough to stay within the range of the
    others, at the price of coarse steps for one channel of hundreds.
    """
    middle = float(np.median(scales))
    before = centred / (middle * np.exp2(steps / STEPS_PER_OCTAVE))
    others = np.sort(before)[::-1][min(MOST_GIANTS, len(before) - 1)]
    missing = np.ceil(_octaves(before / max(float(others), 1e-30)) * STEPS_PER_OCTAVE).astype(np.int64)
    giant = (missing > 0) & (steps + missing > MOST_STEPS)
    result: NDArray[np.int64] = np.where(giant, np.minimum(steps + missing, MOST_STEPS_OF_GIANT), steps)
    return result


def _octaves(ratio: NDArray[Any]) -> NDArray[Any]:
    result: NDArray[Any] = exact.logarithm(np.maximum(ratio, 1e-30)) / exact.LN_2
    return result


def _factors(normalised: Array, scales: Array, tiers: tuple[NDArray[np.int64], ...]) -> list[tuple[float, ...]]:
    """normalised [norms, channels] → for each norm what brings each tier to the others' range."""
    main = _main(normalised.shape[1], tiers)
    middle = np.median(scales[:, main], axis=1)
    others = (normalised[:, main] / scales[:, main]).max(axis=1) * middle
    return [tuple(_rounded(normalised[i, tier].max() / others[i]) for tier in tiers) for i in range(len(normalised))]


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
    groups = layer.intermediate.groups
    if layer.output.groups != groups or not encoder.activation.startswith("gelu"):
        return ()
    names = [name] if groups == 1 else [f"{name}.{g}" for g in range(groups)]
    return tuple(_choose_ceiling(seen[n]) for n in names)


def _choose_ceiling(seen: Observation) -> HiddenPlan:
    """The lowest ceiling that few neurons reach beyond."""
    assert seen.channel_high is not None
    high = np.sort(seen.channel_high)[::-1]
    candidates = []
    for count in range(1, max(1, int(len(high) * MOST_OVERFLOW)) + 1):
        ceiling = max(LEAST_CEILING, float(high[count]) if count < len(high) else 0.0)
        if ceiling < 0.8 * high[0]:
            candidates.append((ceiling * (1 + 0.01 * count), ceiling))
    if not candidates:
        return HiddenPlan()
    ceiling = round(min(candidates)[1], 2)
    overflow = np.flatnonzero(seen.channel_high > ceiling)
    return HiddenPlan(ceiling, overflow, _rounded((float(high[0]) - ceiling) / ceiling))
