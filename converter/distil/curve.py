"""The loss curve as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converter.distil.training import Point


def draw(path: Path, curve: Sequence[Point]) -> None:
    """Training and held-out loss over tokens, as SVG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "distillation"
    figure, loss = plt.subplots(figsize=(7, 4), layout="constrained")
    held_out = [point for point in curve if point.validation is not None]
    loss.plot([p.tokens / 1e6 for p in curve], [p.loss for p in curve], label="training", linewidth=0.8)
    loss.plot([p.tokens / 1e6 for p in held_out], [p.validation for p in held_out], label="held-out text", marker=".")
    loss.set(xlabel="million tokens", ylabel="loss", yscale="log")
    loss.grid(alpha=0.3, which="both")
    loss.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
