"""The document's tables, from docs/accuracy/results.json, written between the marks that it has for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tests.peers import document
from tests.peers.accuracy.results import DOCUMENT, Results
from tests.peers.document import table

REFERENCE = "float32"
OURS = ("ours, best", "ours, fast")
PEERS = (
    "TensorFlow Lite PTQ",
    "ai-edge-quantizer",
    "ONNX static",
    "ONNX static, products only",
    "ONNX dynamic",
)
PRETRAINED = "all-MiniLM-L6-v2"
SCORES = {"accuracy": "sentiment accuracy", "Spearman": "similarity, Spearman's ρ"}
"""those that their own names do not explain"""
ANSWERS = {"classification": "sentiment", "intent": "intents", "slots": "slots, by token", "tags": "entities, by token"}
"""by head"""


@dataclass(frozen=True)
class Line:
    """One score of one model, by method: points lost to float32, one for each seed."""

    model: str
    score: str
    float32: list[float]
    by_method: dict[str, list[float]]


def losses(results: Results) -> list[Line]:
    """In the order in which the results have the models."""
    lines = []
    for model, task in _models(results):
        rows = [m for m in results.measurements if (m["model"], m["task"]) == (model, task)]
        reference = {m["seed"]: m["scores"] for m in rows if m["method"] == REFERENCE}
        for score in next(iter(reference.values())):
            lost: dict[str, list[float]] = {}
            for m in rows:
                if m["method"] != REFERENCE:
                    lost.setdefault(m["method"], []).append(reference[m["seed"]][score] - m["scores"][score])
            lines.append(Line(model, SCORES.get(score, score), [s[score] for s in reference.values()], lost))
    return lines


def scores(results: Results) -> str:
    """Change in points, mean over seeds."""
    rows = []
    for line in losses(results):
        cells = [_mean_change(line.by_method.get(method, []), len(line.float32)) for method in (*OURS, *PEERS)]
        rows.append([f"{line.model}: {line.score}", f"{np.mean(line.float32):.1f}", *cells])
    return table(["", "float32", *OURS, *PEERS], rows)


def answers(results: Results) -> str:
    """How many answers differ from float32's, in per cent: of texts, or of tokens; the mean over seeds."""
    rows = []
    for model, task in _models(results):
        found = [m for m in results.measurements if (m["model"], m["task"]) == (model, task)]
        for head in (key for key in found[0]["likeness"] if key.startswith("same ")):
            cells = []
            for method in (*OURS, *PEERS):
                same = [m["likeness"][head] for m in found if m["method"] == method]
                cells.append(f"{100 - 100 * np.mean(same):.1f}" if same else "–")
            rows.append([f"{model}: {ANSWERS[head.removeprefix('same ')]}", *cells])
    return table(["", *OURS, *PEERS], rows)


def vectors(results: Results) -> str:
    """How near the pretrained model's sentence vectors stay to float32, and what each file holds."""
    rows = []
    for method in (*OURS, *PEERS):
        found = [m for m in results.measurements if m["model"] == PRETRAINED and m["method"] == method]
        for m in found:
            floats = "–" if m["float_tensors"] is None else str(m["float_tensors"])
            cosines = [f"{m['likeness'][key]:.4f}" for key in ("cosine mean", "cosine worst")]
            rows.append([method, *cosines, f"{m['scores']['Spearman']:.2f}", f"{m['megabytes']:.1f}", floats])
    headings = ["", "cosine, mean", "cosine, worst", "Spearman", "file, MB", "float tensors"]
    return table(headings, rows)


def seeds(results: Results) -> str:
    """Ours, seed by seed."""
    rows = []
    for line in losses(results):
        if len(line.float32) > 1:
            cells = [" / ".join(_mean_change([lost], 1) for lost in line.by_method.get(m, [])) for m in OURS]
            rows.append([f"{line.model}: {line.score}", " / ".join(f"{v:.1f}" for v in line.float32), *cells])
    return table(["", "float32", *OURS], rows)


def calibration(results: Results) -> str:
    """Median and range of the draws, by size of the calibration set."""
    points = results.content["calibration size"]
    rows = []
    for size in sorted({p["texts"] for p in points}):
        cells = []
        for name in ("cosine_mean", "cosine_worst"):
            values = [p[name] for p in points if p["texts"] == size]
            cells.append(f"{np.median(values):.4f} ({min(values):.4f} to {max(values):.4f})")
        rows.append([str(size), *cells])
    return table(["texts", "cosine, mean: median (range) of the draws", "cosine, worst: the same"], rows)


def ablation(results: Results) -> str:
    rows = [
        [r["variant"], f"{r['cosine_mean']:.4f}", f"{r['cosine_worst']:.4f}", str(r["operators"])]
        for r in results.content["ablation"]
    ]
    return table(["", "cosine, mean", "cosine, worst", "operators"], rows)


def cost(results: Results) -> str:
    """Time by length, and as a multiple of the naive graph's."""
    found = {(r["model"], r["tokens"]): r for r in results.content["cost"]}
    models, lengths = (list(dict.fromkeys(key[place] for key in found)) for place in (0, 1))
    rows = []
    for model in models:
        cells = []
        for length in lengths:
            r = found[model, length]
            ratio = "" if model == models[0] else f": {r['ratio']:.2f}"
            cells.append(f"{r['ms']:.2f} ms{ratio}")
        rows.append([model, *cells])
    return table(["", *(f"{length} tokens" for length in lengths)], rows)


def instructions(results: Results) -> str:
    """Counts on emulated ARM cores, and as a multiple of the naive graph's."""
    found = {(r["model"], r["core"], r["length"]): r["instructions"] for r in results.content["instructions"]}
    columns = list(dict.fromkeys((core, length) for _, core, length in found))
    rows = []
    for model in dict.fromkeys(key[0] for key in found):
        cells = []
        for core, length in columns:
            count, plain = found[model, core, length], found["naive", core, length]
            cells.append(f"{count / 1e6:.1f} M" + ("" if model == "naive" else f": {count / plain:.2f}"))
        rows.append([model, *cells])
    return table(["", *(f"{core}, {length} tokens" for core, length in columns)], rows)


TABLES: dict[str, Callable[[Results], str]] = {
    "scores": scores,
    "answers": answers,
    "vectors": vectors,
    "seeds": seeds,
    "calibration": calibration,
    "ablation": ablation,
    "cost": cost,
    "instructions": instructions,
}


def fill(text: str, results: Results) -> str:
    """The document with its tables made anew."""
    return document.fill(text, {name: partial(make, results) for name, make in TABLES.items()})


def write(results: Results) -> None:
    DOCUMENT.write_text(fill(DOCUMENT.read_text("utf-8"), results), encoding="utf-8")


def _models(results: Results) -> list[tuple[str, str]]:
    """Models with their tasks, in the order in which the results have them."""
    return list(dict.fromkeys((m["model"], m["task"]) for m in results.measurements))


def _mean_change(lost: Sequence[float], seeds: int) -> str:
    """Minus is worse than float32; how many seeds, where not all of them were measured."""
    if not lost:
        return "–"
    change = f"{-float(np.mean(lost)):+.2f}".replace("-", "−")
    return ("0.00" if change[1:] == "0.00" else change) + ("" if len(lost) == seeds else f" ({len(lost)})")
