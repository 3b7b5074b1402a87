"""The document's plots, from docs/accuracy/results.json."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from tests.peers.accuracy import tables
from tests.peers.accuracy.results import RESULTS, Results

mpl.use("Agg")
LOSSES, SIZES = "losses.png", "calibration.png"
COLOURS = {
    "ours, best": "#0a7d3c",
    "ours, fast": "#5cc98a",
    "ONNX dynamic": "#8a8a8a",
    "ONNX static, products only": "#b9a06a",
    "ONNX static": "#d98a29",
    "ai-edge-quantizer": "#c2528b",
    "TensorFlow Lite PTQ": "#a3262e",
}
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "figure.dpi": 140,
}


def draw(results: Results) -> None:
    """Write both plots beside the results."""
    with mpl.rc_context(STYLE):
        _losses(results, RESULTS.parent / LOSSES)
        _sizes(results.content["calibration size"], RESULTS.parent / SIZES)


def _losses(results: Results, path: Path) -> None:
    """Points lost on each task: mean over seeds, and each seed."""
    lines = tables.losses(results)
    figure, axes = plt.subplots(figsize=(7.2, 0.62 * len(lines) + 1.3))
    methods = [m for m in COLOURS if any(m in line.by_method for line in lines)]
    height = 0.8 / len(methods)
    for row, line in enumerate(lines):
        for place, method in enumerate(methods):
            y = row - 0.4 + height * (place + 0.5)
            lost = line.by_method.get(method, [])
            if lost:
                label = method if row == 0 else None
                axes.barh(y, np.mean(lost), height, color=COLOURS[method], label=label, zorder=2)
                axes.plot(lost, [y] * len(lost), ".", color="black", markersize=2.5, zorder=3)
    axes.set_xscale("symlog", linthresh=1, linscale=0.8)
    axes.set_xticks([-0.5, 0, 0.5, 1, 2, 5, 10, 20, 50], ["−0.5", "0", "0.5", "1", "2", "5", "10", "20", "50"])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(lines)), [f"{line.model}\n{line.score}" for line in lines])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("points lost to float32 (bars: mean, dots: seeds; linear up to 1, logarithmic beyond)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.55 / len(lines) * 2.1), ncols=3, frameon=False)
    _save(figure, path)


def _sizes(points: Iterable[dict[str, Any]], path: Path) -> None:
    """Cosine by size of the calibration set: every draw, and the median of the draws."""
    found: defaultdict[str, defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        for name in ("cosine_mean", "cosine_worst"):
            found[name][point["texts"]].append(point[name])
    figure, axes = plt.subplots(figsize=(7.2, 3.2))
    _spread(axes, found["cosine_mean"], COLOURS["ours, best"], "mean of the sentences")
    _spread(axes, found["cosine_worst"], COLOURS["ONNX static"], "worst sentence")
    sizes = sorted(found["cosine_mean"])
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xlabel("texts calibrated on (dots: draws; lines: their median)")
    axes.set_ylabel("cosine to float32")
    axes.legend(loc="lower right", frameon=False)
    _save(figure, path)


def _spread(axes: Axes, values: dict[int, list[float]], colour: str, label: str) -> None:
    sizes = sorted(values)
    for size in sizes:
        axes.plot([size] * len(values[size]), values[size], ".", color=colour, alpha=0.45, markersize=5)
    axes.plot(sizes, [float(np.median(values[size])) for size in sizes], color=colour, linewidth=1.5, label=label)


def _save(figure: Any, path: Path) -> None:
    # no date and no version in the file: the same results give the same bytes
    figure.savefig(path, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
