"""A student that starts as near to its teacher as its form allows, layer after layer by least squares.

A grouped layer sees a part of the channels. The best it can do is to predict what the teacher's full layer makes of all
of them from those it sees, which is a regression: the correlations between channels stand in for the ones that are
missing. The student's own states are what is regressed from, so that each layer mends what those before it have lost.

Which attention heads and which neurons of the feed-forward layer stand in which group is free, and so assigned to where
they are predicted best (the assignment problem, Kuhn 1955). A narrower student works on the principal components of the
teacher's states, turned so that all channels carry as much; a shallower one learns to leap layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from converter.train.encoder import ACTIVATIONS, attention

if TYPE_CHECKING:
    from converter.train.encoder import Encoder, Grouped, Layer, Norm
    from converter.train.packing import Packed

RIDGE = 1e-3
"""added to the regressions' diagonals, of their mean: keeps what the texts say nothing of near 0"""


@dataclass(frozen=True)
class Trace:
    """What a teacher's layer computes of N tokens."""

    query: Tensor
    """[N, H]"""
    key: Tensor
    value: Tensor
    attended: Tensor
    """[N, H]: what enters the layer's first norm"""
    middle: Tensor
    """[N, H]: what leaves it"""
    wide: Tensor
    """[N, W]: in front of the activation"""
    fed: Tensor
    """[N, H]: what enters the second norm"""
    out: Tensor
    """[N, H]"""


