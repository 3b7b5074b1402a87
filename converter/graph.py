"""Operators and tensors: one description that is executed in float32 (`execution`) and written in int8
(`quantisation`).

A graph holds float32 constants and says of every tensor *how* it will be quantised, never with which numbers: those
come from calibration. Activations are `[1, S, 1, channels]`, S being the sequence's length: in that layout a token
is a batch for BATCH_MATMUL, a pixel for DEPTHWISE_CONV_2D and a row for everything else, so that nothing has to be
reshaped in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from converter.network import Array

S = -1
"""The dimension that is the sequence's length."""


class Op(Enum):
    GATHER = "gather"
    """(table [n, C], indices) → table rows; attribute none"""
    LINEAR = "linear"
    """(x [..., in], weight [out, in], bias [out]) → [..., out]; `ceiling` cuts the result, `limits` are a least
    and a most for each channel, `relu` floors it at 0"""
    ADD = "add"
    SUBTRACT = "subtract"
    MULTIPLY = "multiply"
    CHANNEL_AFFINE = "channel_affine"
    """(x [1, S, 1, C], weight [C], bias [C]) → weight · x + bias, each channel with a scale of its own"""
    CHANNEL_FACTORS = "channel_factors"
    """(x [1, S, 1, C or 1], factors [C]) → x · factors [1, S, 1, C], the factors having one scale"""
    MEAN = "mean"
    """mean over `axis`, kept as a dimension of 1"""
    INVERSE_DEVIATION = "inverse_deviation"
    """(centred [1, S, 1, C], centred outliers …) → 1 / √(Σ squares / `count` + `epsilon`) [1, S, 1, 1], and for each
    tensor of outliers that number divided by one of `factors`; each input has been divided by one of `units`"""
    MATMUL = "matmul"
    """(a [..., m, k], b [..., n, k]) → a · bᵀ"""
    ROW_MAXIMUM = "row_maximum"
    """of the last dimension, kept as 1"""
    EXPONENTIAL = "exponential"
    """of x ≤ 0"""
    ROW_NORMALISER = "row_normaliser"
    """(shares [..., S] of which the largest is 1, positions) → 1 / their sum, as two factors [..., 1]: a power of two,
    and a number from ½ to 1 (smaller only where the sum is above 256)"""
    GELU = "gelu"
    """`approximate`: the tanh form"""
    TANH = "tanh"
    RELU = "relu"
    SPLIT = "split"
    """equal parts of the last dimension"""
    CONCAT = "concat"
    """along the last dimension"""
    RESHAPE = "reshape"
    TRANSPOSE = "transpose"
    """`permutation`"""
    FIRST = "first"
    """x [1, S, 1, C] → x of token 0, [1, 1, 1, C]"""


class Rule(Enum):
    """How a tensor's scale and zero point come about."""

    ASYMMETRIC = "asymmetric"
    """from its calibrated range"""
    SYMMETRIC = "symmetric"
    """from its calibrated range, zero point 0"""
    CLAMPED = "clamped"
    """−1 … 1, zero point 0: the operator that makes it cuts what lies beyond to −127 or 127, so it is never −128"""
    SHARE = "share"
    """0 … 1"""
    POWER_OF_TWO = "power_of_two"
    """1, ½ … 1/128, all of them exact"""
    NOT_POSITIVE = "not_positive"
    """≤ 0 on the scale of what it is the difference of"""
    UNIT = "unit"
    """−1 … 127/128, as TANH demands"""
    TABLE = "table"
    """a constant with one scale: GATHER allows no more"""
    CHANNELS = "channels"
    """a constant with a scale for each entry of its first dimension"""
    FACTORS = "factors"
    """a constant with one scale, zero point 0, of which nothing is cut"""
    BIAS = "bias"
    """an int32 constant whose scales are those of the product it is added to"""
    INDEX = "index"
    """int32 as it is"""


