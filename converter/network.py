"""The float32 network that a checkpoint holds, free of any framework's names.

`checkpoint` fills these classes from a Hugging Face folder; `graph` turns them into operators. SqueezeBERT and BERT
are the same network here: BERT is SqueezeBERT whose linear layers all have one group (Iandola et al., 2020, section 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

HeadKind = Literal["classification", "tagging", "answer", "fill", "choice", "embedding", "hidden", "pooled"]
Pooling = Literal["first", "mean"]
Activation = Literal["gelu", "gelu_new", "relu", "tanh"]


@dataclass(frozen=True)
class Linear:
    """A fully-connected layer whose input and output channels are cut into `groups` blocks that never meet.

    Output channels `g·out/groups … (g+1)·out/groups − 1` read input channels `g·in/groups … (g+1)·in/groups − 1`.
    """

    weight: Array
    """[out, in / groups]"""
    bias: Array
    """[out]"""
    groups: int = 1


@dataclass(frozen=True)
class LayerNorm:
    gamma: Array
    """[hidden]"""
    beta: Array
    """[hidden]"""
    epsilon: float


@dataclass(frozen=True)
class Layer:
    query: Linear
    key: Linear
    value: Linear
    attention_output: Linear
    attention_norm: LayerNorm
    intermediate: Linear
    output: Linear
    output_norm: LayerNorm


@dataclass(frozen=True)
class Encoder:
    word_embeddings: Array
    """[vocabulary, hidden]"""
    position_embeddings: Array
    """[positions, hidden]"""
    type_embeddings: Array
    """[token types, hidden]"""
    embedding_norm: LayerNorm
    layers: tuple[Layer, ...]
    attention_heads: int
    activation: Activation
    """of the feed-forward layers"""

    @property
    def hidden_size(self) -> int:
        return int(self.word_embeddings.shape[1])

    @property
    def blocks(self) -> int:
        """The least number of blocks of channels that every layer which reads or makes the residual stream cuts into
        a whole number of.
        """
        linears = [
            linear
            for layer in self.layers
            for linear in (
                layer.query,
                layer.key,
                layer.value,
                layer.attention_output,
                layer.intermediate,
                layer.output,
            )
        ]
        return math.lcm(*(linear.groups for linear in linears))


@dataclass(frozen=True)
class Head:
    """What is computed from the encoder's output, in this order: pooling, pooler + tanh, transform, classifier."""

    name: str
    """key of `Model.run`'s result"""
    kind: HeadKind
    labels: tuple[str, ...] = ()
    pooling: Pooling | None = None
    """None: the head works on every token"""
    pooler: Linear | None = None
    """followed by tanh"""
    transform: Linear | None = None
    transform_activation: Activation | None = None
    transform_norm: LayerNorm | None = None
    classifier: Linear | None = None
    temperature: float = 1.0
    """logits are divided by it before softmax (Guo et al., 2017)"""
    threshold: float = 0.0
    """a calibrated probability below it means "not recognised" """
    out_of_scope: str | None = None
    """the label that itself means "not recognised", if the head was trained with one"""
    reliability: tuple[float, ...] = ()
    """of each label, 0 to 1: how far it can be believed; empty: all of them 1"""


@dataclass(frozen=True)
class Network:
    encoder: Encoder
    heads: tuple[Head, ...]
    tokenizer: str
    """tokenizer.json's text"""
    max_length: int
    """tokens, special ones included"""
    family: Literal["squeezebert", "bert"]
    source: str
    """name of the checkpoint: its `_name_or_path`, or the folder's name"""
    licence: str | None = None
    details: dict[str, object] = field(default_factory=dict)
    """what the checkpoint says of itself (training data, metrics …) and the card should repeat"""

    @property
    def parameters(self) -> int:
        """Weights and biases of encoder and heads."""
        return _count(self.encoder) + sum(_count(head) for head in self.heads)


def _count(part: object) -> int:
    if isinstance(part, np.ndarray):
        return part.size
    if isinstance(part, tuple):
        return sum(_count(p) for p in part)
    if is_dataclass(part):
        return sum(_count(getattr(part, f.name)) for f in fields(part))
    return 0
