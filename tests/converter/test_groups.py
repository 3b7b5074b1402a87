"""Grouped layers in integers, beside the same network with none."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from converter import arrangement, calibration, checkpoint, evaluation, starters
from converter.network import Linear, Network

TEXTS = 16


def without_groups(network: Network) -> Network:
    """The same network, the weights between different groups being 0."""

    def whole(linear: Linear) -> Linear:
        blocks = np.split(linear.weight, linear.groups)
        rows, columns = blocks[0].shape
        weight = np.zeros((linear.groups, rows, linear.groups, columns), np.float32)
        for g, block in enumerate(blocks):
            weight[g, :, g] = block
        return Linear(weight.reshape(len(linear.bias), -1), linear.bias)

    def layer_without(layer: object) -> object:
        linears = {f.name: getattr(layer, f.name) for f in fields(layer)}  # type: ignore[arg-type]
        return replace(layer, **{n: whole(x) for n, x in linears.items() if isinstance(x, Linear)})  # type: ignore[type-var]

    layers = tuple(layer_without(layer) for layer in network.encoder.layers)
    return replace(network, encoder=replace(network.encoder, layers=layers))  # type: ignore[arg-type]


def test_groups_lose_no_more_than_none() -> None:
    """A trained SqueezeBERT of four groups is as near to float32 as the same network of whole layers, or nearer."""
    network = checkpoint.read(starters.find("tiny"), ["embedding"])
    texts = calibration.default_texts()
    found = []
    for each in (network, without_groups(network)):
        arranged = arrangement.arrange(each, calibration.encode(each, texts[TEXTS : 3 * TEXTS], 24), "fast")
        found.append(evaluation.simulate(each, arranged, texts[:TEXTS])["embedding"])
    grouped, whole = found
    assert grouped.cosine_mean > 0.95
    assert 1 - grouped.cosine_mean <= 1 - whole.cosine_mean
