"""A plain int8 graph of a checkpoint, to hold the cost of the accurate one against.

    python -m tests.arm.naive CHECKPOINT MODEL.tflite

The same network, layout and kernels with nothing done for accuracy: an empty plan, and softmax as the one operator that
TFLite has for it. `python -m tests.arm.count MODEL.tflite` then counts what an inference costs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converter import calibration, checkpoint, encoder, flatbuffer, model_file
from converter.integer import IntegerGraph, IntegerOperator, IntegerTensor, Quantisation
from converter.quantisation import quantise

TEXTS = 32
"""calibration texts: a naive graph's cost does not depend on its scales"""
SHARES = Quantisation(np.array([1 / 256], np.float32), -128)
"""what TFLite demands of SOFTMAX's result"""


def plain_softmax(graph: IntegerGraph) -> IntegerGraph:
    """Each composed softmax becomes one SOFTMAX; what only it used is left out."""
    operators = []
    replaced: dict[IntegerTensor, IntegerTensor] = {}
    for operator in graph.operators:
        inputs = tuple(replaced.get(t, t) for t in operator.inputs)
        out = operator.outputs[0]
        if operator.code == "MUL" and out.name.endswith("probabilities"):
            scores = next(
                t for o in graph.operators for t in o.inputs if t.name == out.name.replace("probabilities", "scores")
            )
            replaced[out] = IntegerTensor(out.name, out.shape, "int8", SHARES)
            operators.append(IntegerOperator("SOFTMAX", (scores,), (replaced[out],), {"beta": 1.0}))
        elif operator.code == "BATCH_MATMUL" and out.name.endswith("context.shares"):
            heads = next(o.outputs[0] for o in graph.operators if out in o.inputs)
            operators.append(IntegerOperator(operator.code, inputs, (heads,), operator.options))
        elif not (operator.code == "MUL" and out.name.endswith("context.heads")):
            operators.append(IntegerOperator(operator.code, inputs, operator.outputs, operator.options))
    needed, kept = set(graph.outputs), []
    for operator in reversed(operators):
        if needed & set(operator.outputs):
            needed |= set(operator.inputs)
            kept.append(operator)
    return IntegerGraph(graph.inputs, graph.outputs, kept[::-1])


def convert(source: Path, output: Path) -> None:
    """Write the plain graph of the checkpoint folder `source`."""
    network = checkpoint.read(source)
    samples = calibration.encode(network, calibration.default_texts()[:TEXTS], calibration.LONGEST)
    graph = encoder.build(network)
    integers = plain_softmax(quantise(graph, calibration.choose_ranges(graph, calibration.observe(graph, samples))))
    flatbuffer.OPTIONS["SOFTMAX"] = schema.SoftmaxOptionsT
    content = flatbuffer.write(integers, "naive")
    about = model_file.manifest(network, integers, content, name="naive", quantisation={}, accuracy={})
    entries = {model_file.MANIFEST: json.dumps(about), model_file.TOKENIZER: network.tokenizer}
    model_file.write(output, model_file.assemble(content, entries))


def main() -> None:
    parser = argparse.ArgumentParser(description="write a plain int8 graph of a checkpoint")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("model", type=Path)
    arguments = parser.parse_args()
    convert(arguments.checkpoint, arguments.model)


if __name__ == "__main__":
    main()