@dataclass(eq=False)
class Tensor:
    name: str
    shape: tuple[int, ...]
    rule: Rule
    constant: NDArray[np.float32] | NDArray[np.int32] | None = None
    bounds: tuple[float, float] = (-np.inf, np.inf)
    """what lies beyond makes no difference to the result: quantisation may cut there"""
    whole: bool = False
    """nothing of it may be cut"""
    copies: NDArray[np.int64] | None = None
    """[in] of a weight: columns for which it says the same belong to copies of one number; None: there are no copies"""

    def __repr__(self) -> str:
        return f"{self.name}{list(self.shape)}"


Attribute = int | float | bool | tuple[int, ...] | tuple[float, ...] | None


@dataclass(eq=False)
class Operator:
    op: Op
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    attributes: dict[str, Attribute] = field(default_factory=dict)


WIDEST_FACTORS = 2.0
"""of the largest factor to the smallest: half a step of the largest is then 0.8 % of the smallest at most. At 8 a
channel planted 100 times as large as the others costs 0.012 of the cosine; at 3, nothing."""


def alike(factors: Array) -> bool:
    """Whether eight bits on one scale are enough for factors [C].

    A small one counts as much as a large one: it may be what brings a channel that stands out down to the others. Of
    those that are 0 nothing is lost. Of factors in training (`train.traced`) what counts is their values now.
    """
    values = getattr(factors, "values", factors)
    sizes = np.abs(values[values != 0])
    return not len(sizes) or bool(sizes.max() <= WIDEST_FACTORS * sizes.min())


