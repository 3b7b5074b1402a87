"""Linear layers of a graph: groups, chosen rows, and what is folded into weights and biases."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from converter import exact
from converter.graph import Graph, Rule, Tensor
from converter.network import Array, Linear


@dataclass(frozen=True)
class Operand:
    """What one group of a linear layer reads: real input channel `channels[i]` is the sum of `scale[i]` × column i."""

    tensor: Tensor
    """[…, columns]"""
    channels: NDArray[np.int64]
    """[columns] input channels of the whole layer"""
    scale: Array
    """[columns]"""


def linear_of(
    graph: Graph,
    name: str,
    read: list[Operand],
    linear: Linear,
    offset: Array | None,
    *,
    rule: Rule = Rule.ASYMMETRIC,
) -> Tensor:
    """`linear` of what `read` holds plus `offset` [in]."""
    parts = []
    for g, operand in enumerate(read):
        weight, bias = fold(linear, g, operand, offset)
        suffix = suffix_of(g, len(read))
        parts.append(graph.linear(f"{name}{suffix}", operand.tensor, weight, bias, rule=rule))
    return graph.concat(name, parts)


def fold(linear: Linear, group: int, operand: Operand, offset: Array | None) -> tuple[Array, Array]:
    """Weight [out / groups, columns] and bias [out / groups] of one group for the columns of `operand`."""
    weight = np.split(linear.weight, linear.groups)[group]
    bias = np.split(linear.bias, linear.groups)[group]
    if offset is not None:
        bias = bias + exact.matrix_by_vector(weight, np.split(offset, linear.groups)[group])
    inside = operand.channels - group * linear.weight.shape[1]
    return weight[:, inside] * operand.scale, bias


def blocks(graph: Graph, name: str, x: Tensor, groups: int, scale: Array) -> list[Operand]:
    """`x` cut into `groups` blocks of channels."""
    channels = np.split(np.arange(x.shape[-1]), groups)
    parts = graph.split(f"{name}.of{groups}", x, groups)
    return [Operand(t, c, scale[c]) for t, c in zip(parts, channels, strict=True)]


def apply(linear: Linear, x: Array) -> Array:
    """The product with one vector x [in] → [out], no bias."""
    blocks = zip(np.split(linear.weight, linear.groups), np.split(x, linear.groups), strict=True)
    return np.concatenate([exact.matrix_by_vector(weight, part) for weight, part in blocks])


def scale_rows(linear: Linear, scale: Array) -> Linear:
    return replace(linear, weight=linear.weight * scale[:, None], bias=linear.bias * scale)


def without_bias(linear: Linear) -> Linear:
    return replace(linear, bias=np.zeros_like(linear.bias))


def suffix_of(group: int, groups: int) -> str:
    return "" if groups == 1 else f".{group}"
