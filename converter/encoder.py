"""The network as a graph, written once: embeddings, layers, heads, in the order the data flows.

Differences to the textbook form, all exact (docs/quantisation.md has the reasons):

- LayerNorm leaves its output bare; γ and β go into the weights and biases of whatever reads it.
- The key bias is dropped (softmax does not see it), the value bias goes through the output layer into that layer's
  bias, and 1/√d into the query weights.
- A sequence is run at its exact length, so there is no mask.
- The mean over channels that a LayerNorm takes off is taken off the weights in front of it, where they have one group.
- What `plan` asks for: channels of the residual stream divided by scales of their own, giants cut at a limit with what
  is beyond it on tensors of its own, hidden neurons cut at a ceiling with a side path for the rest, balanced queries,
  keys and values.
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
from converter.plan import LARGEST_SCALE, Giant, HiddenPlan, LayerPlan, NormPlan, Passed, Plan, balance

LEAST_EXTENT = 2.0
"""that a LayerNorm's output has, and no range cuts; a channel of it cannot have more than √hidden"""
BESIDE = 0.75
"""of the range of what a layer reads, that is used for what is passed beside it: ranges are chosen a little narrower
than what was seen, and texts reach a little further"""
FAR = 3.0
"""limits that a giant must be driven to for what drives it further not to matter"""


@dataclass
class Excess:
    """What giants of one block of channels have beyond the limit of a LayerNorm."""

    giants: tuple[Giant, ...]
    tensor: Tensor
    """[…, giants]"""

    @property
    def channels(self) -> NDArray[np.int64]:
        return np.array([g.channel for g in self.giants], np.int64)

    @property
    def sides(self) -> Array:
        return np.array([g.side for g in self.giants], np.float32)


@dataclass
class Features:
    """A LayerNorm's output: the real vector of a token is `gamma · n + beta`, n being `main` and what giants have
    beyond it.
    """

    name: str
    main: Tensor
    """[…, hidden]: n, divided by `scale`"""
    scale: Array
    """[hidden]"""
    excess: list[Excess]
    """divided by `factor`"""
    factor: float
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
            every = np.split(np.arange(len(self.scale)), groups)
            pieces = graph.split(f"{self.main.name}{suffix}", self.main, groups)
            self._operands[groups] = []
            for g, (piece, channels) in enumerate(zip(pieces, every, strict=True)):
                beyond = [e for e in self.excess if e.channels[0] in channels]
                held = np.concatenate([channels, *(e.channels for e in beyond)])
                scale = np.concatenate([self.scale[channels], *(e.sides * np.float32(self.factor) for e in beyond)])
                parts = [piece, *(e.tensor for e in beyond)]
                end = f"{suffix}{suffix_of(g, groups)}"
                large = np.flatnonzero(self.scale[channels] > LARGEST_SCALE)
                if len(large):
                    share = np.float32(math.sqrt(len(self.scale)) / LEAST_EXTENT)
                    factors = (scale[large] / share).astype(np.float32)
                    parts.append(_pick(graph, f"{self.name}.large{end}", piece, large, factors))
                    held = np.concatenate([held, held[large]])
                    scale = np.concatenate([scale, np.full(len(large), share)])
                    scale[large] = 0
                tensor = graph.concat(f"{self.name}.joined{end}", parts)
                self._operands[groups].append(Operand(tensor, held, self.gamma[held] * scale))
        return self._operands[groups]

    @property
    def giants(self) -> set[int]:
        return {int(c) for e in self.excess for c in e.channels}


@dataclass
class Read:
    """What one group of the layer in front of a LayerNorm reads, on tensors that are not joined yet."""

    name: str
    parts: list[Tensor]
    channels: NDArray[np.int64]
    scale: Array
    """as an `Operand` has them, of all parts"""
    overflow: int = 0
    """columns at the end that neurons have beyond …"""
    ceiling: float = 0.0
    """… their ceiling"""

    def copies(self, beside: Sequence[int] = ()) -> NDArray[np.int64] | None:
        """For `Graph.linear`.

        Args:
            beside: copies of each number that stands in columns after these.
        """
        once, alone = len(self.channels) - self.overflow, self.overflow + len(beside)
        others = np.repeat(-1 - np.arange(alone), [1] * self.overflow + list(beside))
        every = np.concatenate([self.channels[:once], others])
        return every if len(np.unique(every)) < len(every) else None


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

    scale = balance(plan.embeddings.scales, encoder.hidden_size)
    words = graph.gather("embeddings.words", table / scale, word_rows)
    places = graph.gather("embeddings.positions", positions / scale, position_rows)
    norm, units = encoder.embedding_norm, plan.units
    if plan.centred:  # there is no mean to be taken off
        x = graph.binary(Op.ADD, "embeddings.centred", words, places, Rule.SYMMETRIC)
        return _divide(graph, "embeddings", x, scale, [], plan.embeddings, norm, units)
    x = graph.binary(Op.ADD, "embeddings.sum", words, places)
    return _normalise(graph, "embeddings", x, scale, [], plan.embeddings, norm, units)


