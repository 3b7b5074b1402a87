"""Executes a graph in float32 with NumPy: the reference for accuracy and the source of calibration statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from converter.graph import Graph, Op, Operator, Tensor
from converter.network import Array
from converter.softmax import normaliser

Observer = Callable[[Tensor, Array], None]


def execute(graph: Graph, inputs: Mapping[str, NDArray[np.int32]], observe: Observer | None = None) -> dict[str, Array]:
    """Run `graph` on one sequence.

    Args:
        graph: what to run.
        inputs: `[1, S]` for each of the graph's inputs, by name.
        observe: called with every activation and its value as soon as it is known.

    Returns:
        The outputs by name.
    """
    values: dict[Tensor, NDArray[Any]] = {t: inputs[t.name] for t in graph.inputs}
    last_use = {t: i for i, o in enumerate(graph.operators) for t in o.inputs}
    kept = set(graph.outputs)
    for index, operator in enumerate(graph.operators):
        arguments = [t.constant if t.constant is not None else values[t] for t in operator.inputs]
        results = _EVALUATE[operator.op](operator, *arguments)
        for tensor, value in zip(operator.outputs, results, strict=True):
            values[tensor] = value
            if observe is not None and value.dtype == np.float32:
                observe(tensor, value)
        for tensor in operator.inputs:
            if last_use[tensor] == index and tensor not in kept:
                values.pop(tensor, None)
    return {t.name: values[t] for t in graph.outputs}


def _gather(_: Operator, table: Array, indices: NDArray[np.int32]) -> tuple[Array]:
    return (table[indices],)


def _linear(operator: Operator, x: Array, weight: Array, bias: Array) -> tuple[Array]:
    y = x.reshape(-1, x.shape[-1]) @ weight.T + bias
    ceiling = operator.attributes["ceiling"]
    if ceiling is not None:
        np.minimum(y, np.float32(ceiling), out=y)  # type: ignore[arg-type]
    if operator.attributes["relu"]:
        np.maximum(y, 0, out=y)
    return (y.reshape(*x.shape[:-1], -1),)


def _inverse_deviation(operator: Operator, *centred: Array) -> tuple[Array, ...]:
    a = operator.attributes
    squares = sum(np.einsum("...c,...c->...", x, x)[..., None] for x in centred)
    inverse = 1 / np.sqrt(squares / a["count"] + a["epsilon"])
    return tuple((inverse / f).astype(np.float32) for f in (1.0, *a["factors"]))  # type: ignore[misc]


def _row_normaliser(_: Operator, x: Array, __: NDArray[np.int32]) -> tuple[Array, Array]:
    return normaliser(np.exp(x).sum(axis=-1, keepdims=True))


def _gelu(operator: Operator, x: Array) -> tuple[Array]:
    if operator.attributes["approximate"]:
        inner = np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x * x * x)
        return ((np.float32(0.5) * x * (1 + np.tanh(inner))).astype(np.float32),)
    return ((np.float32(0.5) * x * (1 + erf(x * np.float32(np.sqrt(0.5))))).astype(np.float32),)


def _reshape(operator: Operator, x: NDArray[Any]) -> tuple[NDArray[Any]]:
    return (x.reshape(operator.outputs[0].shape),)


_EVALUATE: dict[Op, Callable[..., tuple[NDArray[Any], ...]]] = {
    Op.GATHER: _gather,
    Op.LINEAR: _linear,
    Op.ADD: lambda _, a, b: (a + b,),
    Op.SUBTRACT: lambda _, a, b: (a - b,),
    Op.MULTIPLY: lambda _, a, b: (a * b,),
    Op.CHANNEL_AFFINE: lambda _, x, weight, bias: (x * weight + bias,),
    Op.MEAN: lambda o, x: (x.mean(axis=o.attributes["axis"], keepdims=True),),
    Op.INVERSE_DEVIATION: _inverse_deviation,
    Op.MATMUL: lambda _, a, b: (a @ b.swapaxes(-1, -2),),
    Op.ROW_MAXIMUM: lambda _, x: (x.max(axis=-1, keepdims=True),),
    Op.EXPONENTIAL: lambda _, x: (np.exp(x),),
    Op.ROW_NORMALISER: _row_normaliser,
    Op.GELU: _gelu,
    Op.TANH: lambda _, x: (np.tanh(x),),
    Op.RELU: lambda _, x: (np.maximum(x, 0),),
    Op.SPLIT: lambda o, x: tuple(np.split(x, len(o.outputs), axis=-1)),
    Op.CONCAT: lambda _, *parts: (np.concatenate(parts, axis=-1),),
    Op.RESHAPE: _reshape,
    Op.TRANSPOSE: lambda o, x: (x.transpose(o.attributes["permutation"]),),
    Op.FIRST: lambda _, x: (x[:, :1],),
}
