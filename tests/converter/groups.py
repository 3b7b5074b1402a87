"""A grouped network beside the same one with whole layers, both in integers: what groups cost.

    python -m tests.converter.groups CHECKPOINT TEXTS

CHECKPOINT is a folder, or the name of one that comes along; TEXTS has one text a line. Cosine of the sentence vectors
to float32, mean and worst, simulated (`--effort fast`, a third of the converter's calibration texts).
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from converter import arrangement, calibration, checkpoint, evaluation, starters
from converter.evaluation import HeadScore
from converter.network import Layer, Linear, Network

HEAD = "embedding"
CALIBRATION = 96


def without_groups(network: Network) -> Network:
    """The same network, the weights between different groups being 0."""
    layers = tuple(_whole_layer(layer) for layer in network.encoder.layers)
    return replace(network, encoder=replace(network.encoder, layers=layers))


def _whole_layer(layer: Layer) -> Layer:
    return replace(
        layer,
        query=_whole(layer.query),
        key=_whole(layer.key),
        value=_whole(layer.value),
        attention_output=_whole(layer.attention_output),
        intermediate=_whole(layer.intermediate),
        output=_whole(layer.output),
    )


def _whole(linear: Linear) -> Linear:
    blocks = np.split(linear.weight, linear.groups)
    rows, columns = blocks[0].shape
    weight = np.zeros((linear.groups, rows, linear.groups, columns), np.float32)
    for g, block in enumerate(blocks):
        weight[g, :, g] = block
    return Linear(weight.reshape(len(linear.bias), -1), linear.bias)


def compare(network: Network, calibrating: list[str], texts: list[str], longest: int) -> tuple[HeadScore, HeadScore]:
    """Scores on `texts` of `network` as it is and without groups."""
    grouped, whole = (
        evaluation.simulate(
            each, arrangement.arrange(each, calibration.encode(each, calibrating, longest), "fast"), texts
        )[HEAD]
        for each in (network, without_groups(network))
    )
    return grouped, whole


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    network = checkpoint.read(starters.find(sys.argv[1]), [HEAD])
    with threadpool_limits(limits=1, user_api="blas"):
        texts = calibration.read_texts(Path(sys.argv[2]))
        found = compare(network, calibration.default_texts()[:CALIBRATION], texts, calibration.LONGEST)
    for name, score in zip(("as it is", "without groups"), found, strict=True):
        print(f"{name:16}{score.cosine_mean:.4f} {score.cosine_worst:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
