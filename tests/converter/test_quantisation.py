"""The integer graph, run by LiteRT's own kernels, against the float32 graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from converter import flatbuffer
from converter.errors import QuantisationError
from converter.execution import execute
from converter.graph import Graph, Op, Rule, S, alike
from converter.inspection import inspect
from converter.integer import Quantisation
from converter.quantisation import Range, asymmetric, quantise, symmetric, to_int8

KERNELS = [OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES]
WIDTH = 16


def run(graph: Graph, ranges: dict[str, Range], ids: list[int], kernels: OpResolverType) -> NDArray[np.float32]:
    """The first output in real numbers."""
    named = {graph.representative(t): ranges[t.name] for t in graph.tensors() if t.name in ranges}
    content = flatbuffer.write(quantise(graph, named), "test")
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kernels, num_threads=1)
    interpreter.resize_tensor_input(0, [1, len(ids)])
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.array([ids], np.int32))
    interpreter.invoke()
    detail = interpreter.get_output_details()[0]
    scale, zero_point = detail["quantization"]
    real: NDArray[np.float32] = (interpreter.get_tensor(detail["index"]).astype(np.float32) - zero_point) * scale
    return real


def normalising(table: NDArray[np.float32], outliers: NDArray[np.float32] | None) -> Graph:
    """Centred rows and their inverse deviation, and the first divided by the other."""
    graph = Graph()
    rows = graph.reshape("rows", graph.input("ids"), (1, S, 1))
    parts = [graph.gather("main", table, rows)]
    if outliers is not None:
        parts.append(graph.gather("aside", outliers, rows))
    for part in parts:
        part.rule = Rule.SYMMETRIC
    count = sum(p.shape[-1] for p in parts)
    inverse = graph.inverse_deviation(
        "inverse", parts[0], parts[1:], count=count, epsilon=1e-12, factors=(2.0,) * (len(parts) - 1)
    )
    graph.outputs.append(inverse[-1])
    return graph


@pytest.mark.parametrize("kernels", KERNELS, ids=["xnnpack", "builtin"])
@pytest.mark.parametrize("giant", [0.0, 30.0, 3000.0])
def test_inverse_deviation(kernels: OpResolverType, giant: float) -> None:
    """The table look-up gives 1 / deviation within two steps of int8, also where outliers dwarf all other channels."""
    generator = np.random.default_rng(0)
    table = generator.normal(size=(64, WIDTH)).astype(np.float32) * np.geomspace(0.5, 2, 64, dtype=np.float32)[:, None]
    outliers = (giant * generator.choice([0.0, 1.0], (64, 2))).astype(np.float32) if giant else None
    graph = normalising(table, outliers)
    ids = list(range(64))
    expected = execute(graph, {"ids": np.array([ids], np.int32)})[graph.outputs[0].name]
    low, high = float(expected.min()), float(expected.max())
    inverse = Range(low, high) if outliers is None else Range(2 * low, 2 * high)
    bound = float(np.abs(table).max())
    ranges = {"main": Range(-bound, bound), "inverse": inverse, "inverse.aside.0": Range(low, high)}
    if outliers is not None:
        ranges["aside"] = Range(-giant, giant)
    got = run(graph, ranges, ids, kernels)
    resolved = expected > high / 20
    assert np.abs(got - expected).max() <= 2 * high / 255 + 0.02 * high
    assert np.abs(got / expected - 1)[resolved].mean() <= 0.03


@pytest.mark.parametrize("kernels", KERNELS, ids=["xnnpack", "builtin"])
def test_linear_with_zero_rows_and_large_biases(kernels: OpResolverType) -> None:
    """A row of zero weights, and a bias far beyond what its weights can reach, come out right."""
    generator = np.random.default_rng(1)
    table = generator.normal(size=(8, WIDTH)).astype(np.float32)
    weight = generator.normal(size=(4, WIDTH)).astype(np.float32)
    weight[0] = 0
    weight[1] *= 1e-9
    bias = np.array([3.0, 100.0, 0.0, -50.0], np.float32)
    graph = Graph()
    rows = graph.reshape("rows", graph.input("ids"), (1, S, 1))
    graph.outputs.append(graph.linear("linear", graph.gather("words", table, rows), weight, bias))
    ids = list(range(8))
    expected = execute(graph, {"ids": np.array([ids], np.int32)})["linear"]
    ranges = {"words": Range(-3, 3), "words.table": Range(-3, 3), "linear": Range(-60, 100)}
    assert np.abs(run(graph, ranges, ids, kernels) - expected).max() <= 1.0


@pytest.mark.parametrize("kernels", KERNELS, ids=["xnnpack", "builtin"])
@pytest.mark.parametrize("copies", [2, 3, 5, 6])
def test_copies_are_not_all_rounded_to_one_side(kernels: OpResolverType, copies: int) -> None:
    """Beside a weight that leaves few steps to all others, the weights of copies add up to the nearest whole step."""
    number = np.arange(8, dtype=np.float32)
    table = np.concatenate([np.zeros((8, 1), np.float32), np.repeat(number[:, None], copies, axis=1)], axis=1)
    shares = np.array([6.51, 6.49, -6.51, 14.52], np.float32)
    weight = np.concatenate([np.full((4, 1), 127, np.float32), np.repeat(shares[:, None], copies, axis=1)], axis=1)
    graph = Graph()
    rows = graph.reshape("rows", graph.input("ids"), (1, S, 1))
    words = graph.gather("words", table, rows)
    alike = np.array([0] + [1] * copies)
    graph.outputs.append(graph.linear("linear", words, weight, np.zeros(4, np.float32), copies=alike))
    ids = list(range(8))
    end = float(copies * shares.max() * number.max()) + 1
    ranges = {t: Range(-127, 127) for t in ("words", "words.table")} | {"linear": Range(-end, end)}
    expected = execute(graph, {"ids": np.array([ids], np.int32)})["linear"]
    off = np.abs(run(graph, ranges, ids, kernels) - expected).reshape(8, 4)
    assert (off <= 0.5 * number[:, None] + 2 * end / 255).all()


def test_missing_range_is_named() -> None:
    """An activation without a finite range is refused by its name."""
    graph = Graph()
    rows = graph.reshape("rows", graph.input("ids"), (1, S, 1))
    words = graph.gather("words", np.ones((3, WIDTH), np.float32), rows)
    graph.outputs.append(graph.binary(Op.ADD, "double", words, words))
    table = {graph.representative(words): Range(0, 1)}
    with pytest.raises(QuantisationError, match="double"):
        quantise(graph, table)
    with pytest.raises(QuantisationError, match="double"):
        quantise(graph, {**table, graph.outputs[0]: Range(0, float("nan"))})


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.5, 2.0), (-3.0, -1.0), (0.0, 0.0), (-1e-20, 1e20)])
def test_zero_is_always_exact(low: float, high: float) -> None:
    """Whatever the range, 0 has an integer of its own and scales are positive."""
    q = asymmetric(low, high)
    assert -128 <= q.zero_point <= 127
    assert q.scale[0] > 0
    assert to_int8(np.zeros(1, np.float32), q)[0] == q.zero_point
    assert symmetric(low, high).zero_point == 0
    assert symmetric(low, high).scale[0] > 0


def test_values_saturate() -> None:
    """What lies outside the range becomes the nearest end."""
    q = Quantisation(np.array([0.5], np.float32), 10)
    assert to_int8(np.array([-1e9, 1e9, 0.25, 1.0], np.float32), q).tolist() == [-128, 127, 10, 12]


def test_tiny_terms_stay_with_xnnpack(tmp_path: Path) -> None:
    """A term a million times smaller than the sum does not push the addition out of XNNPACK."""
    table = np.random.default_rng(2).normal(size=(8, WIDTH)).astype(np.float32)
    graph = Graph()
    rows = graph.reshape("rows", graph.input("ids"), (1, S, 1))
    words = graph.gather("words", table, rows)
    mean = graph.mean("mean", words, axis=3)
    graph.outputs.append(graph.binary(Op.SUBTRACT, "difference", words, mean))
    ranges = {
        "words": Range(-3, 3),
        "words.table": Range(-3, 3),
        "mean": Range(-1e-6, 1e-6),
        "difference": Range(-3, 3),
    }
    named = {graph.representative(t): ranges[t.name] for t in graph.tensors() if t.name in ranges}
    (tmp_path / "sum.tflite").write_bytes(flatbuffer.write(quantise(graph, named), "test"))
    delegation = inspect(tmp_path / "sum.tflite").delegation
    assert delegation is not None
    assert "SUB" not in delegation.undelegated


@pytest.mark.parametrize("kernels", KERNELS, ids=["xnnpack", "builtin"])
@pytest.mark.parametrize("width", [WIDTH, 1], ids=["a channel each", "one for all"])
@pytest.mark.parametrize(("smallest", "coarse"), [(0.5, False), (1 / 128, False), (1 / 128, True)])
def test_channel_factors(kernels: OpResolverType, width: int, smallest: float, *, coarse: bool) -> None:
    """Factors, alike on one scale or with one each, leave each result within a step and a half of int8; coarse ones are
    on one scale and off by half a step of the largest more.
    """
    generator = np.random.default_rng(0)
    table = generator.uniform(-1, 1, (64, width)).astype(np.float32)
    factors = np.geomspace(smallest, 1, WIDTH, dtype=np.float32) * generator.choice([-1, 1], WIDTH)
    assert alike(factors) == (smallest == 0.5)
    graph = Graph()
    rows = graph.gather("rows", table, graph.reshape("ids.column", graph.input("ids"), (1, S, 1)))
    graph.outputs.append(graph.channel_factors("scaled", rows, factors.astype(np.float32), coarse=coarse))
    assert (graph.operators[-1].op is Op.CHANNEL_FACTORS) == (coarse or alike(factors))
    ids = list(range(64))
    expected = execute(graph, {"ids": np.array([ids], np.int32)})["scaled"]
    got = run(graph, {"rows": Range(-1, 1), "rows.table": Range(-1, 1), "scaled": Range(-1, 1)}, ids, kernels)
    assert got.shape == (1, 64, 1, WIDTH)
    assert np.abs(got - expected).max() <= (2.0 if coarse else 1.5) * 2 / 255
