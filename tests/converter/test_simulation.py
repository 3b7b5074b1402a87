"""The integer graph in NumPy against the file in LiteRT's kernels."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from converter import arrangement, calibration, flatbuffer
from converter.checkpoint import read
from converter.graph import Tensor
from converter.network import Array
from converter.simulation import Simulation
from tests.converter.random_checkpoint import make
from tests.converter.test_conversion import soften

MOST_STEPS = 1
"""of int8, between an operator's result here and in a kernel that was given the same operands"""
MOST_OFF = 0.35
"""share of results that are off by that step: ties, which softmax's halves and means of a few tokens often are"""


@pytest.mark.parametrize("groups", [1, 4])
def test_operators_do_what_kernels_do(tmp_path: Path, groups: int) -> None:
    """Given a kernel's operands, every operator's result is the kernel's but for one step where it rounds a tie."""
    config = dict.fromkeys(("q_groups", "k_groups", "v_groups", "intermediate_groups", "output_groups"), groups)
    make(tmp_path, "SqueezeBertForTokenClassification", hidden_size=48, embedding_size=48, **config)
    soften(tmp_path)
    network = read(tmp_path)
    texts = ["turn off the light", "é e 中", "the lights , turn", "Off", "e é e é light ##s", "the the off é"]
    samples = calibration.encode(network, texts, 20)
    arranged = arrangement.arrange(network, samples * 4, "best")
    simulation = Simulation(arranged.graph, arranged.ranges, arranged.integers)
    kernels = Interpreter(
        model_content=flatbuffer.write(arranged.integers, "test"),
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    steps: dict[str, list[Array]] = {}
    for sample in samples:
        values: dict[str, NDArray[Any]] = {**run(kernels, sample), **sample}
        for operator in arranged.graph.operators:
            if all(t.name in values or t.constant is not None for t in (*operator.inputs, *operator.outputs)):
                results = simulation.compute(operator, [values.get(t.name) for t in operator.inputs])
                for tensor, result in zip(operator.outputs, results, strict=True):
                    difference = (values[tensor.name] - result) / simulation.scales[tensor].scale[0]
                    steps.setdefault(tensor.name, []).append(np.abs(difference).ravel())
    assert len(steps) > 80
    for name, each in steps.items():
        off = np.concatenate(each)
        assert off.max() <= MOST_STEPS + 1e-3, name
        assert (off > 0.5).mean() <= MOST_OFF, name


def run(kernels: Interpreter, sample: calibration.Sample) -> dict[str, Array]:
    """Every int8 tensor with one scale as real numbers."""
    for detail in kernels.get_input_details():
        kernels.resize_tensor_input(detail["index"], list(sample["ids"].shape))
    kernels.allocate_tensors()
    for detail in kernels.get_input_details():
        kernels.set_tensor(detail["index"], sample[detail["name"]])
    kernels.invoke()
    values: dict[str, Array] = {}
    for detail in kernels.get_tensor_details():
        scale, zero_point = detail["quantization"]
        if detail["dtype"] == np.int8 and len(detail["quantization_parameters"]["scales"]) == 1:
            with suppress(ValueError):  # some tensors of a fused operator are never there
                values[detail["name"]] = (kernels.get_tensor(detail["index"]).astype(np.float32) - zero_point) * scale
    return values


def test_every_value_is_on_its_grid(tmp_path: Path) -> None:
    """No tensor takes a value that its int8 could not hold."""
    make(tmp_path, "SqueezeBertModel")
    network = read(tmp_path)
    samples = calibration.encode(network, ["turn off the light", "é e 中"], 20)
    arranged = arrangement.arrange(network, samples, "fast")
    simulation = Simulation(arranged.graph, arranged.ranges, arranged.integers)
    seen: set[str] = set()

    def look(tensor: Tensor, value: Array) -> None:
        q = simulation.scales[tensor]
        steps = value / q.scale[0] + q.zero_point
        assert np.abs(steps - np.rint(steps)).max() < 1e-2
        assert steps.min() >= -128.01
        assert steps.max() <= 127.01
        seen.add(tensor.name)

    simulation.run(samples[0], look)
    assert any(name.endswith("residual") for name in seen)
    assert any(name.endswith("inverse_deviation") for name in seen)
