"""How our cost grows with tokens, hidden size and layers, beside the count of operations.

Instructions are exact, so a fit shows the work and not the machine: `instructions = a × products + b × values`, where
products are the multiply-accumulates of linear layers and attention, and values are tokens × hidden size × layers:
normalisations, activations and layout go over them a fixed number of times.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import converter
import converter.checkpoint
from converter.calibration import default_texts
from converter.network import Linear
from tests.arm.count import count
from tests.arm.emulation import Userland
from tests.peers import checkpoint
from tests.peers.accuracy.exchange import LAYER_PARTS

SIZES = ((768, 12), (768, 6), (768, 3), (384, 12), (384, 6), (192, 12))
"""hidden size, layers"""
LENGTHS = (8, 16, 32, 64, 128, 256, 512)
LENGTHS_OF_SIZES = (16, 128)
CORES = ("cortex-a72", "cortex-a76")
TEXTS = 8
"""calibration texts: cost does not depend on scales"""
BASE = SIZES[0]


@dataclass(frozen=True)
class Fit:
    products: float
    """instructions a multiply-accumulate"""
    values: float
    """instructions a value"""
    worst: float
    """largest deviation from the fit, as a share"""


def measure(build: Path, model: Path, userland: Userland, keep: Callable[[dict[str, Any]], None]) -> None:
    """Give `keep` a row for each size, core and length."""
    folder = build / "sizes"
    folder.mkdir(parents=True, exist_ok=True)
    for hidden, layers in SIZES:
        source = folder / f"{hidden}x{layers}"
        if not (source / "config.json").exists():
            checkpoint.save(source, hidden=hidden, layers=layers)
        network = converter.checkpoint.read(source)
        file, lengths = model, LENGTHS
        if (hidden, layers) != BASE:
            file, lengths = source.with_suffix(".tflite"), LENGTHS_OF_SIZES
            if not file.exists():
                texts = folder / "texts.txt"
                texts.write_text("\n".join(default_texts()[:TEXTS]), encoding="utf-8")
                converter.convert(source, file, calibration=texts, effort="fast")
        weights = sum(
            part.weight.size
            for layer in network.encoder.layers
            for name in LAYER_PARTS
            if isinstance(part := getattr(layer, name), Linear)
        )
        for core in CORES:
            for row in count(userland, str(file.resolve()), core, lengths):
                products = row.length * weights + 2 * row.length**2 * hidden * layers
                about = {"hidden": hidden, "layers": layers, "core": core, "tokens": row.length}
                values = row.length * hidden * layers
                keep({**about, "products": products, "values": values, "instructions": row.instructions})
        print(f"fit: {hidden} wide, {layers} layers: done", file=sys.stderr, flush=True)


def fit(rows: Iterable[dict[str, Any]]) -> Fit:
    """Least squares of relative deviations, so that small models count as much as large ones."""
    content = list(rows)
    counts = np.array([row["instructions"] for row in content], float)
    factors = np.array([[row["products"], row["values"]] for row in content], float) / counts[:, None]
    (products, values), *_ = np.linalg.lstsq(factors, np.ones(len(content)), rcond=None)
    worst = float(np.abs(factors @ (products, values) - 1).max())
    return Fit(float(products), float(values), worst)


def line(tokens: Sequence[float], costs: Sequence[float]) -> tuple[float, float, float]:
    """Cost at no token and for each token, and R² of that straight line."""
    slope, intercept = np.polyfit(tokens, costs, 1)
    left = np.asarray(costs) - (intercept + slope * np.asarray(tokens))
    return float(intercept), float(slope), float(1 - left.var() / np.var(costs))
