"""What a size costs and what it reaches: assistants of several sizes as a table and a picture for docs/models.md.

python -m converter.recipes.sizes docs/models/sizes.json docs/models/sizes.svg

`sizes.json` is a list with an object for each model: its name, layers, width, megabytes, million instructions at 16
tokens on a cortex-a72 (`python -m tests.arm.count`), and scores on what was set aside (`edge-converter score`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Point:
    name: str
    layers: int
    width: int
    megabytes: float
    million_instructions: float
    """at 16 tokens, cortex-a72"""
    hwu64_intents: float
    """accuracy, 0 to 1"""
    hwu64_slots: float
    """F1"""
    snips_intents: float
    snips_slots: float


def read(path: Path) -> list[Point]:
    """The points of a file, cheapest first."""
    points = [Point(**each) for each in json.loads(path.read_text(encoding="utf-8"))]
    return sorted(points, key=lambda each: each.million_instructions)


def table(points: Sequence[Point]) -> str:
    """Markdown."""
    lines = [
        "| size | layers × width | MB | M instructions, 16 tokens | hwu64: intents / slots | snips: intents / slots |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{each.name}` | {each.layers} × {each.width} | {each.megabytes:.1f} | {each.million_instructions:.1f} "
        f"| {each.hwu64_intents:.3f} / {each.hwu64_slots:.3f} | {each.snips_intents:.3f} / {each.snips_slots:.3f} |"
        for each in points
    ]
    return "\n".join(lines)


def draw(points: Sequence[Point], path: Path) -> None:
    """Score against cost."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "sizes"
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    costs = [each.million_instructions for each in points]
    for what, marker in (("hwu64_intents", "o"), ("snips_intents", "o"), ("hwu64_slots", "s"), ("snips_slots", "s")):
        data, kind = what.split("_")
        label = f"{data}, {'intent accuracy' if kind == 'intents' else 'F1 of slots'}"
        axes.plot(costs, [100 * getattr(each, what) for each in points], marker=marker, label=label)
    for each in points:
        axes.annotate(each.name, (each.million_instructions, 101), ha="center", fontsize="small")
    axes.set(xscale="log", xlabel="million instructions at 16 tokens, cortex-a72", ylabel="per cent", ylim=(None, 104))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="lower right")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    points = read(Path(sys.argv[1]))
    draw(points, Path(sys.argv[2]))
    print(table(points))
    return 0


if __name__ == "__main__":
    sys.exit(main())
