"""The exported integer graph in PyTorch: a model is trained as it will be run.

The graph is the converter's own (`encoder.build` of the model's live weights, with the plan that `convert` will use);
here stand only the operators. After each, the result is put on the grid of int8 that `convert` will give that tensor,
and gradients pass through the rounding as if it were not there (straight through; Bengio et al., 2013), but not through
what is cut. Weights are rounded to the nearest, bias integers are too fine to matter. Tables are looked up with the
same integers as in the file; their gradient is that of the function they hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from converter import encoder, softmax
from converter.arrangement import Arrangement
from converter.checkpoint.configuration import Configuration
from converter.checkpoint.encoder import encoder_prefix, read_encoder
from converter.checkpoint.heads import read_heads
from converter.deviation import Lookup
from converter.graph import Graph, Op, Operator, Rule, S
from converter.graph import Tensor as Node
from converter.integer import HIGHEST, Quantisation
from converter.network import Network
from converter.quantisation import SMALLEST_SCALE, spread
from converter.simulation import ON_GRID, lookup_of
from converter.train.model import Model
from converter.train.packing import Packed
from converter.train.traced import LiveWeights, Traced


class SimulatedModel(nn.Module):
    """A `Model`, computed as its integer graph; same interface, same weights."""

    def __init__(self, model: Model, configuration: Configuration, network: Network, arranged: Arrangement) -> None:
        """`network`: read from the checkpoint of `model`; `arranged`: of that network."""
        super().__init__()
        self.model = model
        self._configuration, self._network, self._plan = configuration, network, arranged.plan
        named = {t.name: t for o in arranged.integers.operators for t in (*o.inputs, *o.outputs)}
        self._scales = {name: t.quantisation for name, t in named.items() if t.quantisation is not None}
        of_node = {t: self._scales[t.name] for t in arranged.graph.tensors() if t.name in self._scales}
        self._lookups = {
            o.outputs[0].name: lookup_of(arranged.graph, o, arranged.ranges, of_node)
            for o in arranged.graph.operators
            if o.op is Op.INVERSE_DEVIATION
        }
        for name, parameter in model.named_parameters():
            # a table has one scale: moving its rows by less than a step would change nothing
            if "embeddings.weight" in name.replace("_embeddings", "embeddings"):
                parameter.requires_grad_(False)

    def forward(self, batch: Packed, dtype: torch.dtype = torch.float32, dropout: float = 0.0) -> dict[str, Tensor]:
        """As the model's, without dropout; `dtype` is that of the products that give gradients, all else is float32."""
        del dropout
        graph = self._graph()
        constants = {t: _constant(t) for o in graph.operators for t in o.inputs if t.constant is not None}
        rows_of_types = len(self._network.encoder.position_embeddings)
        parts: dict[str, list[Tensor]] = {}
        for segment in batch.segments:
            cut = slice(segment.start, segment.stop)
            ids = batch.ids[cut].view(segment.texts, segment.length)
            positions = (batch.positions[cut] + batch.types[cut] * rows_of_types).view_as(ids)
            for name, value in self._run(graph, constants, dtype, ids, positions).items():
                parts.setdefault(name, []).append(value.flatten(0, 1))
        return {
            head.name: torch.cat(parts[head.name])[batch.tokens() if head.over == "tokens" else batch.returned]
            for head in self.model.heads
        }

    def _graph(self) -> Graph:
        weights = LiveWeights(dict(self.model.named_parameters()))
        prefix = encoder_prefix(weights)
        live = read_encoder(self._configuration, weights, prefix)
        heads = read_heads(self._configuration, weights, prefix, live, [h.name for h in self._network.heads])
        return encoder.build(replace(self._network, encoder=live, heads=heads), self._plan)

    def _run(
        self, graph: Graph, constants: dict[Node, Tensor], dtype: torch.dtype, ids: Tensor, positions: Tensor
    ) -> dict[str, Tensor]:
        """ids, rows of positions and types [B, S] → [B, S or 1, labels] by head."""
        run = _Run(self._scales, self._lookups, graph.longest, dtype, *ids.shape)
        values: dict[Node, Tensor] = {t: ids if t.name == "ids" else positions for t in graph.inputs}
        for operator in graph.operators:
            arguments = [constants[t] if t.constant is not None else values[t] for t in operator.inputs]
            results = _EVALUATE[operator.op](run, operator, *arguments)
            for tensor, value in zip(operator.outputs, results, strict=True):
                values[tensor] = value if operator.op in ON_GRID else run.put_on_grid(value, tensor)
        return {t.name: values[t] for t in graph.outputs}


