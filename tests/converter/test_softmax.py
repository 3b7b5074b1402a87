"""Softmax from small operators, run by LiteRT, against float32."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from converter import flatbuffer
from converter.execution import execute
from converter.graph import Graph, Op, S
from converter.quantisation import Range, quantise
from converter.softmax import LARGEST_SUM, normaliser

HEADS, WIDTH = 2, 16
KERNELS = [OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES]


def attention(table: NDArray[np.float32], longest: int) -> Graph:
    """Softmax of the products of embedded tokens with each other: [HEADS, S, S]."""
    graph = Graph(longest)
    rows = graph.reshape("rows", graph.input("ids"), (1, S, 1))
    positions = graph.input("positions")
    x = graph.reshape("heads", graph.gather("words", table, rows), (S, HEADS, WIDTH // HEADS))
    x = graph.transpose("transposed", x, (1, 0, 2))
    weights, rest = graph.softmax("softmax", graph.matmul("scores", x, x), positions)
    graph.outputs.append(graph.binary(Op.MULTIPLY, "shares", weights, rest))
    return graph


@pytest.mark.parametrize("kernels", KERNELS, ids=["xnnpack", "builtin"])
@pytest.mark.parametrize("longest", [64, 2048], ids=["whole table", "thinned table"])
@pytest.mark.parametrize("sharpness", [0.0, 1.0, 4.0])
def test_shares(kernels: OpResolverType, longest: int, sharpness: float) -> None:
    """From even attention to attention on one token, each share is within two steps of 1/256 and a row adds up to 1."""
    generator = np.random.default_rng(0)
    table = (sharpness * generator.normal(size=(64, WIDTH))).astype(np.float32)
    graph = attention(table, longest)
    for length in (1, 2, 9, 60):
        sample = {
            "ids": generator.integers(0, 64, (1, length)).astype(np.int32),
            "positions": np.arange(length, dtype=np.int32)[None],
        }
        expected = execute(graph, sample)["shares"]
        assert np.allclose(expected.sum(axis=-1), 1, atol=1e-5)
        top = float(np.abs(table).max()) or 1.0
        scores = 8 * top * top
        real = {"words": Range(-top, top), "words.table": Range(-top, top), "scores": Range(-scores, scores)}
        step = 2 * scores / 255
        named = {graph.representative(t): real[t.name] for t in graph.tensors() if t.name in real}
        named[graph.outputs[0]] = Range(0, 1)
        content = flatbuffer.write(quantise(graph, named), "test")
        interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kernels, num_threads=1)
        for detail in interpreter.get_input_details():
            interpreter.resize_tensor_input(detail["index"], [1, length])
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], sample[detail["name"]])
        interpreter.invoke()
        detail = interpreter.get_output_details()[0]
        scale, zero_point = detail["quantization"]
        got = (interpreter.get_tensor(detail["index"]).astype(np.float32) - zero_point) * scale
        # a score rounded by half a step (and another half for its operands) moves a share by that factor
        assert (np.abs(got - expected) <= 2 / 255 + expected * (np.exp(1.5 * step) - 1)).all()
        assert np.abs(got.sum(axis=-1) - 1).max() <= length / 255 / 2 + 2 / 255


def test_normaliser_is_a_power_of_two_and_a_rest() -> None:
    """For every possible sum the product of both is its inverse, and the power is one that 8 bits hold exactly."""
    sums = np.linspace(1, 600, 10_000, dtype=np.float32)
    power, rest = normaliser(sums)
    assert np.allclose(power * rest * sums, 1, atol=1e-5)
    assert set(np.unique(power * 128)) <= {2.0**k for k in range(8)}
    assert rest.max() <= 1
    left = power * sums
    assert left.max() <= LARGEST_SUM
    assert left[(sums >= LARGEST_SUM / 2) & (sums < 512)].min() >= LARGEST_SUM / 2
