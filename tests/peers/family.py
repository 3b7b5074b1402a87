"""Accuracy against cost over the sizes: instructions on emulated ARM cores, scores of the integers, a plot and a table.

    python -m tests.peers.family OUT [--userland DIR]

OUT is what converter/recipes/models.sh wrote: family/SIZE-TASK.tflite, and beside each what `edge-converter score
--json` says of it, family/SIZE-TASK.json. Writes docs/models/family.json and docs/models/family.svg, prints the table.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from converter.sizes import PRESETS
from tests.arm.count import count
from tests.arm.emulation import Userland

DOCS = Path(__file__).parents[2] / "docs" / "models"
TOKENS = 16
"""of a command of ten words, special ones and words in two pieces included"""
CORES = ("cortex-a72", "cortex-a76")
FIGURES = {"stsb": ("spearman", "STS-B Spearman"), "hwu64": ("intent_accuracy", "hwu64 intent accuracy")}
"""by task in the file names: what is plotted of the scores"""


def collect(folder: Path, userland: Path) -> list[dict[str, Any]]:
    """A row for each size and task that there is, smallest size first."""
    rows = []
    for size in PRESETS:
        for task, (figure, _) in FIGURES.items():
            model, scores = folder / f"{size}-{task}.tflite", folder / f"{size}-{task}.json"
            if not model.is_file() or not scores.is_file():
                continue
            said = json.loads(scores.read_text(encoding="utf-8"))
            row = {"size": size, "task": task, "megabytes": round(model.stat().st_size / 1e6, 1)}
            row |= {"integers": said["model"][figure], "float32": said["reference"][figure]}
            for core in CORES:
                (found,) = count(Userland(userland), str(model.resolve()), core, (TOKENS,))
                row[core] = found.instructions
            rows.append(row)
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    lines = [
        f"| size | layers × width | task | integers | float32 | MB | M instructions, {' / '.join(CORES)} |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        size = PRESETS[row["size"]]
        counts = " / ".join(f"{row[core] / 1e6:.2f}" for core in CORES)
        lines.append(
            f"| `{row['size']}` | {size.layers} × {size.hidden} | {FIGURES[row['task']][1]} | {row['integers']:.4f} | "
            f"{row['float32']:.4f} | {row['megabytes']} | {counts} |"
        )
    return "\n".join(lines)


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Scores over instructions, a line for each task."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "family"
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for task, (_, name) in FIGURES.items():
        points = [(row[CORES[0]] / 1e6, row["integers"], row["size"]) for row in rows if row["task"] == task]
        axes.plot([x for x, _, _ in points], [y for _, y, _ in points], marker="o", label=name)
        for x, y, size in points:
            axes.annotate(size, (x, y), textcoords="offset points", xytext=(6, -10), fontsize=8)
    axes.set(
        xscale="log", xlabel=f"million instructions at {TOKENS} tokens, {CORES[0]}", ylabel="score of the integers"
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description="accuracy against cost over the sizes")
    parser.add_argument("out", type=Path)
    parser.add_argument("--userland", type=Path, default=Path(os.environ.get("EDGE_ARM", "build/arm"), "arm64"))
    given = parser.parse_args()
    rows = collect(given.out / "family", given.userland)
    DOCS.mkdir(exist_ok=True)
    (DOCS / "family.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    draw(rows, DOCS / "family.svg")
    print(table(rows))


if __name__ == "__main__":
    main()
