"""How good an integer model is, in words that a user understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LEAST_COSINE = 0.98
"""to float32, on average: below it a sentence vector's neighbours begin to change places"""
LEAST_AGREEMENT = 0.95
"""share of texts (or tokens) that keep their label"""
ALIKE = 0.995
"""cosine from which integers and float32 can hardly be told apart"""

NOT_MEASURED = (
    "the result was not measured, for there was too little calibration text to hold any out: "
    "give --calibration at least a hundred texts"
)
FASTER_ADVICE = "convert with --effort best"
ADVICE = (
    "give --calibration a few hundred texts like those the model will see",
    "see with `edge-converter evaluate` where the accuracy goes",
    "train with --quantisation-aware if the training data is at hand",
)


def describe(accuracy: Mapping[str, Any]) -> list[str]:
    """A line for each head of `accuracy`, as a conversion's report holds it."""
    lines = []
    for name, score in accuracy.get("heads", {}).items():
        cosine = f"cosine to float32 {score['cosine_mean']:.4f} on average, {score['cosine_worst']:.4f} at worst"
        same = f"; the same label on {score['agreement']:.1%}" if "agreement" in score else ""
        lines.append(f"{name}: {_word(score)} ({cosine}{same}; {accuracy['texts']} texts held out)")
    return lines


def warnings(accuracy: Mapping[str, Any], effort: str) -> list[str]:
    """What a user should know and can do where a head is not good enough; nothing where all are."""
    weak = [name for name, score in accuracy.get("heads", {}).items() if not is_good(score)]
    if not accuracy.get("heads"):
        return [NOT_MEASURED]
    if not weak:
        return []
    advice: Sequence[str] = (FASTER_ADVICE, *ADVICE) if effort == "fast" else ADVICE
    limits = f"cosine {LEAST_COSINE} and {LEAST_AGREEMENT:.0%} same labels are expected"
    return [f"{', '.join(weak)} lost accuracy in integers ({limits}): {'; or '.join(advice)}"]


def is_good(score: Mapping[str, Any]) -> bool:
    """Of one head: neither its direction nor its labels changed too much."""
    return bool(score["cosine_mean"] >= LEAST_COSINE and score.get("agreement", 1.0) >= LEAST_AGREEMENT)


def _word(score: Mapping[str, Any]) -> str:
    if not is_good(score):
        return "not close to float32"
    return "as good as float32" if score["cosine_mean"] >= ALIKE and score.get("agreement", 1.0) == 1.0 else "good"