class _Run:
    """What the operators of one run share: [1, S, 1, C] is [B, S, 1, C] here, and what has no leading 1 gets a B."""

    def __init__(
        self,
        scales: dict[str, Quantisation],
        lookups: dict[str, Lookup],
        longest: int,
        dtype: torch.dtype,
        batch: int,
        length: int,
    ) -> None:
        self.scales, self.lookups, self.dtype, self.batch, self.length = scales, lookups, dtype, batch, length
        divisor, power, rest = softmax.tables(longest)
        self.divisor, self.power, self.rest = divisor, torch.from_numpy(power), torch.from_numpy(rest)

    def put_on_grid(self, value: Tensor, tensor: Node) -> Tensor:
        """Straight through where the grid reaches; no gradient where it is cut."""
        q = self.scales[tensor.name]
        result: Tensor = _Grid.apply(value, float(q.scale[0]), q.lowest, q.zero_point)  # type: ignore[no-untyped-call]
        return result

    def shape(self, tensor: Node) -> list[int]:
        sizes = [self.length if size == S else size for size in tensor.shape]
        return [self.batch, *(sizes[1:] if has_leading_one(tensor) else sizes)]


def has_leading_one(tensor: Node) -> bool:
    """Whether the batch takes the place of the first dimension."""
    return tensor.rule is Rule.INDEX or len(tensor.shape) == 4


def _constant(tensor: Node) -> Tensor:
    """A weight on its grid; a table as it is, for only the rows that are looked up are needed."""
    value: Any = tensor.constant
    real: Tensor = value.tensor if isinstance(value, Traced) else torch.as_tensor(value)
    if tensor.rule in (Rule.BIAS, Rule.TABLE):
        return real
    rows = real.reshape(1 if tensor.rule is Rule.FACTORS else len(real), -1)
    # in float64, as `quantisation` rounds: scales are often powers of 2^(1/8), and many weights lie half-way
    values = rows.detach().double()
    scale = (values.abs().amax(dim=1, keepdim=True) / HIGHEST).clamp_min(SMALLEST_SCALE).float().double()
    steps = (values / scale + torch.from_numpy(spread(tensor))).round_().clamp_(-HIGHEST, HIGHEST)
    grid: Tensor = _Straight.apply(rows, (steps * scale).to(rows.dtype))  # type: ignore[no-untyped-call]
    return grid.reshape(real.shape)


class _Straight(torch.autograd.Function):
    """What stands for a weight, whose gradient is the weight's."""

    @staticmethod
    def forward(_: Any, weight: Tensor, grid: Tensor) -> Tensor:
        del weight
        return grid

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class _Grid(torch.autograd.Function):
    """The nearest that an int8 tensor with one scale can hold (PyTorch's fake quantisation takes twice the time)."""

    @staticmethod
    def forward(context: Any, value: Tensor, scale: float, lowest: int, zero_point: int) -> Tensor:
        context.bounds = (lowest - zero_point) * scale, (HIGHEST - zero_point) * scale
        context.save_for_backward(value)
        return value.clamp(*context.bounds).div_(scale).round_().mul_(scale)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (value,) = context.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradients[0], value, *context.bounds), None, None, None


