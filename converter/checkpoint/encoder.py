"""The encoder's weights, from the names that transformers gives them in SqueezeBERT and in BERT."""

from __future__ import annotations

from converter.checkpoint.configuration import Configuration
from converter.checkpoint.weights import Weights
from converter.errors import CheckpointError
from converter.network import Encoder, Layer

# SqueezeBertLayerNorm's own default: SqueezeBERT's layers are built without `layer_norm_eps`, which only its embeddings
# and its language-model head follow (transformers, modeling_squeezebert.py, ConvDropoutLayerNorm).
SQUEEZEBERT_LAYER_EPSILON = 1e-12

# In the order of `Layer`'s fields: query, key, value, attention output and its norm, intermediate, output and its norm.
_LAYER_NAMES = {
    "squeezebert": (
        "encoder.layers.{}.",
        ("attention.query", "attention.key", "attention.value", "post_attention.conv1d", "post_attention.layernorm"),
        ("intermediate.conv1d", "output.conv1d", "output.layernorm"),
    ),
    "bert": (
        "encoder.layer.{}.",
        (
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
            "attention.output.LayerNorm",
        ),
        ("intermediate.dense", "output.dense", "output.LayerNorm"),
    ),
}


def encoder_prefix(weights: Weights) -> str:
    """What the names of the encoder's weights start with: "transformer.", "bert." or nothing.

    Raises:
        CheckpointError: there are no word embeddings under any of them.
    """
    for prefix in ("transformer.", "bert.", ""):
        if f"{prefix}embeddings.word_embeddings.weight" in weights:
            return prefix
    raise CheckpointError(
        f"{weights.source}: the weight embeddings.word_embeddings.weight is missing (looked for it under the prefixes "
        "'transformer.', 'bert.' and none)"
    )


def read_encoder(configuration: Configuration, weights: Weights, prefix: str) -> Encoder:
    """Embeddings and layers, whose weights' names start with `prefix`.

    Raises:
        CheckpointError: a weight is missing, mis-shaped or not finite.
    """
    hidden = configuration.hidden_size
    embeddings = f"{prefix}embeddings."
    return Encoder(
        word_embeddings=weights.take(f"{embeddings}word_embeddings.weight", configuration.vocab_size, hidden),
        position_embeddings=weights.take(
            f"{embeddings}position_embeddings.weight", configuration.max_position_embeddings, hidden
        ),
        type_embeddings=weights.take(
            f"{embeddings}token_type_embeddings.weight", configuration.type_vocab_size, hidden
        ),
        embedding_norm=weights.layer_norm(f"{embeddings}LayerNorm", hidden, configuration.layer_norm_eps),
        layers=tuple(_read_layer(configuration, weights, prefix, i) for i in range(configuration.num_hidden_layers)),
        attention_heads=configuration.num_attention_heads,
        activation=configuration.activation,
    )


def _read_layer(configuration: Configuration, weights: Weights, prefix: str, index: int) -> Layer:
    stem, attention, feed_forward = _LAYER_NAMES[configuration.family]
    base = prefix + stem.format(index)
    query, key, value, attention_output, attention_norm = (base + name for name in attention)
    intermediate, output, output_norm = (base + name for name in feed_forward)
    hidden, wide, groups = configuration.hidden_size, configuration.intermediate_size, configuration.groups
    epsilon = SQUEEZEBERT_LAYER_EPSILON if configuration.family == "squeezebert" else configuration.layer_norm_eps
    return Layer(
        query=weights.linear(query, hidden, hidden, groups["q_groups"]),
        key=weights.linear(key, hidden, hidden, groups["k_groups"]),
        value=weights.linear(value, hidden, hidden, groups["v_groups"]),
        attention_output=weights.linear(attention_output, hidden, hidden, groups["post_attention_groups"]),
        attention_norm=weights.layer_norm(attention_norm, hidden, epsilon),
        intermediate=weights.linear(intermediate, wide, hidden, groups["intermediate_groups"]),
        output=weights.linear(output, hidden, wide, groups["output_groups"]),
        output_norm=weights.layer_norm(output_norm, hidden, epsilon),
    )
