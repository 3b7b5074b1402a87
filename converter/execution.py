"""Executes a graph in float32 with NumPy: the reference for accuracy and the source of calibration statistics.

The same bits on every machine (`exact`), because a conversion's decisions follow from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter import exact
from converter.graph import Graph, Op, Operator, Tensor
from converter.network import Array
from converter.softmax import normaliser

Observer = Callable[[Tensor, Array], None]
Rounding = Callable[[Operator, Tensor, Array], Array]


class Execution:
    """A graph made ready to be run many times."""

    def __init__(
        self,
        graph: Graph,
        constants: Mapping[Tensor, NDArray[Any]] | None = None,
        weights: Callable[[NDArray[Any]], NDArray[Any]] = exact.rows,
    ) -> None:
        """`constants`: values that take the place of the graph's own; `weights`: what linear layers get theirs by."""
        given = constants or {}
        self._graph = graph
        self._constants: dict[Tensor, NDArray[Any]] = {}
        for operator in graph.operators:
            for place, tensor in enumerate(operator.inputs):
                if tensor.constant is not None:
                    value = given.get(tensor, tensor.constant)
                    is_weight = operator.op is Op.LINEAR and place == 1
                    self._constants[tensor] = weights(value) if is_weight else value
        self._last_use = {t: i for i, o in enumerate(graph.operators) for t in o.inputs}

    def run(
        self,
        inputs: Mapping[str, NDArray[np.int32]],
        observe: Observer | None = None,
        evaluate: Mapping[Op, Evaluation] | None = None,
        rounding: Rounding | None = None,
    ) -> dict[str, Array]:
        """Run one sequence.

        Args:
            inputs: `[1, S]` for each of the graph's inputs, by name.
            observe: called with every activation and its value as soon as it is known.
            evaluate: operators to be computed otherwise.
            rounding: gives what is put in the place of an activation.

        Returns:
            The outputs by name.
        """
        graph = self._graph
        values: dict[Tensor, NDArray[Any]] = {t: inputs[t.name] for t in graph.inputs}
        kept = set(graph.outputs)
        for index, operator in enumerate(graph.operators):
            results = self.compute(operator, [values.get(t) for t in operator.inputs], evaluate or {})
            for tensor, result in zip(operator.outputs, results, strict=True):
                value = result
                if value.dtype == np.float32:
                    if rounding is not None:
                        value = rounding(operator, tensor, value)
                    if observe is not None:
                        observe(tensor, value)
                values[tensor] = value
            for tensor in operator.inputs:
                if self._last_use[tensor] == index and tensor not in kept:
                    values.pop(tensor, None)
        return {t.name: values[t] for t in graph.outputs}

    def compute(
        self, operator: Operator, operands: Sequence[NDArray[Any] | None], evaluate: Mapping[Op, Evaluation]
    ) -> tuple[NDArray[Any], ...]:
        """What one operator gives; its constants are the graph's, whatever stands in their places."""
        pairs = zip(operator.inputs, operands, strict=True)
        arguments = [self._constants.get(t, operand) for t, operand in pairs]
        return evaluate.get(operator.op, _EVALUATE[operator.op])(operator, *arguments)


Evaluation = Callable[..., tuple[NDArray[Any], ...]]


def execute(graph: Graph, inputs: Mapping[str, NDArray[np.int32]], observe: Observer | None = None) -> dict[str, Array]:
    """Run `graph` on one sequence; `Execution` is quicker for many."""
    return Execution(graph).run(inputs, observe)


def _single(x: NDArray[Any]) -> tuple[Array]:
    return (x.astype(np.float32),)


def _gather(_: Operator, table: Array, indices: NDArray[np.int32]) -> tuple[Array]:
    return (table[indices],)


def _linear(operator: Operator, x: Array, weight: exact.Double, bias: Array) -> tuple[Array]:
    """`weight` as `exact.rows` gives it."""
    y = exact.product_of_rows(exact.rows(x.reshape(-1, x.shape[-1])), weight)
    y += bias
    ceiling = operator.attributes["ceiling"]
    if ceiling is not None:
        np.minimum(y, np.float64(ceiling), out=y)  # type: ignore[arg-type]
    lows, highs = operator.attributes["lows"], operator.attributes["highs"]
    if lows is not None and highs is not None:
        np.clip(y, lows, highs, out=y)
    if operator.attributes["relu"]:
        np.maximum(y, 0, out=y)
    return _single(y.reshape(*x.shape[:-1], -1))


def _inverse_deviation(operator: Operator, *centred: Array) -> tuple[Array, ...]:
    a = operator.attributes
    pairs = zip(centred, a["units"], strict=True)  # type: ignore[arg-type]
    squares = [exact.total(np.square(x, dtype=np.float64)) * (unit * unit) for x, unit in pairs]
    variance = sum(squares[1:], squares[0]) / a["count"] + a["epsilon"]  # type: ignore[operator]
    inverse = 1 / np.sqrt(variance)
    return tuple((inverse / f).astype(np.float32) for f in (1.0, *a["factors"]))  # type: ignore[misc]


def _row_normaliser(_: Operator, x: Array, __: NDArray[np.int32]) -> tuple[Array, Array]:
    return normaliser(exact.total(x))


def _gelu(operator: Operator, x: Array) -> tuple[Array]:
    return _single(exact.gelu(x, approximate=bool(operator.attributes["approximate"])))


def _mean(operator: Operator, x: Array) -> tuple[Array]:
    axis = operator.attributes["axis"]
    assert isinstance(axis, int)
    return _single(exact.mean(x, axis))


def _reshape(operator: Operator, x: NDArray[Any]) -> tuple[NDArray[Any]]:
    return (x.reshape(operator.outputs[0].shape),)


_EVALUATE: dict[Op, Evaluation] = {
    Op.GATHER: _gather,
    Op.LINEAR: _linear,
    Op.ADD: lambda _, a, b: (a + b,),
    Op.SUBTRACT: lambda _, a, b: (a - b,),
    Op.MULTIPLY: lambda _, a, b: (a * b,),
    Op.CHANNEL_AFFINE: lambda _, x, weight, bias: (x * weight + bias,),
    Op.CHANNEL_FACTORS: lambda _, x, factors: (x * factors,),
    Op.MEAN: _mean,
    Op.INVERSE_DEVIATION: _inverse_deviation,
    Op.MATMUL: lambda _, a, b: _single(exact.product(a, b)),
    Op.ROW_MAXIMUM: lambda _, x: (x.max(axis=-1, keepdims=True),),
    Op.EXPONENTIAL: lambda _, x: _single(exact.exponential(x)),
    Op.ROW_NORMALISER: _row_normaliser,
    Op.GELU: _gelu,
    Op.TANH: lambda _, x: _single(exact.tanh(x)),
    Op.RELU: lambda _, x: (np.maximum(x, 0),),
    Op.SPLIT: lambda o, x: tuple(np.split(x, len(o.outputs), axis=-1)),
    Op.CONCAT: lambda _, *parts: (np.concatenate(parts, axis=-1),),
    Op.RESHAPE: _reshape,
    Op.TRANSPOSE: lambda o, x: (x.transpose(o.attributes["permutation"]),),
    Op.FIRST: lambda _, x: (x[:, :1],),
}
