"""The encoder that is trained: SqueezeBERT or BERT over packed batches, much faster on a CPU than transformers'.

Its parameters have transformers' names and shapes, so that its state dictionary is a checkpoint's. What makes it fast:
no padding (`packing`), a group's query, key and value in one product, the feed-forward layers staying in their groups'
layout from one to the other, and bfloat16 for the products where it is asked for (weights stay float32).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from converter.checkpoint.configuration import Configuration, check, read_configuration
from converter.checkpoint.encoder import SQUEEZEBERT_LAYER_EPSILON, encoder_prefix
from converter.checkpoint.weights import open_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from converter.sizes import Size
    from converter.train.packing import Packed

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_new": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
    "tanh": torch.tanh,
}
DEVIATION = 0.02
"""of new weights: transformers' `initializer_range`"""


class Grouped(nn.Module):
    """A fully-connected layer in groups: the weights of a Conv1d of width 1, [out, in / groups, 1], or a Linear's."""

    def __init__(self, inputs: int, outputs: int, groups: int, convolution: bool) -> None:
        super().__init__()
        shape = (outputs, inputs // groups, 1) if convolution else (outputs, inputs)
        self.groups = groups
        self.weight = nn.Parameter(torch.randn(shape) * DEVIATION)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def blocks(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weights [groups, in / groups, out / groups] and biases [groups, 1, out / groups]."""
        weight = self.weight.to(dtype).view(self.groups, self.weight.shape[0] // self.groups, -1)
        return weight.transpose(1, 2), self.bias.to(dtype).view(self.groups, 1, -1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in] → [N, out]."""
        if self.groups == 1:
            return functional.linear(x, self.weight.to(x.dtype).view(self.weight.shape[0], -1), self.bias.to(x.dtype))
        return joined(grouped(split(x, self.groups), *self.blocks(x.dtype)))


class Norm(nn.LayerNorm):
    """A LayerNorm whose parameters stay float32 whatever its input is."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


def split(x: Tensor, groups: int) -> Tensor:
    """[N, C] → [groups, N, C / groups], a view."""
    return x.view(x.shape[0], groups, -1).transpose(0, 1)


def joined(x: Tensor) -> Tensor:
    """[groups, N, C / groups] → [N, C]."""
    return x.transpose(0, 1).reshape(x.shape[1], -1)


def grouped(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """[groups, N, in] × [groups, in, out] + [groups, 1, out]."""
    return torch.baddbmm(bias, x, weight)


def attention(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
    """softmax(query · keyᵀ / √size) · value, all [texts, heads, length, size].

    PyTorch's own is faster forwards; backwards it takes 3 to 9 times as long as these products do in bfloat16.
    """
    if not torch.is_grad_enabled():
        return functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2))
    return torch.matmul(functional.dropout(scores.softmax(-1), dropout, dropout > 0), value)


class _Parent(nn.Module):
    """What lends its children a name in the state dictionary."""

    def __init__(self, /, **children: nn.Module) -> None:
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)


class Layer(nn.Module):
    """One encoder layer; `names` says what transformers calls its parts."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        hidden, wide, groups = configuration.hidden_size, configuration.intermediate_size, configuration.groups
        self.heads = configuration.num_attention_heads
        self.activation = ACTIVATIONS[configuration.activation]
        squeeze = configuration.family == "squeezebert"

        def layer(inputs: int, outputs: int, field: str) -> Grouped:
            return Grouped(inputs, outputs, groups[field], convolution=squeeze)

        query, key, value = (layer(hidden, hidden, f"{name}_groups") for name in "qkv")
        attention_output = layer(hidden, hidden, "post_attention_groups")
        intermediate, output = layer(hidden, wide, "intermediate_groups"), layer(wide, hidden, "output_groups")
        if squeeze:
            norms = [Norm(hidden, eps=SQUEEZEBERT_LAYER_EPSILON) for _ in range(2)]
            self.attention = _Parent(query=query, key=key, value=value)
            self.post_attention = _Parent(conv1d=attention_output, layernorm=norms[0])
            self.intermediate = _Parent(conv1d=intermediate)
            self.output = _Parent(conv1d=output, layernorm=norms[1])
        else:
            norms = [Norm(hidden, eps=configuration.layer_norm_eps) for _ in range(2)]
            own = _Parent(query=query, key=key, value=value)
            self.attention = _Parent(self=own, output=_Parent(dense=attention_output, LayerNorm=norms[0]))
            self.intermediate = _Parent(dense=intermediate)
            self.output = _Parent(dense=output, LayerNorm=norms[1])
        # The same modules under the names used here; in a tuple they are not registered twice.
        self.parts = ((query, key, value), attention_output, norms[0], intermediate, output, norms[1])

    def forward(self, x: Tensor, batch: Packed, dropout: float) -> Tensor:
        """States [N, H] → [N, H]."""
        projections, attention_output, attention_norm, intermediate, output, output_norm = self.parts
        context = self.attend(x, batch, projections, dropout)
        x = attention_norm(x + functional.dropout(attention_output(context), dropout, dropout > 0))
        fed = self.feed_forward(x, intermediate, output)
        out: Tensor = output_norm(x + functional.dropout(fed, dropout, dropout > 0))
        return out

    def feed_forward(self, x: Tensor, intermediate: Grouped, output: Grouped) -> Tensor:
        if intermediate.groups != output.groups:
            ungrouped: Tensor = output(self.activation(intermediate(x)))
            return ungrouped
        wide = grouped(split(x, intermediate.groups), *intermediate.blocks(x.dtype))
        return joined(grouped(self.activation(wide), *output.blocks(x.dtype)))

    def attend(self, x: Tensor, batch: Packed, projections: Sequence[Grouped], dropout: float) -> Tensor:
        """Attention's context [N, H], before its output layer."""
        groups = projections[0].groups
        # heads of a group lie together: what a group makes can be attended to without putting the groups together first
        if any(each.groups != groups for each in projections) or self.heads % groups:
            row = torch.cat([each(x) for each in projections], dim=1).unsqueeze(0)
            groups = 1
        else:
            blocks = [each.blocks(x.dtype) for each in projections]
            weight = torch.cat([weight for weight, _ in blocks], dim=2)
            bias = torch.cat([bias for _, bias in blocks], dim=2)
            row = grouped(split(x, groups), weight, bias)
        heads, size = self.heads // groups, x.shape[1] // self.heads
        contexts = []
        # split, and not slices: the gradient of a slice is as long as the whole row
        parts = torch.split(row, [segment.stop - segment.start for segment in batch.segments], dim=1)
        for segment, part in zip(batch.segments, parts, strict=True):
            # [groups, texts × length, 3 × heads × size] → 3 × [groups × texts, heads, length, size]
            three = part.reshape(groups * segment.texts, segment.length, 3, heads, size).permute(2, 0, 3, 1, 4)
            query, key, value = three.contiguous().unbind()
            context = attention(query, key, value, dropout)
            contexts.append(context.transpose(1, 2).reshape(groups, segment.texts * segment.length, heads * size))
        return joined(contexts[0] if len(contexts) == 1 else torch.cat(contexts, dim=1))


class Encoder(nn.Module):
    """Embeddings and layers. `config` is transformers' configuration, what a checkpoint's config.json is made of."""

    def __init__(self, configuration: Configuration, config: Any) -> None:
        super().__init__()
        hidden = configuration.hidden_size
        self.configuration = configuration
        self.config = config
        self.embeddings = _Parent(
            word_embeddings=nn.Embedding(configuration.vocab_size, hidden),
            position_embeddings=nn.Embedding(configuration.max_position_embeddings, hidden),
            token_type_embeddings=nn.Embedding(configuration.type_vocab_size, hidden),
            LayerNorm=Norm(hidden, eps=configuration.layer_norm_eps),
        )
        self.encoder = nn.Module()
        self.layers = [Layer(configuration) for _ in range(configuration.num_hidden_layers)]
        name = "layers" if configuration.family == "squeezebert" else "layer"
        self.encoder.add_module(name, nn.ModuleList(self.layers))
        self.pooler = _Parent(dense=nn.Linear(hidden, hidden))
        for module in self.modules():
            if isinstance(module, nn.Embedding | nn.Linear):
                nn.init.normal_(module.weight, 0.0, DEVIATION)
        nn.init.zeros_(self.pooler.dense.bias)  # type: ignore[union-attr, arg-type]

    @property
    def word_embeddings(self) -> nn.Embedding:
        table = self.embeddings.word_embeddings
        assert isinstance(table, nn.Embedding)
        return table

    def embed(self, batch: Packed, dtype: torch.dtype = torch.float32, dropout: float = 0.0) -> Tensor:
        """The states [N, H] in front of the first layer."""
        parts = self.embeddings
        summed = (
            parts.word_embeddings(batch.ids)  # type: ignore[operator]
            + parts.position_embeddings(batch.positions)  # type: ignore[operator]
            + parts.token_type_embeddings(batch.types)  # type: ignore[operator]
        )
        normed: Tensor = parts.LayerNorm(summed.to(dtype))  # type: ignore[operator]
        return functional.dropout(normed, dropout, dropout > 0)

    def states(self, batch: Packed, dtype: torch.dtype = torch.float32, dropout: float = 0.0) -> list[Tensor]:
        """The states [N, H] in front of the first layer and behind every layer, as `dtype`."""
        result = [self.embed(batch, dtype, dropout)]
        for layer in self.layers:
            result.append(layer(result[-1], batch, dropout))
        return result

    def forward(self, batch: Packed, dtype: torch.dtype = torch.float32, dropout: float = 0.0) -> Tensor:
        """The last layer's states [N, H], as `dtype`.

        Args:
            batch: N tokens.
            dtype: of weights and states in the products, float32 or bfloat16.
            dropout: share of the channels and of the attention that is left out.
        """
        x = self.embed(batch, dtype, dropout)
        for layer in self.layers:
            x = layer(x, batch, dropout)
        return x

    def pool(self, first: Tensor) -> Tensor:
        """transformers' pooler: of the first tokens' states [texts, H], [texts, H] in −1 … 1."""
        return torch.tanh(functional.linear(first.float(), self.pooler.dense.weight, self.pooler.dense.bias))  # type: ignore[union-attr, arg-type]

    def resize_vocabulary(self, kept: Sequence[int]) -> None:
        """Keeps the rows `kept` of the word embeddings, in that order."""
        rows = self.word_embeddings.weight.detach()[torch.tensor(list(kept))].clone()
        table = nn.Embedding(len(kept), rows.shape[1])
        table.weight = nn.Parameter(rows)
        self.embeddings.add_module("word_embeddings", table)
        self.config.vocab_size = len(kept)


def new_encoder(size: Size, vocabulary: int, padding: int | None = None) -> Encoder:
    """A SqueezeBERT with random weights, for `vocabulary` wordpieces."""
    from transformers import SqueezeBertConfig

    attention, feed_forward = ("q_groups", "k_groups", "v_groups"), ("intermediate_groups", "output_groups")
    config = SqueezeBertConfig(
        vocab_size=vocabulary,
        hidden_size=size.hidden,
        embedding_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.intermediate,
        max_position_embeddings=size.positions,
        pad_token_id=padding,
        **dict.fromkeys(attention, size.attention_groups or size.groups),
        **dict.fromkeys(feed_forward, size.groups),
    )
    return Encoder(check(config.to_dict(), Path("config.json")), config)


def load_encoder(folder: Path) -> Encoder:
    """The encoder of a SqueezeBERT or BERT checkpoint folder, whatever head it has; without a pooler a new one.

    Raises:
        CheckpointError: it cannot be read, or lacks a weight other than the pooler's.
    """
    from transformers import BertConfig, SqueezeBertConfig

    configuration = read_configuration(folder)
    kind = SqueezeBertConfig if configuration.family == "squeezebert" else BertConfig
    # Only what describes the encoder: heads and training details of the old checkpoint are not those of the new one.
    known = kind().to_dict()
    described = {name: value for name, value in configuration.fields.items() if name in known}
    for name in ("id2label", "label2id", "architectures", "problem_type"):
        described.pop(name, None)
    model = Encoder(configuration, kind(**described))
    weights = open_weights(folder)
    prefix = encoder_prefix(weights)
    state = {
        name: torch.from_numpy(weights.take(prefix + name, *tensor.shape))
        for name, tensor in model.state_dict().items()
        if prefix + name in weights or not name.startswith("pooler.")
    }
    model.load_state_dict(state, strict=False)
    return model
