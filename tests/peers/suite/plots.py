"""The plots of docs/performance.md, as SVG, from what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from tests.peers.suite.roster import OURS, PEERS

mpl.use("Agg")
LATENCY, MIXED, ARM = "latency.svg", "mixed.svg", "arm.svg"
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    # the same results give the same bytes
    "svg.hashsalt": "performance",
    "svg.fonttype": "none",
}
OWN, OTHER, BERT = "#0a7d3c", "#d98a29", "#5b6f9e"
CORE = "cortex-a76"


def draw(content: dict[str, Any], folder: Path) -> None:
    """Write the plots of the parts that were measured."""
    with mpl.rc_context(STYLE):
        if content.get("latency"):
            _latency(content["latency"], folder / LATENCY)
        if content.get("mixed"):
            _mixed(content["mixed"], folder / MIXED)
        if content.get("arm"):
            _arm(content["arm"], folder / ARM)


def _latency(rows: list[dict[str, Any]], path: Path) -> None:
    """Ours as a share of each peer's time, by length, one thread."""
    figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    for place, name in enumerate(_names(rows)):
        if name == OURS:
            continue
        of_peer = sorted((r for r in rows if r["peer"] == name and r["threads"] == 1), key=lambda r: int(r["tokens"]))
        lengths = [r["tokens"] for r in of_peer]
        colour = mpl.colormaps["tab20"](place)
        axes.plot(lengths, [r["ratio"] for r in of_peer], marker=".", color=colour, label=name)
        axes.fill_between(
            lengths, [r["ratio_10"] for r in of_peer], [r["ratio_90"] for r in of_peer], color=colour, alpha=0.15
        )
    lengths = sorted({r["tokens"] for r in rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(lengths, [str(length) for length in lengths])
    axes.set_yscale("log")
    axes.set_yticks([0.05, 0.1, 0.2, 0.5, 1], ["0.05", "0.1", "0.2", "0.5", "1"])
    axes.minorticks_off()
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(xlabel="tokens (bands: 10th to 90th percentile)", ylabel="time of ours / time of the peer")
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def _mixed(rows: list[dict[str, Any]], path: Path) -> None:
    """Requests a second, one thread."""
    shown = sorted((r for r in rows if r["threads"] == 1), key=lambda r: -float(r["per_second"]))
    figure, axes = plt.subplots(figsize=(7.2, 0.24 * len(shown) + 0.9), layout="constrained")
    names = [f"{r['peer']}: {r['way']}" for r in shown]
    axes.barh(names, [r["per_second"] for r in shown], color=[_colour(r["peer"]) for r in shown])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("requests of 5 to 40 tokens a second, one thread")
    _save(figure, path)


def _arm(rows: list[dict[str, Any]], path: Path) -> None:
    """Instructions at 32 tokens on a core with SDOT."""
    shown = [r for r in rows if r["core"] == CORE and r.get("tokens") == 32]
    shown.sort(key=lambda r: int(r["instructions"]))
    figure, axes = plt.subplots(figsize=(7.2, 0.28 * len(shown) + 0.9), layout="constrained")
    counts = [r["instructions"] / 1e6 for r in shown]
    axes.barh([r["peer"] for r in shown], counts, color=[_colour(r["peer"]) for r in shown])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"million instructions at 32 tokens, {CORE}")
    _save(figure, path)


def _names(rows: list[dict[str, Any]]) -> list[str]:
    there = {row["peer"] for row in rows}
    return [peer.name for peer in PEERS if peer.name in there]


def _colour(name: str) -> str:
    return OWN if name.startswith("ours") else BERT if name.startswith("BERT") else OTHER


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
