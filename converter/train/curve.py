"""The course of a training as a picture and as numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converter.train.training import Epoch


def write(folder: Path, epochs: Sequence[Epoch], tuned: Sequence[Epoch], best: Epoch, options: dict[str, Any]) -> None:
    """Writes training.json and training.svg; `tuned`: the last ones, in integers, of which number 0 is before them."""
    content = {"options": options, "best_epoch": best.number, "epochs": [asdict(each) for each in epochs]}
    if tuned:
        content["integer_epochs"] = [asdict(each) for each in tuned]
    (folder / "training.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    _draw(folder / "training.svg", epochs, tuned, best)


def _draw(path: Path, epochs: Sequence[Epoch], tuned: Sequence[Epoch], best: Epoch) -> None:
    """Loss, and every data set's scores, by epoch; those in integers, dashed, go on where the others end."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "training"
    figure, (losses, scores) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for each, first, style in ((epochs, 0, "-"), (tuned, len(epochs), "--")):
        trained = [one for one in each if one.number]
        losses.plot([first + one.number for one in trained], [one.loss for one in trained], style, marker=".", c="C0")
        colour = 0
        for name in each[0].scores if each else ():
            for metric in each[0].scores[name]:
                if metric != "texts":
                    values = [one.scores[name][metric] for one in each]
                    label = f"{name} {metric}" if style == "-" or not epochs else None
                    numbers = [first + one.number for one in each]
                    scores.plot(numbers, values, style, marker=".", c=f"C{colour}", label=label)
                    colour += 1
    scores.axvline(best.number + (len(epochs) if tuned else 0), color="grey", linewidth=0.8)
    losses.set(xlabel="epoch", ylabel="loss")
    scores.set(xlabel="epoch", ylabel="validation")
    if epochs or tuned:
        scores.legend(fontsize="small")
    for each in (losses, scores):
        each.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