def _layer(
    graph: Graph, name: str, encoder: Encoder, layer: Layer, x: Features, whole: Plan, plan: LayerPlan
) -> Features:
    units, block = whole.units, encoder.hidden_size // encoder.blocks
    read, output, unit = _attention(graph, f"{name}.attention", encoder, layer, x, plan, units)
    x = _add_and_normalise(
        graph, f"{name}.attention", read, output, x, plan.attention, layer.attention_norm, units, unit, block
    )
    read = _feed_forward(graph, f"{name}.feed_forward", encoder, layer, x, plan.hidden)
    return _add_and_normalise(
        graph, f"{name}.feed_forward", read, layer.output, x, plan.output, layer.output_norm, units, 1.0, block
    )


def _attention(
    graph: Graph,
    name: str,
    encoder: Encoder,
    layer: Layer,
    x: Features,
    plan: LayerPlan,
    units: Mapping[str, float],
) -> tuple[list[Read], Linear, float]:
    """→ what the output layer reads, that layer with the value bias folded in, and what values are divided by."""
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
    operands = blocks(graph, f"{name}.context", context, output.groups, value_balance)
    read = [
        Read(f"{name}.context.joined{suffix_of(g, output.groups)}", [o.tensor], o.channels, o.scale)
        for g, o in enumerate(operands)
    ]
    return read, output, float(value_unit)


def _feed_forward(
    graph: Graph, name: str, encoder: Encoder, layer: Layer, x: Features, plan: tuple[HiddenPlan, ...]
) -> list[Read]:
    """→ what the second layer reads; ValueError for a plan whose groups differ in ceiling or number of neurons.

    All groups go through one activation, though each is a layer of its own: TFLite computes its table anew for each
    length of text, which takes as long as looking up dozens of tokens.
    """
    first, groups = layer.intermediate, layer.intermediate.groups
    plan = plan or (HiddenPlan(),) * groups
    if len({(p.ceiling, len(p.copied)) for p in plan}) > 1:
        raise ValueError("groups that share an activation need one ceiling and as many copies each")
    operands = x.operands(graph, groups)
    folded = [fold(first, g, operand, x.beta) for g, operand in enumerate(operands)]
    neurons = [np.concatenate([np.arange(len(bias)), p.copied]) for p, (_, bias) in zip(plan, folded, strict=True)]
    made = [
        graph.linear(f"{name}.hidden{suffix_of(g, groups)}", operand.tensor, weight[n], bias[n], ceiling=p.ceiling)
        for g, (p, operand, n, (weight, bias)) in enumerate(zip(plan, operands, neurons, folded, strict=True))
    ]
    activated = graph.activation(encoder.activation, f"{name}.hidden.activated", graph.concat(f"{name}.hidden", made))
    if layer.output.groups != groups:
        if any(len(p.overflow) or len(p.copied) for p in plan):
            raise ValueError("a side path or a copy needs as many groups after the activation as before it")
        ones = np.ones(activated.shape[-1], np.float32)
        regrouped = blocks(graph, f"{name}.hidden.activated", activated, layer.output.groups, ones)
        return [
            Read(f"{name}.hidden{suffix_of(g, len(regrouped))}.joined", [o.tensor], o.channels, o.scale)
            for g, o in enumerate(regrouped)
        ]
    read = []
    for g, part in enumerate(graph.split(f"{name}.hidden.activated", activated, groups)):
        p, n, prefix = plan[g], neurons[g], f"{name}.hidden{suffix_of(g, groups)}"
        first_of_group = g * len(folded[g][1])
        each = Read(f"{prefix}.joined", [part], first_of_group + n, (1 / np.bincount(n)[n]).astype(np.float32))
        if len(p.overflow):
            each.parts.append(_overflow(graph, f"{prefix}.overflow", operands[g].tensor, *folded[g], p))
            each.channels = np.concatenate([each.channels, first_of_group + p.overflow])
            each.scale = np.concatenate([each.scale, np.full(len(p.overflow), p.factor, np.float32)])
            each.overflow, each.ceiling = len(p.overflow), p.ceiling or 0.0
        read.append(each)
    return read


