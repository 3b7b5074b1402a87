"""Softmax in integers from operators that XNNPACK runs: SOFTMAX itself is left to a kernel four times slower on x86.

e^(x − largest x) is ELU of a number ≤ 0, plus 1. The sum of a row of these integers is exact in int32. It is divided
out in two steps: by a power of two before the weights meet the values, so that what they make of them stays within one
range, and by what is left after it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.deviation import Emit
from converter.integer import IntegerTensor, Quantisation
from converter.network import Array

SHARE = Quantisation(np.array([1 / 255], np.float32), -128)
"""0 … 1"""
STEPS = 255
"""of SHARE in 1"""
SUMMAND = Quantisation(SHARE.scale, 0)
"""the same bytes less `BELOW`, for BATCH_MATMUL to sum up: with an int32 result some versions of it heed zero points
and others do not"""
BELOW = 128
"""steps"""
POWER_OF_TWO = Quantisation(np.array([1 / 128], np.float32), -128)
"""1, ½ … 1/128"""
LEAST_POWER = 1 / 128
LARGEST_SUM = 8.0
"""that a row's weights are left with, at least half of it where they had more.

With 1 in its place the weights of a row that attends to a hundred tokens alike would have two steps each. The larger it
is the coarser the result's steps: a row that attends to one token needs an eighth of the range that others do.
"""
LARGEST_TABLE = 1 << 17
"""entries; up to 514 tokens it is looked up with the sum itself"""


def normaliser(sums: NDArray[Any]) -> tuple[Array, Array]:
    """1 / sums, sums ≥ 1, as a power of two and the rest."""
    _, exponent = np.frexp(np.maximum(sums, 1) / LARGEST_SUM)
    power = np.clip(np.ldexp(1.0, -exponent), LEAST_POWER, 1)
    return power.astype(np.float32), (1 / sums / power).astype(np.float32)


def tables(longest: int) -> tuple[int, Array, Array]:
    """What a row's integer sum is divided by, and the normalisers for each such quotient; longest: tokens of a row."""
    divisor = -(-longest * STEPS // LARGEST_TABLE)
    sums = np.arange(longest * STEPS // divisor + 1) + (0.5 if divisor > 1 else 0.0)
    return divisor, *normaliser(np.maximum(sums * divisor / STEPS, 1).astype(np.float32))


def lower_exponential(emit: Emit, x: IntegerTensor, out: IntegerTensor) -> None:
    """eˣ for x ≤ 0 as ELU(x) + 1.

    The sum moves the zero point and no integer, so it is a BITCAST: the same bytes read on another scale. ADD would
    compute them again, an operator that XNNPACK has but that takes three times as long as copying.
    """
    elu = IntegerTensor(f"{out.name}.elu", x.shape, "int8", Quantisation(SHARE.scale, 127))
    emit("ELU", [x], [elu])
    emit("BITCAST", [elu], [out])


class RowNormaliser:
    """Lowers every ROW_NORMALISER of a graph; what they share is emitted once."""

    def __init__(self, emit: Emit, positions: IntegerTensor, longest: int) -> None:
        """`longest`: tokens of a sequence."""
        zero = IntegerTensor("softmax.zero", (1,), "int32", None, np.array([0], np.int32))
        zeros = IntegerTensor("softmax.zeros", positions.shape, "int32")
        emit("MINIMUM", [positions, zero], [zeros])
        one = IntegerTensor(
            "softmax.one", (1,), "int8", Quantisation(np.array([1], np.float32)), np.array([1], np.int8)
        )
        flat = IntegerTensor("softmax.ones.flat", positions.shape, "int8", one.quantisation)
        emit("GATHER", [one, zeros], [flat])
        shape = np.array([1, 1, -1], np.int32)
        self._ones = IntegerTensor("softmax.ones", (1, 1, -1), "int8", one.quantisation)
        emit("RESHAPE", [flat, IntegerTensor("softmax.ones.shape", (3,), "int32", None, shape)], [self._ones])
        length = IntegerTensor("softmax.length", (1, 1, 1), "int32")
        emit("BATCH_MATMUL", [self._ones, self._ones], [length], adjY=True)
        below = IntegerTensor("softmax.below", (1,), "int32", None, np.array([BELOW], np.int32))
        self._length = IntegerTensor("softmax.length.below", (1, 1, 1), "int32")
        emit("MUL", [length, below], [self._length])
        self._lengths: dict[tuple[int, ...], IntegerTensor] = {}
        self._divisor, power, rest = tables(longest)
        self._power, self._rest = _table("power", power, POWER_OF_TWO), _table("rest", rest, SHARE)

    def lower(self, emit: Emit, x: IntegerTensor, power: IntegerTensor, rest: IntegerTensor) -> None:
        """Shares x [..., S] → the normalisers [..., 1] of its rows."""
        summands = IntegerTensor(f"{power.name}.summands", x.shape, "int8", SUMMAND)
        emit("BITCAST", [x], [summands])
        sums = IntegerTensor(f"{power.name}.summands.sum", power.shape, "int32")
        emit("BATCH_MATMUL", [summands, self._ones], [sums], adjY=True)
        index = IntegerTensor(f"{power.name}.sum", power.shape, "int32")
        emit("ADD", [sums, self._length_of_each(emit, sums.shape)], [index])
        if self._divisor > 1:
            divisor = IntegerTensor(f"{power.name}.divisor", (1,), "int32", None, np.array([self._divisor], np.int32))
            thinned = IntegerTensor(f"{power.name}.index", power.shape, "int32")
            emit("FLOOR_DIV", [index, divisor], [thinned])
            index = thinned
        emit("GATHER", [self._power, index], [power])
        emit("GATHER", [self._rest, index], [rest])

    def _length_of_each(self, emit: Emit, shape: tuple[int, ...]) -> IntegerTensor:
        """The length, once for each row, for all layers together: TFLite's kernels spread a number over a tensor at
        seventy instructions an element, and add two tensors of one shape at three.
        """
        if shape not in self._lengths:
            rows, column = shape[0], np.array([1, -1, 1], np.int32)
            ones = IntegerTensor("softmax.ones.column", (1, -1, 1), "int8", self._ones.quantisation)
            column_shape = IntegerTensor("softmax.ones.column.shape", (3,), "int32", None, column)
            emit("RESHAPE", [self._ones, column_shape], [ones])
            nothing = np.zeros((rows, 1, 1), np.int8)
            zero = IntegerTensor("softmax.zero.rows", nothing.shape, "int8", self._ones.quantisation, nothing)
            zeros = IntegerTensor("softmax.zeros.rows", shape, "int32")
            emit("BATCH_MATMUL", [ones, zero], [zeros], adjY=True)
            self._lengths[shape] = IntegerTensor("softmax.lengths", shape, "int32")
            emit("ADD", [zeros, self._length], [self._lengths[shape]])
        return self._lengths[shape]


def _table(name: str, values: NDArray[np.float32], q: Quantisation) -> IntegerTensor:
    integers = np.clip(np.rint(values / q.scale[0]) + q.zero_point, -128, 127).astype(np.int8)
    return IntegerTensor(f"softmax.{name}", integers.shape, "int8", q, integers)
