"""A network as PyTorch modules: transformers' own encoder classes with a checkpoint's weights, and the heads on top."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from converter.network import Encoder, Head, LayerNorm, Linear, Network

BERT = (
    "encoder.layer.{}.",
    {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention_output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "intermediate": "intermediate.dense",
        "output": "output.dense",
        "output_norm": "output.LayerNorm",
    },
)
SQUEEZEBERT = (
    "encoder.layers.{}.",
    {
        "query": "attention.query",
        "key": "attention.key",
        "value": "attention.value",
        "attention_output": "post_attention.conv1d",
        "attention_norm": "post_attention.layernorm",
        "intermediate": "intermediate.conv1d",
        "output": "output.conv1d",
        "output_norm": "output.layernorm",
    },
)


class Headed(nn.Module):
    """[1, S] int64 token ids → each head's logits or vector, in the network's order of heads."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.encoder = encoder(network.encoder)
        self.heads = nn.ModuleList(_Head(head) for head in network.heads)

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        # all ones is the mask of an unpadded sentence
        states = self.encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        return tuple(head(states) for head in self.heads)


class _Head(nn.Module):
    """Pooling, pooler and tanh, classifier: whatever the head has of them."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.pooling = head.pooling
        self.pooler = None if head.pooler is None else _linear(head.pooler)
        self.classifier = None if head.classifier is None else _linear(head.classifier)

    def forward(self, states: Tensor) -> Tensor:
        if self.pooling == "mean":
            states = states.mean(dim=1)
        elif self.pooling == "first":
            states = states[:, 0]
        if self.pooler is not None:
            states = torch.tanh(self.pooler(states))
        return states if self.classifier is None else self.classifier(states)


def encoder(ours: Encoder) -> Any:
    """transformers' BertModel, or SqueezeBertModel where a layer has groups; no pooler, evaluation mode."""
    first = ours.layers[0]
    groups = {
        "q_groups": first.query.groups,
        "k_groups": first.key.groups,
        "v_groups": first.value.groups,
        "post_attention_groups": first.attention_output.groups,
        "intermediate_groups": first.intermediate.groups,
        "output_groups": first.output.groups,
    }
    sizes = {
        "vocab_size": len(ours.word_embeddings),
        "hidden_size": ours.hidden_size,
        "num_hidden_layers": len(ours.layers),
        "num_attention_heads": ours.attention_heads,
        "intermediate_size": len(first.intermediate.weight),
        "max_position_embeddings": len(ours.position_embeddings),
        "type_vocab_size": len(ours.type_embeddings),
        "hidden_act": ours.activation,
        "layer_norm_eps": ours.embedding_norm.epsilon,
    }
    # SqueezeBERT's layers have an epsilon of their own, which BERT's classes cannot be told
    is_bert = set(groups.values()) == {1} and first.attention_norm.epsilon == ours.embedding_norm.epsilon
    if is_bert:
        names = BERT
        model = transformers.BertModel(transformers.BertConfig(**sizes), add_pooling_layer=False)
    else:
        names = SQUEEZEBERT
        config = transformers.SqueezeBertConfig(**sizes, **groups, embedding_size=ours.hidden_size)
        model = transformers.SqueezeBertModel(config)
    expected = model.state_dict()
    state = {name: torch.from_numpy(value).reshape(expected[name].shape) for name, value in _weights(ours, *names)}
    left = [name for name in model.load_state_dict(state, strict=False).missing_keys if not name.startswith("pooler.")]
    assert not left, left
    return model.eval()


def _weights(ours: Encoder, stem: str, parts: dict[str, str]) -> Iterator[tuple[str, Any]]:
    for kind in ("word", "position"):
        yield f"embeddings.{kind}_embeddings.weight", getattr(ours, f"{kind}_embeddings")
    yield "embeddings.token_type_embeddings.weight", ours.type_embeddings
    yield "embeddings.LayerNorm.weight", ours.embedding_norm.gamma
    yield "embeddings.LayerNorm.bias", ours.embedding_norm.beta
    for i, layer in enumerate(ours.layers):
        for own, theirs in parts.items():
            part = getattr(layer, own)
            weight, bias = (part.gamma, part.beta) if isinstance(part, LayerNorm) else (part.weight, part.bias)
            yield f"{stem.format(i)}{theirs}.weight", weight
            yield f"{stem.format(i)}{theirs}.bias", bias


def _linear(ours: Linear) -> nn.Linear:
    assert ours.groups == 1
    layer = nn.Linear(ours.weight.shape[1], ours.weight.shape[0])
    layer.load_state_dict({"weight": torch.from_numpy(ours.weight), "bias": torch.from_numpy(ours.bias)})
    return layer