class Graph:
    """Operators in the order of execution. The methods named after operators append one and return its result."""

    def __init__(self, longest: int = 512) -> None:
        self.longest = longest
        """tokens of a sequence"""
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.operators: list[Operator] = []
        self._shared: dict[Tensor, Tensor] = {}
        self._names: set[str] = set()

    # -- tensors

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        rule: Rule = Rule.ASYMMETRIC,
        constant: NDArray[np.float32] | NDArray[np.int32] | None = None,
        bounds: tuple[float, float] = (-np.inf, np.inf),
    ) -> Tensor:
        if name in self._names:
            raise ValueError(f"two tensors named {name}")
        self._names.add(name)
        return Tensor(name, tuple(shape), rule, constant, bounds)

    def constant(self, name: str, value: Array, rule: Rule) -> Tensor:
        # what stands in for an array where a graph is trained (converter.train.traced) stays what it is
        if isinstance(value, np.ndarray):
            value = np.ascontiguousarray(value, np.float32)
        return self.tensor(name, value.shape, rule, value)

    def input(self, name: str) -> Tensor:
        """An int32 input `[1, S]`."""
        tensor = self.tensor(name, (1, S), Rule.INDEX)
        self.inputs.append(tensor)
        return tensor

    def share(self, *tensors: Tensor) -> None:
        """Let all of them have one scale and zero point, as SPLIT, CONCATENATION and the like demand."""
        first = self.representative(tensors[0])
        for tensor in tensors[1:]:
            other = self.representative(tensor)
            if other is not first:
                self._shared[other] = first

    def representative(self, tensor: Tensor) -> Tensor:
        """The one of the tensors sharing a scale with `tensor` that stands for all of them."""
        while tensor in self._shared:
            tensor = self._shared[tensor]
        return tensor

    def tensors(self) -> Iterable[Tensor]:
        """Every tensor once, in the order of first use."""
        seen: dict[Tensor, None] = dict.fromkeys(self.inputs)
        for operator in self.operators:
            seen.update(dict.fromkeys((*operator.inputs, *operator.outputs)))
        return seen

    def append(self, op: Op, inputs: Sequence[Tensor], outputs: Sequence[Tensor], **attributes: Attribute) -> None:
        self.operators.append(Operator(op, tuple(inputs), tuple(outputs), attributes))

    # -- operators

    def gather(self, name: str, table: Array, indices: Tensor) -> Tensor:
        """Rows of `table` [n, C] at `indices` [1, S, 1] → [1, S, 1, C]."""
        rows = self.constant(f"{name}.table", table, Rule.TABLE)
        out = self.tensor(name, (*indices.shape, table.shape[1]))
        self.share(rows, out)
        self.append(Op.GATHER, (rows, indices), (out,))
        return out

    def linear(
        self,
        name: str,
        x: Tensor,
        weight: Array,
        bias: Array,
        *,
        rule: Rule = Rule.ASYMMETRIC,
        ceiling: float | None = None,
        limits: tuple[Sequence[float], Sequence[float]] | None = None,
        relu: bool = False,
        copies: NDArray[np.int64] | None = None,
    ) -> Tensor:
        """`limits`: of each row's results from below and from above, ±∞ for none; `copies`: see `Tensor`."""
        w = self.constant(f"{name}.weight", weight, Rule.CHANNELS)
        w.copies = copies
        b = self.constant(f"{name}.bias", bias, Rule.BIAS)
        bounds = (0.0 if relu else -np.inf, np.inf if ceiling is None else ceiling)
        out = self.tensor(name, (*x.shape[:-1], weight.shape[0]), rule, bounds=bounds)
        lows, highs = (None, None) if limits is None else (tuple(each) for each in limits)
        self.append(Op.LINEAR, (x, w, b), (out,), ceiling=ceiling, lows=lows, highs=highs, relu=relu)
        return out

    def binary(self, op: Op, name: str, a: Tensor, b: Tensor, rule: Rule = Rule.ASYMMETRIC) -> Tensor:
        """`a` and `b` of one shape, or `b` with last dimension 1."""
        out = self.tensor(name, a.shape, rule)
        self.append(op, (a, b), (out,))
        return out

    def channel_affine(self, name: str, x: Tensor, weight: Array, bias: Array, rule: Rule = Rule.ASYMMETRIC) -> Tensor:
        w = self.constant(f"{name}.weight", weight, Rule.CHANNELS)
        b = self.constant(f"{name}.bias", bias, Rule.BIAS)
        out = self.tensor(name, x.shape, rule)
        self.append(Op.CHANNEL_AFFINE, (x, w, b), (out,))
        return out

    def channel_factors(
        self, name: str, x: Tensor, factors: Array, rule: Rule = Rule.ASYMMETRIC, *, coarse: bool = False
    ) -> Tensor:
        """x [1, S, 1, C or 1] times factors [C].

        Factors that are alike share a scale, for a third less than with one each. Others would lose their precision to
        the largest, which matters not where it is said that they may be `coarse`: off by half a step of the largest.
        """
        if not (coarse or alike(factors)):
            bias = np.zeros_like(factors)
            if x.shape[-1] == 1:
                return self.linear(name, x, factors[:, None], bias, rule=rule)
            return self.channel_affine(name, x, factors, bias, rule)
        w = self.constant(f"{name}.factors", factors, Rule.FACTORS)
        out = self.tensor(name, (*x.shape[:-1], factors.shape[0]), rule)
        self.append(Op.CHANNEL_FACTORS, (x, w), (out,))
        return out

    def mean(self, name: str, x: Tensor, axis: int) -> Tensor:
        shape = list(x.shape)
        shape[axis] = 1
        out = self.tensor(name, shape)
        self.append(Op.MEAN, (x,), (out,), axis=axis)
        return out

    def inverse_deviation(
        self,
        name: str,
        centred: Tensor,
        outliers: Sequence[Tensor],
        *,
        count: int,
        epsilon: float,
        factors: Sequence[float],
        unit: float = 1.0,
    ) -> list[Tensor]:
        """→ the inverse deviation to multiply `centred` by, and one for each of the first `outliers` by its factor.

        Outliers beyond the factors only count in the variance. `centred` holds its channels divided by `unit`.
        """
        shape = (*centred.shape[:-1], 1)
        outs = [self.tensor(name, shape)] + [self.tensor(f"{name}.aside.{i}", shape) for i in range(len(factors))]
        attributes: dict[str, Attribute] = {"count": count, "epsilon": epsilon, "factors": tuple(factors)}
        attributes["units"] = (unit, *(1.0 for _ in outliers))
        self.append(Op.INVERSE_DEVIATION, [centred, *outliers], outs, **attributes)
        return outs

    def matmul(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        out = self.tensor(name, (*a.shape[:-1], b.shape[-2]))
        self.append(Op.MATMUL, (a, b), (out,))
        return out

    def softmax(self, name: str, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """→ eˣ of each row, divided to a sum of at most `softmax.LARGEST_SUM`, and the factor [..., 1] that is missing.

        `positions` is the input of that name: where the integers' sums take their length from.
        """
        column = (*x.shape[:-1], 1)
        largest = self.tensor(f"{name}.largest", column)
        self.share(x, largest)
        self.append(Op.ROW_MAXIMUM, (x,), (largest,))
        difference = self.binary(Op.SUBTRACT, f"{name}.difference", x, largest, Rule.NOT_POSITIVE)
        power = self.tensor(f"{name}.exponential", x.shape, Rule.SHARE)
        self.append(Op.EXPONENTIAL, (difference,), (power,))
        shift = self.tensor(f"{name}.shift", column, Rule.POWER_OF_TWO)
        rest = self.tensor(f"{name}.rest", column, Rule.SHARE)
        self.append(Op.ROW_NORMALISER, (power, positions), (shift, rest))
        return self.binary(Op.MULTIPLY, name, power, shift, Rule.SHARE), rest

    def activation(self, kind: str, name: str, x: Tensor) -> Tensor:
        """`kind`: gelu, gelu_new (the tanh form), tanh or relu."""
        if kind in ("gelu", "gelu_new"):
            # GELU(−5) is −1.4e−6: nothing below matters (and a cut at −4 would cost 1.3e−4 at most)
            self._bound(x, -5.0, np.inf)
            out = self.tensor(name, x.shape)
            self.append(Op.GELU, (x,), (out,), approximate=kind == "gelu_new")
        elif kind == "tanh":
            self._bound(x, -4.0, 4.0)
            out = self.tensor(name, x.shape, Rule.UNIT)
            self.append(Op.TANH, (x,), (out,))
        elif kind == "relu":
            self._bound(x, 0.0, np.inf)
            out = self.tensor(name, x.shape)
            self.append(Op.RELU, (x,), (out,))
        else:
            raise ValueError(f"unknown activation {kind}")
        return out

    def _bound(self, x: Tensor, low: float, high: float) -> None:
        """Let quantisation cut `x`, and what it was put together from, at `low` and `high`."""
        x.bounds = (max(x.bounds[0], low), min(x.bounds[1], high))
        made_by = next((o for o in reversed(self.operators) if x in o.outputs), None)
        if made_by is not None and made_by.op is Op.CONCAT:
            for part in made_by.inputs:
                self._bound(part, low, high)

    def split(self, name: str, x: Tensor, parts: int) -> list[Tensor]:
        if parts == 1:
            return [x]
        shape = (*x.shape[:-1], x.shape[-1] // parts)
        outs = [self.tensor(f"{name}.{i}", shape, x.rule) for i in range(parts)]
        self.share(x, *outs)
        self.append(Op.SPLIT, (x,), outs)
        return outs

    def concat(self, name: str, parts: Sequence[Tensor]) -> Tensor:
        if len(parts) == 1:
            return parts[0]
        bounds = (min(p.bounds[0] for p in parts), max(p.bounds[1] for p in parts))
        out = self.tensor(name, (*parts[0].shape[:-1], sum(p.shape[-1] for p in parts)), parts[0].rule, bounds=bounds)
        self.share(out, *parts)
        self.append(Op.CONCAT, parts, (out,))
        return out

    def reshape(self, name: str, x: Tensor, shape: Sequence[int]) -> Tensor:
        out = self.tensor(name, shape, x.rule)
        self.share(x, out)
        self.append(Op.RESHAPE, (x,), (out,))
        return out

    def transpose(self, name: str, x: Tensor, permutation: tuple[int, ...]) -> Tensor:
        out = self.tensor(name, [x.shape[i] for i in permutation], x.rule)
        self.share(x, out)
        self.append(Op.TRANSPOSE, (x,), (out,), permutation=permutation)
        return out

    def first(self, name: str, x: Tensor) -> Tensor:
        out = self.tensor(name, (1, 1, 1, x.shape[-1]), x.rule)
        self.share(x, out)
        self.append(Op.FIRST, (x,), (out,))
        return out
