"""How our cost grows with tokens, hidden size and layers, beside the count of operations.

Instructions are exact, so a fit shows the work and not the machine: `a × products + b × values + c × scores`. Products
are the multiply-accumulates of linear layers and attention; values are tokens × hidden size × layers, over which
normalisations, activations and layout go; scores are tokens² × heads × layers, which softmax goes over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converter import model_file
from converter.inspection import multiply_accumulates, operator_name
from edge_runtime import load
from tests.arm.budget import ANEW, BUDGET

CORES = ("cortex-a72", "cortex-a76")
BASE = "squeezebert-base"
WORK = ("products", "values", "scores")
FACTORS = "DEPTHWISE_CONV_2D"
"""counted by `values`: what it multiplies is each value with a factor"""


@dataclass(frozen=True)
class Fit:
    products: float
    """instructions a multiply-accumulate"""
    values: float
    """instructions a value"""
    scores: float
    """instructions an attention score"""
    worst: float
    """largest deviation from the fit, as a share"""


def measure(base: Path) -> list[dict[str, Any]]:
    """A row for each model, core and length of the budget of instructions (`tests.arm.budget`), which CI holds them to.

    Args:
        base: SqueezeBERT-base, converted; the budget's other models come along.
    """
    rows = []
    for name, cores in json.loads(BUDGET.read_text("utf-8")).items():
        with load(base if name == BASE else name) as model:
            path = Path(model.info.path)
            sizes = ("hidden_size", "layers", "attention_heads")
            hidden, layers, heads = (int(model.info.architecture[key]) for key in sizes)
        for core in CORES:
            for length, instructions in cores[core].items():
                if length.endswith(ANEW):
                    continue
                tokens = int(length)
                about = {"model": name, "hidden": hidden, "layers": layers, "core": core, "tokens": tokens}
                work = {"values": tokens * hidden * layers, "scores": tokens**2 * heads * layers}
                rows.append({**about, "products": products(path, tokens), **work, "instructions": instructions})
    return rows


def products(path: Path, tokens: int) -> int:
    """Multiply-accumulates of the file's matrix products."""
    content, _ = model_file.read(path)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    named = ((operator_name(model, operator), operator) for operator in graph.operators)
    return sum(multiply_accumulates(name, graph, each, tokens) for name, each in named if name != FACTORS)


def fit(rows: Iterable[dict[str, Any]]) -> Fit:
    """Least squares of relative deviations, so that small models count as much as large ones."""
    content = list(rows)
    counts = np.array([row["instructions"] for row in content], float)
    factors = np.array([[row[name] for name in WORK] for row in content], float) / counts[:, None]
    found, *_ = np.linalg.lstsq(factors, np.ones(len(content)), rcond=None)
    of_product, of_value, of_score = map(float, found)
    return Fit(of_product, of_value, of_score, float(np.abs(factors @ found - 1).max()))


def expected(law: Fit, row: dict[str, Any]) -> float:
    """Instructions by the fit."""
    return sum(float(getattr(law, name)) * float(row[name]) for name in WORK)


def line(tokens: Sequence[float], costs: Sequence[float]) -> tuple[float, float, float]:
    """Cost at no token and for each token, and R² of that straight line."""
    slope, intercept = np.polyfit(tokens, costs, 1)
    left = np.asarray(costs) - (intercept + slope * np.asarray(tokens))
    return float(intercept), float(slope), float(1 - left.var() / np.var(costs))
