"""The course of a training as a picture and as numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converter.train.training import Epoch


def write(folder: Path, epochs: Sequence[Epoch], best: Epoch, options: dict[str, Any]) -> None:
    """Writes training.json and training.svg."""
    content = {"options": options, "best_epoch": best.number, "epochs": [asdict(each) for each in epochs]}
    (folder / "training.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    _draw(folder / "training.svg", epochs, best)


def _draw(path: Path, epochs: Sequence[Epoch], best: Epoch) -> None:
    """Loss, and every data set's scores, by epoch."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "training"
    figure, (losses, scores) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    numbers = [each.number for each in epochs]
    losses.plot(numbers, [each.loss for each in epochs], marker=".")
    losses.set(xlabel="epoch", ylabel="loss")
    for name in epochs[0].scores:
        for metric in epochs[0].scores[name]:
            if metric != "texts":
                scores.plot(
                    numbers, [each.scores[name][metric] for each in epochs], marker=".", label=f"{name} {metric}"
                )
    scores.axvline(best.number, color="grey", linewidth=0.8)
    scores.set(xlabel="epoch", ylabel="validation")
    scores.legend(fontsize="small")
    for each in (losses, scores):
        each.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
