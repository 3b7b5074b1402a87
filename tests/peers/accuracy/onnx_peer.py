"""ONNX Runtime: a network in float32, and its own ways to 8 bits.

Quantised as https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html says: after its own
pre-processing, weights per channel, and on this kind of CPU (VNNI) unsigned activations beside signed weights.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from converter.network import Network
from tests.peers.accuracy.tflite import Outputs
from tests.peers.accuracy.torch_network import Headed
from tests.peers.tracing import INPUT, MOST_TEXTS, TRACED_LENGTH

MATRIX_PRODUCTS = ["MatMul", "Gemm", "Conv"]
OUTPUT = "head."
"""before a head's name: the exporter calls values inside the graph by operators' names, `embedding` among them"""


def export(network: Network, target: Path) -> None:
    """Write the network with its heads, in float32 and for any number of texts of one length, to `target`."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    texts = torch.export.Dim("B", min=1, max=MOST_TEXTS)
    longest = torch.export.Dim("S", min=1, max=network.max_length)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Headed(network).eval(),
            (torch.ones((2, TRACED_LENGTH), dtype=torch.long),),
            target,
            input_names=[INPUT],
            output_names=[OUTPUT + head.name for head in network.heads],
            dynamic_shapes={INPUT: {0: texts, 1: longest}},
            dynamo=True,
            verbose=False,
            external_data=False,
        )


class _Texts(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, texts: Sequence[Sequence[int]]) -> None:
        self._inputs: Iterator[Any] = iter([{INPUT: np.array([ids], np.int64)} for ids in texts])

    def get_next(self) -> Any:
        return next(self._inputs, None)


def prepare(source: Path, target: Path) -> None:
    """Graph optimisation and shape inference, which every quantisation is to start from.

    Its symbolic inference ends in "incomplete" on the exporter's graphs, in which the shapes are noted already.
    """
    quant_pre_process(source, target, skip_symbolic_shape=True)


def static(prepared: Path, texts: Sequence[Sequence[int]], target: Path, operators: list[str] | None = None) -> None:
    """Static QDQ of all the operators that it can quantise, or of `operators` alone."""
    quantize_static(
        prepared,
        target,
        _Texts(texts),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=operators,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )


def dynamic(prepared: Path, target: Path) -> None:
    """Weights int8, activations quantised anew at every run by what they are.

    The noted shapes are left out: where it turns a Gemm's weight round it would find the old one still noted, and stop.
    """
    model = onnx.load(prepared)
    del model.graph.value_info[:]
    # without the notes it does not know what the operators of ONNX Runtime's own give
    kind = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(model, target, per_channel=True, weight_type=QuantType.QInt8, extra_options=kind)


def run(model: Path, texts: Iterable[Sequence[int]]) -> Outputs:
    """Run `model` on each text at its exact length, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name.removeprefix(OUTPUT) for output in session.get_outputs()]
    results = []
    for ids in texts:
        values = session.run(None, {INPUT: np.array([ids], np.int64)})
        results.append(
            {n: np.asarray(v, np.float32).reshape(-1, v.shape[-1]) for n, v in zip(names, values, strict=True)}
        )
    return results