class _Linear(torch.autograd.Function):
    """x Wᵀ + b in float32, whose gradients are multiplied in another precision."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
        context.save_for_backward(x, weight)
        context.dtype = dtype
        return functional.linear(x, weight, bias)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = context.saved_tensors
        (gradient,) = gradients
        flat = gradient.reshape(-1, gradient.shape[-1])
        rounded = flat.to(context.dtype)
        of_x, of_weight, of_bias, _ = context.needs_input_grad
        return (
            (rounded @ weight.to(context.dtype)).to(x.dtype).reshape(x.shape) if of_x else None,
            (rounded.T @ x.reshape(-1, x.shape[-1]).to(context.dtype)).to(x.dtype) if of_weight else None,
            flat.sum(dim=0) if of_bias else None,
            None,
        )


def _straight_through(value: Tensor, rounded: Tensor) -> Tensor:
    """`rounded`, with the gradient of `value`."""
    return value + (rounded - value).detach()


Results = tuple[Tensor, ...]


def _linear(run: _Run, operator: Operator, x: Tensor, weight: Tensor, bias: Tensor) -> Results:
    y: Tensor = _Linear.apply(x, weight, bias, run.dtype)  # type: ignore[no-untyped-call]
    ceiling = operator.attributes["ceiling"]
    if isinstance(ceiling, float):
        y = y.clamp_max(ceiling)
    lows, highs = operator.attributes["lows"], operator.attributes["highs"]
    if lows is not None and highs is not None:
        y = y.clamp(torch.tensor(lows), torch.tensor(highs))
    return (y.relu() if operator.attributes["relu"] else y,)


def _inverse_deviation(run: _Run, operator: Operator, *centred: Tensor) -> Results:
    a = operator.attributes
    count, epsilon, factors, units = a["count"], a["epsilon"], a["factors"], a["units"]
    assert isinstance(count, int) and isinstance(epsilon, float)
    assert isinstance(factors, tuple) and isinstance(units, tuple)
    squares = [x.square().sum(dim=-1, keepdim=True) * unit**2 for x, unit in zip(centred, units, strict=True)]
    variance = torch.stack(squares).sum(dim=0) / count + epsilon
    whole = [
        (x.detach() / float(run.scales[t.name].scale[0])).round().double().numpy()
        for x, t in zip(centred, operator.inputs, strict=True)
    ]
    looked_up = torch.from_numpy(run.lookups[operator.outputs[0].name](whole)).float()
    inverse = _straight_through(variance.rsqrt(), looked_up)
    return tuple(inverse / factor for factor in (1.0, *factors))


def _row_normaliser(run: _Run, _: Operator, x: Tensor, __: Tensor) -> Results:
    summands = x.detach().mul(softmax.STEPS).round_()
    index = summands.sum(dim=-1, keepdim=True).long() // run.divisor
    power = run.power[index]
    return power, _straight_through(1 / (x.sum(dim=-1, keepdim=True) * power), run.rest[index])


def _gelu(_: _Run, operator: Operator, x: Tensor) -> Results:
    return (functional.gelu(x, approximate="tanh" if operator.attributes["approximate"] else "none"),)


def _mean(_: _Run, operator: Operator, x: Tensor) -> Results:
    axis = operator.attributes["axis"]
    assert isinstance(axis, int)
    return (x.mean(dim=axis, keepdim=True),)


def _transpose(_: _Run, operator: Operator, x: Tensor) -> Results:
    permutation = operator.attributes["permutation"]
    assert isinstance(permutation, tuple)
    if has_leading_one(operator.inputs[0]):
        raise ValueError(f"{operator.inputs[0].name}: a batch cannot be transposed")
    return (x.permute(0, *(int(axis) + 1 for axis in permutation)),)


_EVALUATE: dict[Op, Callable[..., Results]] = {
    Op.GATHER: lambda run, o, table, indices: (run.put_on_grid(table[indices], o.outputs[0]),),
    Op.LINEAR: _linear,
    Op.ADD: lambda _, __, a, b: (a + b,),
    Op.SUBTRACT: lambda _, __, a, b: (a - b,),
    Op.MULTIPLY: lambda _, __, a, b: (a * b,),
    Op.CHANNEL_AFFINE: lambda _, __, x, weight, bias: (x * weight + bias,),
    Op.CHANNEL_FACTORS: lambda _, __, x, factors: (x * factors,),
    Op.MEAN: _mean,
    Op.INVERSE_DEVIATION: _inverse_deviation,
    Op.MATMUL: lambda _, __, a, b: (a @ b.transpose(-1, -2),),
    Op.ROW_MAXIMUM: lambda _, __, x: (x.amax(dim=-1, keepdim=True),),
    Op.EXPONENTIAL: lambda _, __, x: (x.exp(),),
    Op.ROW_NORMALISER: _row_normaliser,
    Op.GELU: _gelu,
    Op.TANH: lambda _, __, x: (x.tanh(),),
    Op.RELU: lambda _, __, x: (x.relu(),),
    Op.SPLIT: lambda _, o, x: x.chunk(len(o.outputs), dim=-1),
    Op.CONCAT: lambda _, __, *parts: (torch.cat(parts, dim=-1),),
    Op.RESHAPE: lambda run, o, x: (x.reshape(run.shape(o.outputs[0])),),
    Op.TRANSPOSE: _transpose,
    Op.FIRST: lambda _, __, x: (x[:, :1],),
}
