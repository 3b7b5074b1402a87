"""The network as a graph, written once: embeddings, layers, heads, in the order the data flows.

Differences to the textbook form, all exact (docs/quantisation.md has the reasons):

- LayerNorm leaves its output bare; γ and β go into the weights and biases of whatever reads it.
- The key bias is dropped (softmax does not see it), the value bias goes through the output layer into that layer's
  bias, and 1/√d into the query weights.
- A sequence is run at its exact length, so there is no mask.
- What `plan` asks for: channels of the residual stream divided by scales of their own, outlier channels on tensors of
  their own, hidden neurons cut at a ceiling with a side path for the rest, balanced queries, keys and values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from converter import exact
from converter.graph import Graph, Op, Rule, S, Tensor
from converter.linear import Operand, apply, blocks, fold, linear_of, scale_rows, suffix_of, without_bias
from converter.network import Array, Encoder, Head, Layer, LayerNorm, Linear, Network
from converter.plan import LARGEST_SCALE, HiddenPlan, LayerPlan, Plan, balance

LEAST_EXTENT = 2.0
"""that a LayerNorm's output has, and no range cuts; a channel of it cannot have more than √hidden"""


@dataclass
class Features:
    """A LayerNorm's output: the real vector of a token is `gamma · n + beta`, n's channels being on one tensor or a
    few.
    """

    name: str
    parts: list[Tensor]
    """[…, main channels], and for each tier of outliers [… , channels]: n of those channels, divided by `scales`"""
    channels: list[NDArray[np.int64]]
    """of each part"""
    scales: list[Array]
    """of each part's channels"""
    gamma: Array
    beta: Array
    _operands: dict[int, list[Operand]] = field(default_factory=dict)

    def operands(self, graph: Graph, groups: int) -> list[Operand]:
        """One for each of `groups` blocks of channels; made once for all layers that read them.

        A channel that is divided by a large number is read from a column of its own, on which it is not: else its
        weights, multiplied by that number, would leave few steps to the others of their rows.
        """
        if groups not in self._operands:
            suffix = "" if groups == 1 else f".of{groups}"
            pieces = [graph.split(f"{part.name}{suffix}", part, groups) for part in self.parts]
            channels = [np.split(c, groups) for c in self.channels]
            scales = [np.split(s, groups) for s in self.scales]
            self._operands[groups] = []
            for g in range(groups):
                end = f"{suffix}{suffix_of(g, groups)}"
                parts = [p[g] for p in pieces]
                held = np.concatenate([c[g] for c in channels])
                scale = np.concatenate([s[g] for s in scales])
                large = np.flatnonzero(scales[0][g] > LARGEST_SCALE)
                if len(large):
                    share = np.float32(math.sqrt(len(self.gamma)) / LEAST_EXTENT)
                    factors = (scale[large] / share).astype(np.float32)
                    parts.append(_aside(graph, f"{self.name}.large{end}", parts[0], large, factors))
                    held = np.concatenate([held, held[large]])
                    scale = np.concatenate([scale, np.full(len(large), share)])
                    scale[large] = 0
                tensor = graph.concat(f"{self.name}.joined{end}", parts)
                self._operands[groups].append(Operand(tensor, held, self.gamma[held] * scale))
        return self._operands[groups]


def build(network: Network, plan: Plan | None = None) -> Graph:
    """The graph of `network` with inputs `ids` and `positions` and one output per head, named as the head."""
    graph = Graph(network.max_length)
    plan = plan or Plan()
    x = _embeddings(graph, network.encoder, plan)
    for index, layer in enumerate(network.encoder.layers):
        x = _layer(graph, f"layer.{index}", network.encoder, layer, x, plan, plan.layer(index))
    for head in network.heads:
        logits = _head(graph, head, x)
        graph.outputs.append(graph.reshape(head.name, logits, (logits.shape[1], logits.shape[3])))
    return graph


# -- encoder


