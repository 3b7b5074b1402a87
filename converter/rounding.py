"""Rounds weights so that the layers' results, not the weights, are off by little.

For a row w of a weight and the inputs x that calibration saw, E (ŵ·x − w·x)² = (ŵ − w)ᵀ H (ŵ − w) with H = E x xᵀ.
Going round the columns, each integer is set to what is best given all the others (coordinate descent; QuantEase, Behdin
et al., 2023). H is taken from the integers that reach the layer in the quantised network: its entries are sums of
products of integers, and the descent itself is made of single multiplications and additions, so the outcome is the same
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converter import exact
from converter.calibration import Sample
from converter.graph import Graph, Op, Tensor
from converter.integer import HIGHEST, Quantisation
from converter.network import Array
from converter.quantisation import Ranges, Rounded, quantise, weight_scales
from converter.simulation import Simulation

PASSES = 3
"""the third moves one integer in fifty"""
DAMPING = 0.3
"""of H's mean diagonal, added to it: keeps to the nearest integers where the calibration texts say little"""
NARROW = 16
"""a layer with so many more inputs than outputs has its weights rounded to the nearest: those of outlier channels and
of statistics, whose H a few extreme tokens make alone"""
LEAST_TOKENS = 1
"""per column of a weight: fewer say too little of it, and the nearest integers are kept"""


def round_weights(
    graph: Graph,
    ranges: Ranges,
    samples: Iterable[Sample],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Rounded:
    """Integers for the weights of `graph`'s linear layers.

    Args:
        graph, ranges: as for `quantise`.
        samples: what the layers' inputs are taken from.
        progress: called with (steps done, steps).
    """
    samples = list(samples)
    layers = [o for o in graph.operators if o.op is Op.LINEAR]
    steps = len(samples) + len(layers)
    simulation = Simulation(graph, ranges, quantise(graph, ranges))
    inputs = {o.inputs[0] for o in layers}
    seen: dict[Tensor, _Products] = {t: _Products() for t in inputs}

    def see(tensor: Tensor, value: Array) -> None:
        if tensor in inputs:
            seen[tensor].add(value.reshape(-1, value.shape[-1]) / simulation.scales[tensor].scale[0])

    for i, sample in enumerate(samples):
        simulation.run(sample, see)
        progress(i + 1, steps)
    rounded = {}
    for i, operator in enumerate(layers):
        x, weight, bias = operator.inputs
        outputs, columns = weight.shape
        if outputs * NARROW > columns and seen[x].tokens >= LEAST_TOKENS * columns:
            rounded[weight] = _descend(weight, bias, seen[x].mean(), simulation.scales[x])
        progress(len(samples) + i + 1, steps)
    return rounded


@dataclass
class _Products:
    """Σ x xᵀ over the tokens seen, x being the integers that reach a layer."""

    total: NDArray[np.float64] | float = 0.0
    tokens: int = 0

    def add(self, x: Array) -> None:
        whole = np.rint(x).astype(np.float64)
        # at most 255² a token: exact, whatever the order of the sum
        self.total = self.total + whole.T @ whole
        self.tokens += len(x)

    def mean(self) -> NDArray[np.float64]:
        return np.asarray(self.total) / self.tokens


def _descend(weight: Tensor, bias: Tensor, gram: NDArray[np.float64], x: Quantisation) -> NDArray[np.int8]:
    rows, offset = np.asarray(weight.constant, np.float64), np.asarray(bias.constant, np.float64)
    exact_rows = rows / weight_scales(rows, offset, float(x.scale[0]))[:, None]
    integers = np.clip(np.rint(exact_rows), -HIGHEST, HIGHEST).T.copy()  # [in, out]: a column in one piece
    wanted = exact_rows.T
    diagonal = gram.diagonal() + DAMPING * exact.mean(gram.diagonal())
    slope = exact.product((integers - wanted).T, gram).T.copy()  # H · (ŵ − w)
    slope += (diagonal - gram.diagonal())[:, None] * (integers - wanted)
    for _ in range(PASSES):
        for j in range(len(integers)):
            if diagonal[j] == 0:
                continue
            best = np.clip(np.rint(integers[j] - slope[j] / diagonal[j]), -HIGHEST, HIGHEST)
            moved = np.flatnonzero(best != integers[j])
            if moved.size:
                step = best[moved] - integers[j, moved]
                integers[j, moved] = best[moved]
                slope[:, moved] += gram[:, j, None] * step
                slope[j, moved] += (diagonal[j] - gram[j, j]) * step
    return integers.T.astype(np.int8)
