"""TensorFlow's own conversions of a network: float32, and full-integer post-training quantisation.

    PYTHON tensorflow_peer.py FOLDER

Runs where tensorflow-cpu is installed and imports nothing of ours. FOLDER holds what `exchange` writes; float.tflite,
int8.tflite and tensorflow.json are added.

The graph is what Keras' layers make (LayerNormalization from moments, Dense, softmax, GELU), for one unpadded text of
any length, so no mask has to be quantised. The quantiser is used as its guide says
(https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_integer_quant): a representative
data set, integer operators only, integer output; weights per channel, dense layers included, is its default.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


class Network(tf.Module):  # type: ignore[misc]
    """[1, S] int32 token ids → logits or vectors by head."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.structure = json.loads((folder / "network.json").read_text("utf-8"))
        self.arrays = dict(np.load(folder / "network.npz"))

    @tf.function(input_signature=[tf.TensorSpec([1, None], tf.int32, name="ids")])  # type: ignore[untyped-decorator]
    def __call__(self, ids: Any) -> dict[str, Any]:
        length = tf.shape(ids)[1]
        x = tf.gather(self.arrays["words"], ids) + tf.gather(self.arrays["positions"], tf.range(length))[None]
        x = self.norm("embedding_norm", x)
        for i in range(self.structure["layers"]):
            name = f"layer.{i}"
            attended = self.linear(f"{name}.attention_output", self.attention(name, x, length))
            x = self.norm(f"{name}.attention_norm", attended + x)
            hidden = self.activation(self.linear(f"{name}.intermediate", x))
            x = self.norm(f"{name}.output_norm", self.linear(f"{name}.output", hidden) + x)
        return {head["name"]: self.head(head, x) for head in self.structure["heads"]}

    def attention(self, name: str, x: Any, length: Any) -> Any:
        heads = self.structure["attention_heads"]
        width = x.shape[-1] // heads

        def split(part: str) -> Any:
            return tf.transpose(tf.reshape(self.linear(f"{name}.{part}", x), [1, length, heads, width]), [0, 2, 1, 3])

        # Keras scales the queries, which spares a pass over the scores
        scores = tf.matmul(split("query") * width**-0.5, split("key"), transpose_b=True)
        context = tf.matmul(tf.nn.softmax(scores), split("value"))
        return tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [1, length, heads * width])

    def linear(self, name: str, x: Any) -> Any:
        weight, bias = self.arrays[f"{name}.weight"], self.arrays[f"{name}.bias"]
        groups = self.structure["groups"][name]
        blocks = zip(tf.split(x, groups, axis=-1), np.split(weight, groups), np.split(bias, groups), strict=True)
        parts = []
        for part, w, b in blocks:
            flat = tf.matmul(tf.reshape(part, [-1, w.shape[1]]), w.T) + b
            parts.append(tf.reshape(flat, [1, -1, len(w)]))
        return parts[0] if groups == 1 else tf.concat(parts, axis=-1)

    def norm(self, name: str, x: Any) -> Any:
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        normalised = (x - mean) * tf.math.rsqrt(variance + self.structure["epsilons"][name])
        return normalised * self.arrays[f"{name}.gamma"] + self.arrays[f"{name}.beta"]

    def activation(self, x: Any) -> Any:
        kind = self.structure["activation"]
        return tf.nn.gelu(x, approximate=kind == "gelu_new") if kind.startswith("gelu") else getattr(tf.nn, kind)(x)

    def head(self, head: dict[str, Any], x: Any) -> Any:
        if head["pooling"] == "mean":
            x = tf.reduce_mean(x, axis=1, keepdims=True)
        elif head["pooling"] == "first":
            x = x[:, :1]
        if head["pooler"]:
            x = tf.tanh(self.linear(f"{head['name']}.pooler", x))
        return self.linear(f"{head['name']}.classifier", x) if head["classifier"] else x


def texts(folder: Path) -> list[Any]:
    """Token ids of the calibration texts, [1, S] each."""
    stored = np.load(folder / "calibration.npz")
    return [ids[None].astype(np.int32) for ids in np.split(stored["ids"], stored["ends"][:-1])]


def convert(network: Network, samples: list[Any] | None) -> bytes:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.__call__.get_concrete_function()], network)
    if samples is not None:

        def representative() -> Iterator[dict[str, Any]]:
            for sample in samples:
                yield {"ids": sample}

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def main() -> None:
    folder = Path(sys.argv[1])
    network = Network(folder)
    (folder / "float.tflite").write_bytes(convert(network, None))
    began = time.perf_counter()
    (folder / "int8.tflite").write_bytes(convert(network, texts(folder)))
    found = {"version": tf.__version__, "seconds": round(time.perf_counter() - began, 1)}
    (folder / "tensorflow.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