def initialise(student: Encoder, teacher: Encoder, batch: Packed, layers: Sequence[int], seed: int = 1) -> Tensor:
    """Sets all weights of `student` but the pooler's.

    Args:
        student: with the teacher's vocabulary.
        teacher: at least as wide and as deep, with at least as many heads, of the same size.
        batch: some ten thousand tokens of the texts it will be trained on.
        layers: for each layer of the student, the teacher's (from 0) whose output its own is to be like.
        seed: of the turning of a narrower student's channels.

    Returns:
        The matrix [teacher's width, student's width] that turns the teacher's states into those the student is to have.
    """
    with torch.inference_mode():
        states = teacher.states(batch)
        basis = _basis(torch.cat(states[:: max(1, len(states) // 3)]), student.configuration.hidden_size, seed)
        _embeddings(student, teacher, batch, basis)
        x = student.embed(batch)
        for layer, number in zip(student.layers, layers, strict=True):
            x = _layer(layer, _trace(teacher.layers[number], states[number], batch), x, batch, basis)
    return basis.clone()


def _basis(states: Tensor, width: int, seed: int) -> Tensor:
    if width == states.shape[1]:
        return torch.eye(width)
    values, vectors = np.linalg.eigh((states.T @ states).double().numpy())
    strongest = vectors[:, np.argsort(values)[::-1][:width]]
    # Any rotation spans the same space. A random one spreads it over all channels, and so over all groups.
    turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))
    return torch.from_numpy((strongest @ turn).astype(np.float32))


def _embeddings(student: Encoder, teacher: Encoder, batch: Packed, basis: Tensor) -> None:
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        own, taught = getattr(student.embeddings, name).weight, getattr(teacher.embeddings, name).weight
        own.copy_((taught @ basis)[: len(own)])
    summed = sum(
        getattr(student.embeddings, name)(numbers)
        for name, numbers in (
            ("word_embeddings", batch.ids),
            ("position_embeddings", batch.positions),
            ("token_type_embeddings", batch.types),
        )
    )
    assert isinstance(summed, Tensor)
    _norm(student.embeddings.LayerNorm, summed, teacher.embed(batch) @ basis)  # type: ignore[arg-type]


def _trace(layer: Layer, x: Tensor, batch: Packed) -> Trace:
    (query, key, value), attention_output, attention_norm, intermediate, output, output_norm = layer.parts
    attended = x + attention_output(layer.attend(x, batch, (query, key, value), 0.0))
    middle = attention_norm(attended)
    wide = intermediate(middle)
    fed = middle + output(layer.activation(wide))
    return Trace(query(x), key(x), value(x), attended, middle, wide, fed, output_norm(fed))


def _layer(layer: Layer, taught: Trace, x: Tensor, batch: Packed, basis: Tensor) -> Tensor:
    """Sets one layer's weights; returns its states."""
    projections, attention_output, attention_norm, intermediate, output, output_norm = layer.parts
    groups = projections[0].groups
    size = x.shape[1] // layer.heads
    # Heads: which of the teacher's, and in which group.
    fit = Fit(x, groups)
    explained = torch.stack([fit.explained(target) for target in (taught.query, taught.key, taught.value)]).mean(0)
    # [place of a head, teacher's head]: a head may lie across the border of two groups
    seen_by = torch.arange(layer.heads * size) // (layer.heads * size // groups)
    each = explained.view(groups, -1, size)[seen_by.view(layer.heads, size), :, torch.arange(size)].mean(1)
    heads = _assign(each * taught.value.var(0).view(-1, size).sum(1))
    channels = (heads[:, None] * size + torch.arange(size)).flatten()
    row = []
    for projection, target in zip(projections, (taught.query, taught.key, taught.value), strict=True):
        fit.set(projection, target[:, channels])
        row.append(projection(x))
    context = _attend(row, batch, layer.heads)
    Fit(context, attention_output.groups).set(attention_output, taught.attended @ basis - x)
    summed = x + attention_output(context)
    _norm(attention_norm, summed, taught.middle @ basis)
    x = attention_norm(summed)
    # Neurons: the same.
    fit = Fit(x, intermediate.groups)
    active = ACTIVATIONS["gelu"](taught.wide)
    scores = fit.explained(taught.wide) * active.var(0)
    neurons = _assign(scores.repeat_interleave(intermediate.weight.shape[0] // intermediate.groups, dim=0))
    fit.set(intermediate, taught.wide[:, neurons])
    active = layer.activation(intermediate(x))
    Fit(active, output.groups).set(output, taught.fed @ basis - x)
    summed = x + output(active)
    _norm(output_norm, summed, taught.out @ basis)
    out: Tensor = output_norm(summed)
    return out


def _attend(row: Sequence[Tensor], batch: Packed, heads: int) -> Tensor:
    contexts = []
    for segment in batch.segments:
        query, key, value = (
            part[segment.start : segment.stop].view(segment.texts, segment.length, heads, -1).transpose(1, 2)
            for part in row
        )
        contexts.append(attention(query, key, value, 0.0).transpose(1, 2).reshape(segment.texts * segment.length, -1))
    return torch.cat(contexts)


def _assign(scores: Tensor) -> Tensor:
    """Which column each row of `scores` is to have, no column twice, for the greatest sum."""
    from scipy.optimize import linear_sum_assignment

    _, columns = linear_sum_assignment(scores.numpy(), maximize=True)
    chosen: Tensor = torch.from_numpy(columns)
    return chosen


class Fit:
    """Ridge regression from the channels that each group of a layer sees."""

    def __init__(self, x: Tensor, groups: int) -> None:
        self.mean = x.mean(0)
        self.parts = (x - self.mean).view(len(x), groups, -1).transpose(0, 1).contiguous()
        covariance = (self.parts.transpose(1, 2) @ self.parts).double()
        ridge = RIDGE * covariance.diagonal(dim1=1, dim2=2).mean(1)
        covariance += ridge[:, None, None] * torch.eye(covariance.shape[1], dtype=torch.float64)
        self.factor = torch.linalg.cholesky(covariance)

    def explained(self, target: Tensor) -> Tensor:
        """[groups, columns]: the share of each column's variance that a group's channels predict."""
        centred = target - target.mean(0)
        products = (self.parts.transpose(1, 2) @ centred).double()
        solved = torch.linalg.solve_triangular(self.factor, products, upper=False)
        shares: Tensor = solved.square().sum(1) / centred.double().square().sum(0).clamp_min(1e-12)
        return shares.float()

    def set(self, layer: Grouped, target: Tensor) -> None:
        """Weights and biases of `layer`, whose columns lie group by group in `target` [N, out]."""
        mean = target.mean(0)
        columns = (target - mean).view(len(target), layer.groups, -1).transpose(0, 1)
        weights = torch.cholesky_solve((self.parts.transpose(1, 2) @ columns).double(), self.factor).float()
        layer.weight.copy_(weights.transpose(1, 2).reshape(layer.weight.shape))
        expected = torch.einsum("gi,gio->go", self.mean.view(layer.groups, -1), weights).flatten()
        layer.bias.copy_(mean - expected)


def _norm(norm: Norm, x: Tensor, target: Tensor) -> None:
    """γ and β channel by channel."""
    bare = functional.layer_norm(x, x.shape[1:], eps=norm.eps)
    centred = bare - bare.mean(0)
    norm.weight.copy_((centred * target).sum(0) / centred.square().sum(0).clamp_min(1e-9))
    norm.bias.copy_(target.mean(0) - norm.weight * bare.mean(0))