def _embeddings(graph: Graph, encoder: Encoder, plan: Plan) -> Features:
    """The positions input names a row of all (type, position) sums: type × positions + position."""
    positions = (encoder.type_embeddings[:, None] + encoder.position_embeddings[None]).reshape(-1, encoder.hidden_size)
    word_rows = graph.reshape("ids.column", graph.input("ids"), (1, S, 1))
    position_rows = graph.reshape("positions.column", graph.input("positions"), (1, S, 1))

    table = encoder.word_embeddings
    if plan.centred:
        table, positions = exact.centred(table), exact.centred(positions)

    def embed(suffix: str, channels: NDArray[np.int64], scale: Array) -> Tensor:
        words = graph.gather(f"embeddings.words{suffix}", table[:, channels] / scale, word_rows)
        places = graph.gather(f"embeddings.positions{suffix}", positions[:, channels] / scale, position_rows)
        if plan.centred:  # there is no mean to be taken off
            return graph.binary(Op.ADD, f"embeddings.centred{suffix}", words, places, Rule.SYMMETRIC)
        return graph.binary(Op.ADD, f"embeddings.sum{suffix}", words, places)

    outliers = np.concatenate([np.empty(0, np.int64), *plan.tiers])
    channels = [np.setdiff1d(np.arange(encoder.hidden_size), outliers), *plan.tiers]
    scales = _scales(channels, plan.embedding_scales)
    sums = [embed(_tier(i), c, s) for i, (c, s) in enumerate(zip(channels, scales, strict=True))]
    normalise = _divide if plan.centred else _normalise
    norm, factors = encoder.embedding_norm, plan.embedding_factors
    return normalise(graph, "embeddings", sums, channels, scales, norm, factors, plan.units)


def _scales(channels: list[NDArray[np.int64]], steps: NDArray[np.int64] | None) -> list[Array]:
    """What each part's channels are divided by on the way into a LayerNorm: outliers by nothing."""
    ones = [np.ones(len(c), np.float32) for c in channels]
    return ones if steps is None else [balance(steps[channels[0]], len(channels[0])), *ones[1:]]


def _layer(
    graph: Graph, name: str, encoder: Encoder, layer: Layer, x: Features, whole: Plan, plan: LayerPlan
) -> Features:
    units = whole.units
    read, output = _attention(graph, f"{name}.attention", encoder, layer, x, plan, units)
    scales, factors = _scales(x.channels, plan.attention_scales), plan.attention_factors
    shift, norm = plan.attention_shift if whole.centred else None, layer.attention_norm
    x = _add_and_normalise(graph, f"{name}.attention", read, output, x, scales, norm, factors, shift, units)
    read = _feed_forward(graph, f"{name}.feed_forward", encoder, layer, x, plan.hidden)
    scales, factors = _scales(x.channels, plan.output_scales), plan.output_factors
    shift, norm = plan.output_shift if whole.centred else None, layer.output_norm
    return _add_and_normalise(graph, f"{name}.feed_forward", read, layer.output, x, scales, norm, factors, shift, units)


def _attention(
    graph: Graph,
    name: str,
    encoder: Encoder,
    layer: Layer,
    x: Features,
    plan: LayerPlan,
    units: Mapping[str, float],
) -> tuple[list[Operand], Linear]:
    """→ what the output layer reads, and that layer with the value bias folded in."""
    hidden, heads = encoder.hidden_size, encoder.attention_heads
    size = hidden // heads
    query_balance, value_balance = balance(plan.query_key_balance, hidden), balance(plan.value_balance, hidden)
    output = layer.attention_output
    output = replace(output, bias=output.bias + apply(output, layer.value.bias + apply(layer.value, x.beta)))

    def heads_of(part: str, linear: Linear, offset: Array | None, rule: Rule, permutation: tuple[int, ...]) -> Tensor:
        y = linear_of(graph, f"{name}.{part}", x.operands(graph, linear.groups), linear, offset, rule=rule)
        y = graph.reshape(f"{name}.{part}.heads", y, (S, heads, size))
        return graph.transpose(f"{name}.{part}.transposed", y, permutation)

    key_rule, key_unit = _clamped(units, f"{name}.key")
    value_rule, value_unit = _clamped(units, f"{name}.value")
    query_balance, value_balance = query_balance * key_unit, value_balance * value_unit
    query = scale_rows(layer.query, query_balance / np.float32(math.sqrt(size)))
    key = without_bias(scale_rows(layer.key, np.reciprocal(query_balance)))
    value = without_bias(scale_rows(layer.value, np.reciprocal(value_balance)))
    q = heads_of("query", query, x.beta, Rule.ASYMMETRIC, (1, 0, 2))
    k = heads_of("key", key, None, key_rule, (1, 0, 2))
    v = heads_of("value", value, None, value_rule, (1, 2, 0))
    scores = graph.matmul(f"{name}.scores", q, k)  # [heads, S, S]
    probabilities, rest = graph.softmax(f"{name}.probabilities", scores, graph.inputs[1])
    context = graph.matmul(f"{name}.context.shares", probabilities, v)  # [heads, S, size]
    context = graph.binary(Op.MULTIPLY, f"{name}.context.heads", context, rest)
    context = graph.transpose(f"{name}.context.transposed", context, (1, 0, 2))
    context = graph.reshape(f"{name}.context", context, (1, S, 1, hidden))
    return blocks(graph, f"{name}.context", context, output.groups, value_balance), output