def _overflow(graph: Graph, name: str, x: Tensor, weight: Array, bias: Array, plan: HiddenPlan) -> Tensor:
    """What neurons of the layer of `weight` and `bias` have beyond their ceiling, divided by the plan's factor."""
    assert plan.ceiling is not None
    factor, neurons = np.float32(plan.factor), plan.overflow
    return graph.linear(
        name, x, weight[neurons] / factor, (bias[neurons] - np.float32(plan.ceiling)) / factor, relu=True
    )


def _add_and_normalise(
    graph: Graph,
    name: str,
    read: list[Read],
    output: Linear,
    x: Features,
    plan: NormPlan,
    norm: LayerNorm,
    units: Mapping[str, float],
    unit: float,
    block: int,
) -> Features:
    """LayerNorm(output(read) + γ·n + β); β is added by `output`'s bias.

    Args:
        unit: what `read` has been divided by on top of its scales.
        block: channels that no grouped layer cuts.
    """
    hidden = len(x.gamma)
    scale = balance(plan.scales, hidden)
    # what all biases have in common LayerNorm takes off
    output = replace(output, bias=exact.centred(output.bias + x.beta))
    centred = plan.mean is not None and output.groups == 1
    if centred:
        output = replace(output, weight=exact.centred(output.weight, 0))
    output = scale_rows(output, np.reciprocal(scale))
    passed = sorted({*plan.channels, *x.giants})
    branch, excess = [], []
    for g, (each, channels) in enumerate(zip(read, np.split(np.arange(hidden), output.groups), strict=True)):
        here = [c for c in passed if c in channels]
        weight, bias = fold(output, g, Operand(each.parts[0], each.channels, each.scale), None)
        parts, copies = each.parts, each.copies()
        if here or centred:
            beside = _beside(
                graph, f"{name}.passed{suffix_of(g, output.groups)}", x, plan, g, output.groups, here, unit
            )
            parts, copies = [*parts, beside.tensor], each.copies([value[3] for value in beside.values])
            columns, offset = beside.columns(channels, scale[channels])
            weight, bias = np.concatenate([weight, columns], axis=1), bias + offset
        tensor = graph.concat(each.name, parts)
        suffix = suffix_of(g, output.groups)
        if any(channel in channels for channel in plan.channels):
            kept = weight * _needed(plan, channels, each, output, weight)
            limits = _limits(plan, channels)
            y = graph.linear(f"{name}.output{suffix}", tensor, kept, bias, limits=limits, copies=copies)
        else:
            y = graph.linear(f"{name}.output{suffix}", tensor, weight, bias, copies=copies)
        branch.append(y)
        for start in range(int(channels[0]), int(channels[-1]) + 1, block):
            giants = tuple(giant for giant in plan.giants if start <= giant.channel < start + block)
            if giants:
                e = Excess(giants, tensor)
                rows, sides = e.channels - channels[0], e.sides
                w, b = weight[rows] * sides[:, None], bias[rows] * sides - np.float32(plan.limit)
                e.tensor = graph.linear(f"{name}.excess.{start // block}", tensor, w, b, relu=True, copies=copies)
                excess.append(e)
    factors = x.gamma * (x.scale / scale)
    factors = factors * ~np.isin(np.arange(hidden), passed)
    residual = graph.channel_factors(f"{name}.residual", x.main, factors)
    joined = graph.concat(f"{name}.output", branch)
    if centred:
        y = graph.binary(Op.ADD, f"{name}.centred", joined, residual, Rule.SYMMETRIC)
        return _divide(graph, name, y, scale, excess, plan, norm, units)
    y = graph.binary(Op.ADD, f"{name}.sum", joined, residual)
    return _normalise(graph, name, y, scale, excess, plan, norm, units)


