"""Weights rounded with an eye on what the layers compute."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from converter import calibration
from converter.execution import Execution
from converter.graph import Graph, Op, S
from converter.integer import IntegerGraph
from converter.quantisation import Ranges, quantise
from converter.rounding import round_weights
from converter.simulation import Simulation

WIDTH, OUT = 32, 24


def correlated(generator: np.random.Generator) -> NDArray[np.float32]:
    """Rows whose channels depend on each other, as activations' do."""
    mixing = generator.normal(size=(8, WIDTH))
    table: NDArray[np.float32] = (generator.normal(size=(256, 8)) @ mixing).astype(np.float32)
    table += 0.1 * generator.normal(size=table.shape).astype(np.float32)
    return table


def layer(table: NDArray[np.float32], weight: NDArray[np.float32]) -> Graph:
    graph = Graph()
    rows = graph.reshape("rows", graph.input("ids"), (1, S, 1))
    words = graph.gather("words", table, rows)
    graph.outputs.append(graph.linear("linear", words, weight, np.zeros(len(weight), np.float32)))
    return graph


def weight_error(graph: Graph, ranges: Ranges, integers: IntegerGraph, sample: calibration.Sample) -> float:
    """Mean squared error of the layer that comes of its weights alone."""
    simulation = Simulation(graph, ranges, integers)
    operator = next(o for o in graph.operators if o.op is Op.LINEAR)
    seen: dict[str, NDArray[np.float32]] = {}
    simulation.run(sample, lambda t, v: seen.__setitem__(t.name, v))
    named = {t.name: t for o in integers.operators for t in o.inputs}
    w = named["linear.weight"]
    assert w.data is not None and w.quantisation is not None
    real = w.data * w.quantisation.scale[:, None]
    x = seen["words"].reshape(-1, WIDTH)
    return float(np.mean((x @ (real - np.asarray(operator.inputs[1].constant)).T) ** 2))


@pytest.mark.parametrize("seed", range(3))
def test_results_are_nearer_on_other_inputs(seed: int) -> None:
    """Where inputs are correlated, a layer's error on inputs that were not calibrated with falls by a quarter."""
    generator = np.random.default_rng(seed)
    graph = layer(correlated(generator), generator.normal(size=(OUT, WIDTH)).astype(np.float32))
    ids = generator.permutation(256).astype(np.int32)
    used, held_out = {"ids": ids[None, :192]}, {"ids": ids[None, 192:]}
    ranges = calibration.choose_ranges(graph, calibration.observe(graph, [used]))
    rounded = round_weights(graph, ranges, [used])
    nearest, better = quantise(graph, ranges), quantise(graph, ranges, rounded)
    assert weight_error(graph, ranges, better, held_out) < 0.75 * weight_error(graph, ranges, nearest, held_out)


def test_nothing_is_rounded_on_too_little() -> None:
    """With fewer tokens than columns, and in narrow layers, weights are left to the nearest integers."""
    generator = np.random.default_rng(0)
    few = {"ids": np.arange(WIDTH - 1, dtype=np.int32)[None]}
    for outputs, sample in ((OUT, few), (1, {"ids": np.arange(256, dtype=np.int32)[None]})):
        graph = layer(correlated(generator), generator.normal(size=(outputs, WIDTH)).astype(np.float32))
        ranges = calibration.choose_ranges(graph, calibration.observe(graph, [sample]))
        assert round_weights(graph, ranges, [sample]) == {}


def test_progress_is_told() -> None:
    """Each sample and each layer is a step."""
    generator = np.random.default_rng(0)
    graph = layer(correlated(generator), generator.normal(size=(OUT, WIDTH)).astype(np.float32))
    sample = {"ids": np.arange(64, dtype=np.int32)[None]}
    ranges = calibration.choose_ranges(graph, calibration.observe(graph, [sample]))
    steps: list[tuple[int, int]] = []
    round_weights(graph, ranges, [sample, sample], lambda done, of: steps.append((done, of)))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert Execution(graph).run(sample)["linear"].shape == (1, 64, 1, OUT)