def _feed_forward(
    graph: Graph, name: str, encoder: Encoder, layer: Layer, x: Features, plan: tuple[HiddenPlan, ...]
) -> list[Operand]:
    """→ what the second layer reads."""
    first, groups = layer.intermediate, layer.intermediate.groups
    plan = plan or (HiddenPlan(),) * groups
    read: list[Operand] = []
    for g, operand in enumerate(x.operands(graph, groups)):
        p, prefix = plan[g], f"{name}.hidden{suffix_of(g, groups)}"
        weight, bias = fold(first, g, operand, x.beta)
        channels = np.arange(len(bias)) + g * len(bias)
        scale = np.ones(len(bias), np.float32)
        y = graph.linear(prefix, operand.tensor, weight, bias, ceiling=p.ceiling)
        y = graph.activation(encoder.activation, f"{prefix}.activated", y)
        if len(p.overflow):
            assert p.ceiling is not None
            factor = np.float32(p.factor)
            w, b = weight[p.overflow] / factor, (bias[p.overflow] - np.float32(p.ceiling)) / factor
            rest = graph.linear(f"{prefix}.overflow", operand.tensor, w, b, relu=True)
            y = graph.concat(f"{prefix}.joined", [y, rest])
            channels = np.concatenate([channels, channels[p.overflow]])
            scale = np.concatenate([scale, np.full(len(p.overflow), factor)])
        read.append(Operand(y, channels, scale))
    if layer.output.groups == groups:
        return read
    if any(len(p.overflow) for p in plan):
        raise ValueError("a side path needs as many groups after the activation as before it")
    joined = graph.concat(f"{name}.hidden.joined", [o.tensor for o in read])
    return blocks(graph, f"{name}.hidden", joined, layer.output.groups, np.ones(joined.shape[-1], np.float32))


def _add_and_normalise(
    graph: Graph,
    name: str,
    read: list[Operand],
    output: Linear,
    x: Features,
    scales: list[Array],
    norm: LayerNorm,
    factors: Sequence[float],
    shift: float | None,
    units: Mapping[str, float],
) -> Features:
    """LayerNorm(output(read) + γ·n + β); β is added by `output`'s bias, whose mean becomes `shift` if there is one."""
    every = np.ones(len(x.gamma), np.float32)
    every[np.concatenate(x.channels)] = np.concatenate(scales)
    bias = output.bias + x.beta
    if shift is not None:
        bias = exact.centred(bias) + np.float32(shift)
    output = scale_rows(replace(output, bias=bias), np.reciprocal(every))
    sums = []
    for i, (part, channels) in enumerate(zip(x.parts, x.channels, strict=True)):
        branch = linear_of(graph, f"{name}.output{_tier(i)}", read, output, None, rows=channels)
        weight = x.gamma[channels] * (x.scales[i] / scales[i])
        residual = graph.channel_factors(f"{name}.residual{_tier(i)}", part, weight)
        sums.append(graph.binary(Op.ADD, f"{name}.sum{_tier(i)}", branch, residual))
    return _normalise(graph, name, sums, x.channels, scales, norm, factors, units)


def _normalise(
    graph: Graph,
    name: str,
    sums: list[Tensor],
    channels: list[NDArray[np.int64]],
    scales: list[Array],
    norm: LayerNorm,
    factors: Sequence[float],
    units: Mapping[str, float],
) -> Features:
    """LayerNorm without γ and β over the channels of all tensors together."""
    centred = _centre(graph, name, sums, scales, len(norm.gamma))
    return _divide(graph, name, centred, channels, scales, norm, factors, units)


def _centre(graph: Graph, name: str, sums: list[Tensor], scales: list[Array], hidden: int) -> list[Tensor]:
    """Without the mean over the `hidden` channels of all tensors together."""
    scale = scales[0]
    is_scaled = bool((scale != 1).any())
    if len(sums) == 1 and not is_scaled:
        mean = graph.mean(f"{name}.mean", sums[0], axis=3)
    else:
        shares = []
        for i, (x, s) in enumerate(zip(sums, scales, strict=True)):
            weight = (s / np.float32(hidden))[None]
            shares.append(graph.linear(f"{name}.share_of_mean{_tier(i)}", x, weight, np.zeros(1, np.float32)))
        mean = shares[0]
        for i, share in enumerate(shares[1:], 1):
            mean = graph.binary(Op.ADD, f"{name}.mean{_tier(i)}", mean, share)
    means = [mean] * len(sums)
    if is_scaled:
        means[0] = graph.channel_factors(f"{name}.mean.scaled", mean, np.reciprocal(scale))
    return [
        graph.binary(Op.SUBTRACT, f"{name}.centred{_tier(i)}", x, m, Rule.SYMMETRIC)
        for i, (x, m) in enumerate(zip(sums, means, strict=True))
    ]