def _needed(plan: NormPlan, channels: NDArray[np.int64], read: Read, output: Linear, weight: Array) -> NDArray[np.bool]:
    """[channels, columns] false where a giant is far beyond its limit whatever a column says: where the neuron whose
    overflow it holds brings it there by what it has below its ceiling.
    """
    needed = np.ones(weight.shape, np.bool)
    size = len(read.channels)
    for giant in plan.giants:
        if giant.channel in channels:
            row, place = output.weight[giant.channel], giant.channel - channels[0]
            brought = np.asarray(getattr(row, "values", row)) * (giant.side * read.ceiling)
            for column in range(size - read.overflow, size):
                neuron = read.channels[column] % output.weight.shape[1]
                needed[place, column] &= brought[neuron] < FAR * plan.limit
    return needed


def _limits(plan: NormPlan, channels: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """From below and from above: giants', on the sides on which they are some."""

    def ends(side: int) -> list[float]:
        giants = {g.channel for g in plan.giants if g.side == side}
        return [side * (plan.limit if channel in giants else math.inf) for channel in channels.tolist()]

    return ends(-1), ends(1)


@dataclass
class _Beside:
    """Numbers of a token on a tensor beside what the layer in front of a LayerNorm reads."""

    tensor: Tensor
    values: list[tuple[int | None, float, float, int]]
    """channel of the sum that each is added to, or None for the mean, which is taken off all; the value of a step of
    its columns all together, the value at 0, and how many columns it has"""

    def columns(self, channels: NDArray[np.int64], scale: Array) -> tuple[Array, Array]:
        """[channels, columns] of weights and [channels] of biases for rows that are divided by `scale`."""
        weight, offset = [], np.zeros(len(channels), np.float32)
        for channel, step, zero, copies in self.values:
            share = -1 / scale if channel is None else (channels == channel) / scale
            weight.append(np.repeat((share * step / copies)[:, None], copies, axis=1))
            offset += share * zero
        return np.concatenate(weight, axis=1).astype(np.float32), offset.astype(np.float32)


def _beside(
    graph: Graph, name: str, x: Features, plan: NormPlan, group: int, groups: int, channels: list[int], unit: float
) -> _Beside:
    """The residual of `channels`, which lie in one of `groups` blocks, and, if there is only one, its mean."""
    operand = x.operands(graph, groups)[group]
    low, high = (each / unit for each in plan.beside)
    rows, biases, values = [], [], []

    def add(channel: int | None, row: Array, p: Passed) -> None:
        step = (p.high - p.low) / ((high - low) * BESIDE)
        middle, centre = (p.high + p.low) / 2, (high + low) / 2
        rows.extend([row[None] / np.float32(step)] * p.copies)
        biases.extend([centre - middle / step] * p.copies)
        values.append((channel, step, middle - step * centre, p.copies))

    if plan.mean is not None and groups == 1:
        add(None, operand.scale / np.float32(len(x.gamma)), plan.mean)
    for channel in channels:
        add(channel, operand.scale * (operand.channels == channel), plan.passed[channel])
    tensor = graph.linear(name, operand.tensor, np.concatenate(rows), np.array(biases, np.float32))
    tensor.whole = True
    return _Beside(tensor, values)


def _normalise(
    graph: Graph,
    name: str,
    x: Tensor,
    scale: Array,
    excess: list[Excess],
    plan: NormPlan,
    norm: LayerNorm,
    units: Mapping[str, float],
) -> Features:
    """LayerNorm without γ and β of `x` and what giants have beyond it."""
    hidden, is_scaled = len(scale), bool((scale != 1).any())
    if is_scaled:
        weight = (scale / np.float32(hidden))[None]
        mean = graph.linear(f"{name}.mean", x, weight, np.zeros(1, np.float32))
    else:
        mean = graph.mean(f"{name}.mean", x, axis=3)
    for i, e in enumerate(excess):
        weight = (e.sides / np.float32(hidden))[None]
        share = graph.linear(f"{name}.mean.excess.{i}", e.tensor, weight, np.zeros(1, np.float32))
        mean = graph.binary(Op.ADD, f"{name}.mean.with.{i}", mean, share)
    if is_scaled:
        # the mean is small beside what most channels hold: half a step of the largest factor is less than one of theirs
        mean = graph.channel_factors(f"{name}.mean.scaled", mean, np.reciprocal(scale), coarse=True)
    centred = graph.binary(Op.SUBTRACT, f"{name}.centred", x, mean, Rule.SYMMETRIC)
    return _divide(graph, name, centred, scale, excess, plan, norm, units)


def _divide(
    graph: Graph,
    name: str,
    centred: Tensor,
    scale: Array,
    excess: list[Excess],
    plan: NormPlan,
    norm: LayerNorm,
    units: Mapping[str, float],
) -> Features:
    """By the deviation over all channels, whose mean is 0."""
    squared, unit = centred, np.float32(1)
    aside = [_giants(graph, f"{name}.giants.{i}", centred, e) for i, e in enumerate(excess)]
    if excess or (scale != 1).any():
        rule, unit = _clamped(units, f"{name}.centred.unscaled")
        large = np.flatnonzero(scale > LARGEST_SCALE)
        weight = scale / unit
        weight[[*plan.channels, *large]] = 0  # squared together with their excess, or on a scale of their own
        # in a sum of squares a channel counts as its factor does: small ones may be off
        squared = graph.channel_factors(f"{name}.centred.unscaled", centred, weight, rule, coarse=True)
        squared.whole = True
        if len(large):
            aside.append(_pick(graph, f"{name}.centred.large", centred, large, scale[large]))
    inverses = graph.inverse_deviation(
        f"{name}.inverse_deviation",
        squared,
        aside,
        count=len(scale),
        epsilon=norm.epsilon,
        factors=(plan.factor,) if excess else (),
        unit=float(unit),
    )
    main = graph.binary(Op.MULTIPLY, f"{name}.normalised", centred, inverses[0], Rule.SYMMETRIC)
    beyond = [
        replace(
            e, tensor=graph.binary(Op.MULTIPLY, f"{e.tensor.name}.normalised", e.tensor, inverses[1], Rule.SYMMETRIC)
        )
        for e in excess
    ]
    return Features(f"{name}.normalised", main, scale, beyond, plan.factor, norm.gamma, norm.beta)


def _giants(graph: Graph, name: str, centred: Tensor, excess: Excess) -> Tensor:
    """All that giants have, cut and beyond."""
    channels = np.unique(excess.channels)
    cut = _pick(graph, f"{name}.cut", centred, channels, np.ones(len(channels), np.float32))
    beyond = excess.tensor
    places = (channels[:, None] == excess.channels) * excess.sides
    if not np.array_equal(places, np.eye(len(channels))):
        nothing = np.zeros(len(channels), np.float32)
        beyond = graph.linear(f"{name}.beyond", beyond, places.astype(np.float32), nothing)
    return graph.binary(Op.ADD, name, cut, beyond, Rule.SYMMETRIC)


def _pick(graph: Graph, name: str, x: Tensor, channels: NDArray[np.int64], factors: Array) -> Tensor:
    """Some channels of `x`, multiplied, on a tensor of their own."""
    rows = np.zeros((len(channels), x.shape[-1]), np.float32)
    rows[np.arange(len(channels)), channels] = factors
    return graph.linear(name, x, rows, np.zeros(len(channels), np.float32), rule=Rule.SYMMETRIC)


def _clamped(units: Mapping[str, float], name: str) -> tuple[Rule, np.float32]:
    """The rule of a tensor that should not be −128, and what it is divided by."""
    return (Rule.CLAMPED, np.float32(units[name])) if name in units else (Rule.SYMMETRIC, np.float32(1))


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
        plain = _normalise(graph, f"{head.name}.transform", y, ones, [], NormPlan(), head.transform_norm, {})
    else:
        plain = x
    if head.classifier is not None:
        return linear_of(graph, name, plain.operands(graph, head.classifier.groups), head.classifier, plain.beta)
    if plain is not x:
        return plain.main
    if not x.excess:
        return graph.channel_affine(name, x.main, x.gamma * x.scale, x.beta)
    # the channels have to go back to their places: a product with a permuted diagonal matrix, whose weights are exact
    hidden = len(x.gamma)
    return linear_of(graph, name, x.operands(graph, 1), Linear(np.eye(hidden, dtype=np.float32), x.beta), None)


def _pool(graph: Graph, name: str, pooling: str, x: Features) -> Features:
    def pooled(suffix: str, part: Tensor) -> Tensor:
        return (
            graph.first(f"{name}{suffix}", part) if pooling == "first" else graph.mean(f"{name}{suffix}", part, axis=1)
        )

    excess = [replace(e, tensor=pooled(f".excess.{i}", e.tensor)) for i, e in enumerate(x.excess)]
    return replace(x, name=name, main=pooled("", x.main), excess=excess, _operands={})


def _plain(tensor: Tensor) -> Features:
    """A tensor that is its own real value."""
    width = tensor.shape[-1]
    ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
    return Features(tensor.name, tensor, ones, [], 1.0, ones, zeros)
