"""Plants outliers in a checkpoint's network without changing what it computes in float32.

    python -m tests.converter.planted CHECKPOINT TEXTS

says what they cost the integer sentence vectors: cosine to float32 without them and with those of 8 times the size,
mean and worst of the texts (one per line), simulated.

Which channels can be scaled up and compensated exactly:

- values, channel by channel: the attention's output layer divides again;
- queries and keys, channel by channel, the one against the other;
- all biases of an output layer by one number: LayerNorm takes the mean off;
- the residual stream into a LayerNorm, all channels by one number: LayerNorm divides by the deviation (ε aside). The
  embeddings can so be blown up as they are, later sums only with the LayerNorm before them;
- channels of the residual stream one by one cannot: every LayerNorm reads them together.

`drive` plants what those are in trained networks, and changes what is computed.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from converter import calibration, checkpoint, encoder, evaluation
from converter.arrangement import arrange
from converter.execution import Execution
from converter.graph import Tensor
from converter.network import Array, Encoder, Layer, Linear, Network

CHANNELS = 3
"""that are blown up, of each kind and layer"""
WELL_KNOWN = 0.1
"""of the largest singular value: along weaker directions, rounding would make a neuron fire"""
FIRES = 6.0
"""what a neuron reaches at the tokens that it is for"""


def plant(network: Network, factor: float, seed: int = 0) -> Network:
    """`network` with a few channels of each kind `factor` times as large."""
    generator = np.random.default_rng(seed)
    encoder = network.encoder
    layers = tuple(_layer(layer, factor, generator) for layer in encoder.layers)
    return replace(network, encoder=_embeddings(replace(encoder, layers=layers), factor))


def _embeddings(encoder: Encoder, factor: float) -> Encoder:
    """All embeddings times `factor`, ε with its square; and another constant added to all channels of each position."""
    offset = np.float32(factor / 100) * np.arange(len(encoder.position_embeddings), dtype=np.float32)[:, None]
    return replace(
        encoder,
        word_embeddings=encoder.word_embeddings * np.float32(factor),
        type_embeddings=encoder.type_embeddings * np.float32(factor),
        position_embeddings=(encoder.position_embeddings * np.float32(factor) + offset).astype(np.float32),
        embedding_norm=replace(encoder.embedding_norm, epsilon=encoder.embedding_norm.epsilon * factor * factor),
    )


def _layer(layer: Layer, factor: float, generator: np.random.Generator) -> Layer:
    hidden = len(layer.query.bias)
    values, queries = (_chosen(hidden, factor, generator) for _ in range(2))
    shift = np.float32(factor / 10)
    output, attention_output = layer.output, _columns(layer.attention_output, np.reciprocal(values))
    return replace(
        layer,
        value=_rows(layer.value, values),
        attention_output=replace(attention_output, bias=attention_output.bias + shift),
        query=_rows(layer.query, queries),
        key=_rows(layer.key, np.reciprocal(queries)),
        output=replace(output, bias=output.bias - shift),
    )


def _chosen(hidden: int, factor: float, generator: np.random.Generator) -> Array:
    scale = np.ones(hidden, np.float32)
    scale[generator.choice(hidden, CHANNELS, replace=False)] = factor
    return scale


def _rows(linear: Linear, scale: Array) -> Linear:
    return replace(linear, weight=linear.weight * scale[:, None], bias=linear.bias * scale)


def _columns(linear: Linear, scale: Array) -> Linear:
    width = linear.weight.shape[1]
    rows_of = np.repeat(np.arange(linear.groups), len(linear.bias) // linear.groups)
    return replace(linear, weight=linear.weight * scale.reshape(linear.groups, width)[rows_of])


def drive(network: Network, word: int, channel: int, height: float, seed: int = 0) -> Network:
    """`network` with a neuron of the first layer that fires at tokens `word`, hardly at others, and adds `height` for
    each unit to one channel: a giant.
    """
    layer = network.encoder.layers[0]
    group = channel // (network.encoder.hidden_size // layer.output.groups)
    (size,), read = layer.intermediate.bias.shape, layer.intermediate.weight.shape[1]
    neuron = group * size // layer.intermediate.groups
    rows, is_word = _inputs(network, word, seed)
    rows = rows[:, group * read : (group + 1) * read]
    direction, *_ = np.linalg.lstsq(rows - rows.mean(axis=0), is_word - is_word.mean(), rcond=WELL_KNOWN)
    found = rows @ direction
    most = np.quantile(found[~is_word], 0.99)
    unit = FIRES / (np.median(found[is_word]) - most)

    first, second = layer.intermediate, layer.output
    first = replace(first, weight=first.weight.copy(), bias=first.bias.copy())
    first.weight[neuron], first.bias[neuron] = direction * unit, -most * unit
    second = replace(second, weight=second.weight.copy())
    second.weight[channel, 0] = height
    layers = (replace(layer, intermediate=first, output=second), *network.encoder.layers[1:])
    return replace(network, encoder=replace(network.encoder, layers=layers))


def _inputs(network: Network, word: int, seed: int) -> tuple[Array, NDArray[np.bool]]:
    """What the first layer's feed-forward part reads of random texts, [tokens, hidden], and which tokens are `word`."""
    generator, execution = np.random.default_rng(seed), Execution(encoder.build(network))
    norm = network.encoder.layers[0].attention_norm
    ids, rows = [], []

    def keep(tensor: Tensor, value: Array) -> None:
        if tensor.name == "layer.0.attention.normalised":
            rows.append(value.reshape(-1, len(norm.gamma)) * norm.gamma + norm.beta)

    for _ in range(32):
        ids.append(generator.integers(0, len(network.encoder.word_embeddings), 16))
        execution.run(calibration.inputs(network, ids[-1].tolist()), keep)
    return np.concatenate(rows), np.concatenate(ids) == word


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    network = checkpoint.read(Path(sys.argv[1]), ["embedding"])
    texts = calibration.read_texts(Path(sys.argv[2]))
    samples = calibration.encode(network, calibration.default_texts()[: calibration.MOST_TEXTS], calibration.LONGEST)
    with threadpool_limits(limits=1, user_api="blas"):
        for name, each in (("as it is", network), ("planted", plant(network, 8.0))):
            score = evaluation.simulate(each, arrange(each, samples, "fast"), texts)["embedding"]
            print(f"{name}: {score.cosine_mean:.4f} mean, {score.cosine_worst:.4f} worst")
    return 0


if __name__ == "__main__":
    sys.exit(main())
