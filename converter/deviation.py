"""1 / √variance of every token in integers, exactly enough that it costs no accuracy.

The variance of a token's channels spans a factor of 300 over tokens, more than one 8-bit scale can hold. So:

1. BATCH_MATMUL of each row with itself: the sum of squares, exact in int32.
2. MINIMUM and FLOOR_DIV by a fine step for ordinary tokens and coarser ones above, each up to a cap. SUM of these
   counts up without a gap, in steps that grow with the variance: an index.
3. GATHER from a table that holds the inverse square root for each index.

Every tensor after the first step has a few numbers per token, so all this costs a few microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from converter import exact
from converter.integer import IntegerTensor, Quantisation

STEPS = 48
"""steps below the smallest sum of squares of each stretch: it is never off by more than half of 1 / 48, its root by
0.5 %"""
SPREAD = 16.0
"""largest factor between the ends of a stretch; a table has at most STEPS × SPREAD entries for each"""
MOST_STRETCHES = 6
ROUNDABLE = 64
"""a weight so large may be rounded: that is off by less than 1 %"""
LARGEST = 2.0**31 - 1
"""of an int32"""
MARGIN = 2.0
"""how far beyond the calibrated sums of squares the table reaches"""


class Emit(Protocol):
    def __call__(
        self, code: str, inputs: list[IntegerTensor], outputs: list[IntegerTensor], **options: int | float | bool
    ) -> None: ...


@dataclass(frozen=True)
class Index:
    """Sum of squares → Σ min(sum, cap) // step, all integers."""

    caps: NDArray[np.int64]
    steps: NDArray[np.int64]

    @classmethod
    def spanning(cls, least: float, most: float) -> Index:
        """For sums from `least` to `most` with some margin beyond both."""
        most = min(max(most * MARGIN, STEPS), LARGEST)
        least = max(least / MARGIN, most / SPREAD**MOST_STRETCHES, 1.0)
        stretches = 1
        while SPREAD**stretches < most / least:
            stretches += 1
        logarithm = exact.logarithm(np.array(most / least))
        ends = least * exact.exponential(logarithm * (np.arange(stretches + 1) / stretches))
        ends[-1] = most
        return cls(ends[1:].astype(np.int64), np.maximum(1, (ends[:-1] / STEPS).astype(np.int64)))

    def __call__(self, sums: NDArray[np.int64]) -> NDArray[np.int64]:
        index: NDArray[np.int64] = (np.minimum(sums[..., None], self.caps) // self.steps).sum(axis=-1)
        return index

    def table(self) -> NDArray[np.float64]:
        """[largest index + 1] the middle of the sums that lead to each index."""
        edges = [np.arange(0, cap + step, step) for cap, step in zip(self.caps, self.steps, strict=True)]
        starts = np.unique(np.concatenate([*edges, self.caps]))
        starts = starts[starts <= self.caps[-1]]
        ends = np.append(starts[1:], starts[-1] + 1)
        index = self(starts)
        low, high = np.full(index[-1] + 1, np.inf), np.zeros(index[-1] + 1)
        np.minimum.at(low, index, starts)
        np.maximum.at(high, index, ends)
        known = np.flatnonzero(np.isfinite(low))
        middle = (low[known] + high[known]) / 2
        places = np.arange(len(low))
        right = np.minimum(np.searchsorted(known, places), len(known) - 1)
        left = np.maximum(right - 1, 0)
        share = np.clip((places - known[left]) / np.maximum(known[right] - known[left], 1), 0, 1)
        table: NDArray[np.float64] = middle[left] + share * (middle[right] - middle[left])
        return table


@dataclass(frozen=True)
class Lookup:
    """From centred integers to the inverse deviation of their token."""

    weights: tuple[int, ...]
    """what the sum of squares of each input counts …"""
    divisor: int
    """… before it is divided by this"""
    index: Index
    inverse: NDArray[np.float64]
    """[largest index + 1]"""

    @classmethod
    def of(cls, centred: Sequence[tuple[float, int]], *, low: float, high: float, count: int, epsilon: float) -> Lookup:
        """`centred`: scale and width of each input, the squares of the scales whole multiples of the first's;
        low, high: calibrated range of the inverse deviation.
        """
        unit = centred[0][0] * centred[0][0]
        weights = tuple(round(scale * scale / unit) for scale, _ in centred)
        # squares are at most 128², and their weighted sum must stay below 2³¹
        divisor = sum(width * 128 * 128 * w for (_, width), w in zip(centred, weights, strict=True)) // 2**31 + 1
        unit *= divisor
        index = Index.spanning(*(count * (1 / (r * r) - epsilon) / unit for r in (high, low)))
        return cls(weights, divisor, index, 1 / np.sqrt(index.table() * unit / count + epsilon))

    def is_rounded(self, part: int) -> bool:
        """Whether the input's weight is divided and rounded, rather than its sum."""
        return self.weights[part] >= ROUNDABLE * self.divisor

    def factor(self, part: int) -> int:
        return round(self.weights[part] / self.divisor) if self.is_rounded(part) else self.weights[part]

    def __call__(self, centred: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """The integers [..., C] of each input → [..., 1]."""
        total = np.zeros((*centred[0].shape[:-1], 1), np.int64)
        for i, x in enumerate(centred):
            # sums of squared integers are exact in float64
            squares = np.square(x).sum(axis=-1, keepdims=True).astype(np.int64) * self.factor(i)
            total += squares if self.divisor == 1 or self.is_rounded(i) else squares // self.divisor
        result: NDArray[np.float64] = self.inverse[self.index(total[..., 0])][..., None]
        return result


def lower(
    emit: Emit,
    inputs: list[IntegerTensor],
    outputs: list[IntegerTensor],
    *,
    low: float,
    high: float,
    count: int,
    epsilon: float,
    factors: Sequence[float],
    units: Sequence[float],
) -> None:
    """Emit the operators for INVERSE_DEVIATION.

    Args:
        emit: appends one operator.
        inputs: centred values [1, S, 1, C], zero point 0; then those of outlier channels, the squares of whose
            steps are whole multiples of the first's.
        outputs: int8 [1, S, 1, 1]: the inverse deviation, and for each tensor of outliers the same divided by its
            factor.
        low, high: calibrated range of the inverse deviation.
        count: number of channels.
        epsilon: added to the variance.
        factors: one for each tensor of outliers.
        units: what each of the inputs has been divided by.
    """
    build = _Builder(emit, outputs[0].name)
    centred = [(_scale(x) * unit, x.shape[-1]) for x, unit in zip(inputs, units, strict=True)]
    lookup = Lookup.of(centred, low=low, high=high, count=count, epsilon=epsilon)
    squares = _sum_of_squares(build, inputs, lookup)
    stretches = len(lookup.index.caps)
    capped = build.apply("MINIMUM", "capped", squares, build.integers("caps", *lookup.index.caps), stretches)
    index = build.apply("FLOOR_DIV", "index", capped, build.integers("steps", *lookup.index.steps), stretches)
    if stretches > 1:
        index = build.apply("SUM", "index.total", index, build.integers("index.axis", 3))
    for out, factor in zip(outputs, (1.0, *factors), strict=True):
        q = _quantisation(out)
        table = np.clip(np.rint(lookup.inverse / factor / q.scale[0]) + q.zero_point, -128, 127).astype(np.int8)
        emit("GATHER", [IntegerTensor(f"{out.name}.table", table.shape, "int8", q, table), index], [out])


@dataclass(frozen=True)
class _Builder:
    """Appends operators on int32 tensors with few numbers per token."""

    emit: Emit
    name: str

    def integers(self, suffix: str, *values: int) -> IntegerTensor:
        return IntegerTensor(f"{self.name}.{suffix}", (len(values),), "int32", None, np.array(values, np.int32))

    def apply(self, code: str, suffix: str, a: IntegerTensor, b: IntegerTensor, width: int = 1) -> IntegerTensor:
        out = IntegerTensor(f"{self.name}.{suffix}", (*a.shape[:-1], width), "int32")
        options = {"BATCH_MATMUL": {"adjY": True}, "SUM": {"keepDims": True}}.get(code, {})
        self.emit(code, [a, b], [out], **options)
        return out


def _sum_of_squares(build: _Builder, inputs: list[IntegerTensor], lookup: Lookup) -> IntegerTensor:
    """→ int32 [1, S, 1, 1] over the channels of all inputs."""
    parts = []
    for i, x in enumerate(inputs):
        name = f"squares.{i}"
        part = build.apply("BATCH_MATMUL", name, x, x)
        if lookup.factor(i) > 1:
            part = build.apply("MUL", f"{name}.weighted", part, build.integers(f"{name}.weight", lookup.factor(i)))
        if lookup.divisor > 1 and not lookup.is_rounded(i):
            divisor = build.integers(f"{name}.divisor", lookup.divisor)
            part = build.apply("FLOOR_DIV", f"{name}.divided", part, divisor)
        parts.append(part)
    total = parts[0]
    for i, part in enumerate(parts[1:], 1):
        total = build.apply("ADD", f"squares.{i}.total", total, part)
    return total


def _quantisation(tensor: IntegerTensor) -> Quantisation:
    assert tensor.quantisation is not None
    return tensor.quantisation


def _scale(tensor: IntegerTensor) -> float:
    return float(_quantisation(tensor).scale[0])