def _divide(
    graph: Graph,
    name: str,
    centred: list[Tensor],
    channels: list[NDArray[np.int64]],
    scales: list[Array],
    norm: LayerNorm,
    factors: Sequence[float],
    units: Mapping[str, float],
) -> Features:
    """By the deviation over the channels of all tensors together, whose mean is 0."""
    hidden, scale = len(norm.gamma), scales[0]
    squared, unit = list(centred), np.float32(1)
    if (scale != 1).any():
        rule, unit = _clamped(units, f"{name}.centred.unscaled")
        large = np.flatnonzero(scale > LARGEST_SCALE)
        weight = scale / unit
        weight[large] = 0
        squared[0] = graph.channel_factors(f"{name}.centred.unscaled", centred[0], weight, rule)
        if len(large):
            squared.append(_aside(graph, f"{name}.centred.large", centred[0], large, scale[large]))
    inverses = graph.inverse_deviation(
        f"{name}.inverse_deviation",
        squared[0],
        squared[1:],
        count=hidden,
        epsilon=norm.epsilon,
        factors=factors,
        unit=float(unit),
    )
    parts = [
        graph.binary(Op.MULTIPLY, f"{name}.normalised{_tier(i)}", c, r, Rule.SYMMETRIC)
        for i, (c, r) in enumerate(zip(centred, inverses, strict=True))
    ]
    after = [scale, *(np.full(len(c), f, np.float32) for c, f in zip(channels[1:], factors, strict=True))]
    return Features(f"{name}.normalised", parts, channels, after, norm.gamma, norm.beta)


def _clamped(units: Mapping[str, float], name: str) -> tuple[Rule, np.float32]:
    """The rule of a tensor that should not be −128, and what it is divided by."""
    return (Rule.CLAMPED, np.float32(units[name])) if name in units else (Rule.SYMMETRIC, np.float32(1))


def _aside(graph: Graph, name: str, x: Tensor, channels: NDArray[np.int64], factors: Array) -> Tensor:
    """Some channels of `x`, multiplied, on a tensor of their own."""
    rows = np.zeros((len(channels), x.shape[-1]), np.float32)
    rows[np.arange(len(channels)), channels] = factors
    return graph.linear(name, x, rows, np.zeros(len(channels), np.float32), rule=Rule.SYMMETRIC)


# -- heads


def _head(graph: Graph, head: Head, x: Features) -> Tensor:
    """→ logits: [1, S, 1, labels], or [1, 1, 1, labels] where the head pools."""
    name = f"{head.name}.logits"
    if head.pooling is not None:
        x = _pool(graph, f"{head.name}.pooled", head.pooling, x)
    if head.pooler is not None:
        y = linear_of(graph, f"{head.name}.pooler", x.operands(graph, head.pooler.groups), head.pooler, x.beta)
        plain = _plain(graph.activation("tanh", f"{head.name}.pooler.tanh", y))
    elif head.transform is not None:
        y = linear_of(graph, f"{head.name}.transform", x.operands(graph, head.transform.groups), head.transform, x.beta)
        assert head.transform_activation is not None and head.transform_norm is not None
        y = graph.activation(head.transform_activation, f"{head.name}.transform.activated", y)
        ones = np.ones(y.shape[-1], np.float32)
        every = np.arange(y.shape[-1])
        plain = _normalise(graph, f"{head.name}.transform", [y], [every], [ones], head.transform_norm, (), {})
    else:
        plain = x
    if head.classifier is not None:
        return linear_of(graph, name, plain.operands(graph, head.classifier.groups), head.classifier, plain.beta)
    if plain is not x:
        return plain.parts[0]
    if len(x.parts) == 1:
        return graph.channel_affine(name, x.parts[0], x.gamma * x.scales[0], x.beta)
    # the channels have to go back to their places: a product with a permuted diagonal matrix, whose weights are exact
    hidden = len(x.gamma)
    return linear_of(graph, name, x.operands(graph, 1), Linear(np.eye(hidden, dtype=np.float32), x.beta), None)


def _pool(graph: Graph, name: str, pooling: str, x: Features) -> Features:
    parts = []
    for i, part in enumerate(x.parts):
        first = pooling == "first"
        parts.append(graph.first(f"{name}{_tier(i)}", part) if first else graph.mean(f"{name}{_tier(i)}", part, axis=1))
    return replace(x, name=name, parts=parts, _operands={})


def _plain(tensor: Tensor) -> Features:
    """A tensor that is its own real value."""
    width = tensor.shape[-1]
    ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
    return Features(tensor.name, [tensor], [np.arange(width)], [ones], ones, zeros)


def _tier(index: int) -> str:
    return "" if index == 0 else f".aside.{index - 1}"
