"""Runs the integer graph in NumPy: what the file will compute, to within the rounding of a kernel.

Each operator is computed in real numbers from operands on their integers' grids, and its result is put on a grid again.
Where the integer graph counts and looks up, the same counts and tables are used. Kernels round products of scales to
fixed-point numbers, each in its own way, so a result may differ by one step here and there; the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter import softmax
from converter.deviation import Lookup
from converter.execution import Evaluation, Execution, Observer
from converter.graph import Graph, Op, Operator, Tensor
from converter.integer import HIGHEST, IntegerGraph, IntegerTensor, Quantisation
from converter.network import Array
from converter.quantisation import Ranges

ON_GRID = frozenset({Op.GATHER, Op.SPLIT, Op.CONCAT, Op.RESHAPE, Op.TRANSPOSE, Op.FIRST, Op.ROW_MAXIMUM, Op.RELU})
"""their results are on the grid that their operands were put on"""


class Simulation:
    """The integer graph that `quantise(graph, ranges)` gave."""

    def __init__(self, graph: Graph, ranges: Ranges, integers: IntegerGraph) -> None:
        named = {t.name: t for o in integers.operators for t in (*o.inputs, *o.outputs)}
        self.scales = {
            t: q for t in graph.tensors() if t.name in named and (q := named[t.name].quantisation) is not None
        }
        self._lookups: dict[Operator, Lookup] = {}
        self._tables = softmax.tables(graph.longest)
        constants: dict[Tensor, NDArray[Any]] = {}
        for operator in graph.operators:
            if operator.op in (Op.LINEAR, Op.CHANNEL_AFFINE):
                x, weight, bias = operator.inputs
                constants[weight], constants[bias] = real_weight_and_bias(
                    named[weight.name], named[bias.name], self.scales[x]
                )
            elif operator.op is Op.INVERSE_DEVIATION:
                self._lookups[operator] = lookup_of(graph, operator, ranges, self.scales)
            for tensor in operator.inputs:
                if tensor.constant is not None and tensor not in constants:
                    constants[tensor] = on_grid(tensor.constant, self.scales[tensor])
        self._execution = Execution(graph, constants)
        self._evaluate: dict[Op, Evaluation] = {
            Op.INVERSE_DEVIATION: self._inverse_deviation,
            Op.ROW_NORMALISER: self._row_normaliser,
        }

    def run(self, inputs: Mapping[str, NDArray[np.int32]], observe: Observer | None = None) -> dict[str, Array]:
        """As `Execution.run`, every value being one that the integers can say."""
        return self._execution.run(inputs, observe, self._evaluate, self._put_on_grid)

    def compute(self, operator: Operator, operands: Sequence[NDArray[Any] | None]) -> list[Array]:
        """What one operator gives; its constants are the graph's, whatever stands in their places."""
        results = self._execution.compute(operator, operands, self._evaluate)
        pairs = zip(operator.outputs, results, strict=True)
        return [self._put_on_grid(operator, t, r) if r.dtype == np.float32 else r for t, r in pairs]

    def _put_on_grid(self, operator: Operator, tensor: Tensor, value: Array) -> Array:
        return value if operator.op in ON_GRID else on_grid(value, self.scales[tensor])

    def _inverse_deviation(self, operator: Operator, *centred: Array) -> tuple[Array, ...]:
        scales = [self.scales[t].scale[0] for t in operator.inputs]
        whole = [np.rint(x.astype(np.float64) / s) for x, s in zip(centred, scales, strict=True)]
        inverse = self._lookups[operator](whole)
        factors = (1.0, *operator.attributes["factors"])  # type: ignore[misc]
        return tuple((inverse / f).astype(np.float32) for f in factors)

    def _row_normaliser(self, _: Operator, x: Array, __: NDArray[np.int32]) -> tuple[Array, Array]:
        divisor, power, rest = self._tables
        sums = np.rint(x * softmax.STEPS).sum(axis=-1, keepdims=True)
        index = sums.astype(np.int64) // divisor
        return power[index], rest[index]


def real_weight_and_bias(weight: IntegerTensor, bias: IntegerTensor, x: Quantisation) -> tuple[Array, Array]:
    """What the integers of a linear layer stand for, the weight as [out, in] or [channels]."""
    assert weight.quantisation is not None and weight.data is not None and bias.data is not None
    scale = weight.quantisation.scale.astype(np.float64)
    rows = weight.data.reshape(len(scale), -1) if weight.quantisation.axis == 0 else weight.data.reshape(-1, 1)
    real = (rows * scale[:, None]).astype(np.float32)
    offset = (bias.data * (scale * float(x.scale[0]))).astype(np.float32)
    return real if weight.quantisation.axis == 0 else real[:, 0], offset


def lookup_of(graph: Graph, operator: Operator, ranges: Ranges, scales: Mapping[Tensor, Quantisation]) -> Lookup:
    """The table that an INVERSE_DEVIATION reads."""
    r = ranges[graph.representative(operator.outputs[0])]
    count, epsilon, units = (operator.attributes[name] for name in ("count", "epsilon", "units"))
    assert isinstance(count, int) and isinstance(epsilon, float) and isinstance(units, tuple)
    pairs = zip(operator.inputs, units, strict=True)
    centred = [(float(scales[t].scale[0]) * unit, t.shape[-1]) for t, unit in pairs]
    return Lookup.of(centred, low=r.low, high=r.high, count=count, epsilon=epsilon)


def on_grid(values: NDArray[Any], q: Quantisation) -> Array:
    """The nearest that an int8 tensor with one scale can hold."""
    scale = q.scale[0]
    whole = np.rint(values / scale)
    np.clip(whole, q.lowest - q.zero_point, HIGHEST - q.zero_point, out=whole)
    real: Array = (whole * scale).astype(np.float32, copy=False)
    return real
