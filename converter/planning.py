"""Chooses a plan from what calibration saw of the plain graph."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from converter.calibration import Observation
from converter.network import Array, Encoder, Layer
from converter.plan import STEPS_PER_OCTAVE, HiddenPlan, LayerPlan, Plan

MOST_GIANTS, MOST_OUTLIERS = 3, 10
"""channels in the two tiers of outliers, per block of channels"""
COST_OF_CHANNEL, COST_OF_TIER = 0.02, 0.4
"""what taking a channel out, and a tier of channels, must gain: the logarithm of the noise left"""
LEAST_CEILING = 4.0
"""relu(x − c) + GELU(min(x, c)) differs from GELU(x) by at most c · (1 − Φ(c)): 1.3e−4 at 4"""
MOST_OVERFLOW = 1 / 32
"""of a group's hidden neurons may have a side path"""


def choose_plan(encoder: Encoder, seen: Mapping[str, Observation]) -> Plan:
    """`seen`: observations of the plain graph's tensors, by name."""
    blocks = _blocks(encoder)
    norms = [f"layer.{i}.{part}" for i in range(len(encoder.layers)) for part in ("attention", "feed_forward")]
    norms.insert(0, "embeddings")
    inverse = np.array([np.mean(seen[f"{n}.inverse_deviation"].sample() ** 2) for n in norms])
    centred, normalised = (np.stack([_extent(seen[f"{n}.{t}"]) for n in norms]) for t in ("centred", "normalised"))
    tiers = _choose_tiers(np.sqrt(inverse)[:, None] * centred, normalised, blocks)
    factors = dict(zip(norms, _factors(normalised, tiers), strict=True))
    layers = []
    for i, layer in enumerate(encoder.layers):
        name = f"layer.{i}"
        layers.append(
            LayerPlan(
                query_key_balance=_balance(seen[f"{name}.attention.key"], seen[f"{name}.attention.query"]),
                value_balance=_flatten(seen[f"{name}.attention.value"]),
                hidden=_choose_ceilings(encoder, layer, f"{name}.feed_forward.hidden", seen),
                attention_factors=factors[f"{name}.attention"],
                output_factors=factors[f"{name}.feed_forward"],
            )
        )
    return Plan(tiers, factors["embeddings"], tuple(layers))


def _blocks(encoder: Encoder) -> int:
    """The least number of blocks that every layer reading the residual stream cuts it into a whole number of."""
    readers = [(layer.query, layer.key, layer.value, layer.intermediate) for layer in encoder.layers]
    return math.lcm(*(linear.groups for layer in readers for linear in layer))


def _extent(seen: Observation) -> Array:
    """[channels] largest absolute value."""
    assert seen.channel_low is not None and seen.channel_high is not None
    return np.maximum(np.abs(seen.channel_low), np.abs(seen.channel_high))


def _choose_tiers(centred: Array, normalised: Array, blocks: int) -> tuple[NDArray[np.int64], ...]:
    """Which channels to take out, in at most two tiers of similar range.

    Args:
        centred, normalised: [norms, channels] largest absolute values, `centred` in units of the usual deviation.
        blocks: as many channels must be chosen from each block.

    Returns:
        Ascending channels of each tier.
    """
    standing_out = (centred / np.median(centred, axis=1, keepdims=True)) ** 2
    standing_out += (normalised / np.median(normalised, axis=1, keepdims=True)) ** 2
    size = centred.shape[1] // blocks
    order = np.argsort(-standing_out.sum(axis=0).reshape(blocks, size), axis=1, kind="stable")
    order += np.arange(blocks)[:, None] * size

    def noise(*parts: NDArray[np.int64]) -> float:
        """Of rounding, in all channels of all norms: proportional to each tensor's squared range."""
        main = normalised[:, parts[0]].max(axis=1)
        total = 0.0
        for part in (p for p in parts if p.size):
            n = np.maximum(normalised[:, part.ravel()].max(axis=1), main) if part is not parts[0] else main
            # branch, residual, sum and centred value are rounded on the range of `centred`, the result on its own
            total += float((part.size * (4 * centred[:, part.ravel()].max(axis=1) ** 2 + n**2)).sum())
        return math.log(total)

    best: tuple[float, tuple[NDArray[np.int64], ...]] = (math.inf, ())
    for giants in range(min(MOST_GIANTS, size - 1) + 1):
        for others in range(min(MOST_OUTLIERS, size - 1 - giants) + 1):
            parts = np.split(order, [giants, giants + others], axis=1)
            tiers = tuple(np.sort(p.ravel()) for p in parts[:2] if p.size)
            cost = noise(parts[2].ravel(), *tiers) + len(tiers) * COST_OF_TIER + (giants + others) * COST_OF_CHANNEL
            if cost < best[0]:
                best = (cost, tiers)
    return best[1]


def _factors(normalised: Array, tiers: tuple[NDArray[np.int64], ...]) -> list[tuple[float, ...]]:
    """normalised [norms, channels] → for each norm what brings each tier to the others' range."""
    others = np.delete(normalised, np.concatenate([np.empty(0, np.int64), *tiers]), axis=1).max(axis=1)
    return [tuple(_rounded(normalised[i, tier].max() / others[i]) for tier in tiers) for i in range(len(normalised))]


def _balance(key: Observation, query: Observation) -> NDArray[np.int64]:
    k, q = _extent(key), _extent(query)
    floor = 1e-4 * max(float(k.max()), float(q.max()), 1e-30)
    return _steps(np.sqrt(np.maximum(k, floor) / np.maximum(q, floor)))


def _flatten(value: Observation) -> NDArray[np.int64]:
    """Half-way (on a scale of factors) to values of equal range: the rest would coarsen the output layer's weights."""
    extent = _extent(value)
    extent = np.maximum(extent, 1e-3 * max(float(extent.max()), 1e-30))
    return _steps(np.sqrt(extent / np.exp(np.log(extent).mean())))


def _steps(balance: Array) -> NDArray[np.int64]:
    steps: NDArray[np.int64] = np.rint(np.log2(balance) * STEPS_PER_OCTAVE).astype(np.int64)
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
