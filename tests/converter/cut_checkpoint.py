"""A model whose keys, values and squares are cut at both ends all the time, for what −128 does to kernels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

import converter
from converter import checkpoint, encoder, flatbuffer, planning, trained
from converter.arrangement import arrange
from converter.calibration import choose_ranges, encode, observe
from converter.quantisation import Range, quantise
from tests.converter.random_checkpoint import WORDS, make

SIZES = {
    "hidden_size": 64,
    "embedding_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
CUT = 8
"""ranges are so many times too narrow"""
SHARPER = 10
"""rows of attention leave most tokens out: their integers are −128"""


def cut(folder: Path) -> tuple[Path, bytes]:
    """Writes a model file to `folder`; also gives the flatbuffer of the same network whose tensors end at −128, as they
    did in older files.
    """
    source = folder / "checkpoint"
    make(source, "SqueezeBertForTokenClassification", **SIZES)
    weights = source / "model.safetensors"
    save_file({k: v * (SHARPER if "query.weight" in k else 1) for k, v in load_file(weights).items()}, weights)
    network = checkpoint.read(source, None)
    generator = np.random.default_rng(0)
    words = [word for word in WORDS if word[0] not in "[#"]
    samples = encode(network, [" ".join(generator.choice(words, 40)) for _ in range(8)], 64)

    arranged = arrange(network, samples, "fast")
    plan = replace(arranged.plan, units={})
    graph = encoder.build(network, plan)
    ranges = {
        tensor: Range(r.low / CUT, r.high / CUT) if tensor.name in arranged.plan.units else r
        for tensor, r in choose_ranges(graph, observe(graph, samples)).items()
    }
    in_units, moved = planning.in_units(plan, graph, {tensor.name: r for tensor, r in ranges.items()})
    named = {tensor.name: tensor for tensor in encoder.build(network, in_units).tensors()}
    trained.write(source, in_units, {named[name]: r for name, r in moved.items()})
    converter.convert(source, folder / "model.tflite")
    return folder / "model.tflite", flatbuffer.write(quantise(graph, ranges), "older")
