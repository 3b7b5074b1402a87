"""Turns docs/performance/results.json into the tables and plots of docs/performance.md.

python -m tests.peers.suite.report
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from tests.peers import document
from tests.peers.suite import plots, tables
from tests.peers.suite.results import DOCUMENT, RESULTS, Results


def publish(results: Results) -> None:
    """Put what a build folder holds into the document's results; parts that it does not hold stay."""
    stored = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    document.write_results(RESULTS, stored | results.content)
    render()


def fill(text: str, content: dict[str, Any]) -> str:
    return document.fill(text, {name: partial(make, content) for name, make in tables.TABLES.items()})


def render() -> None:
    content = json.loads(RESULTS.read_text("utf-8"))
    DOCUMENT.write_text(fill(DOCUMENT.read_text("utf-8"), content), encoding="utf-8")
    plots.draw(content, RESULTS.parent)


if __name__ == "__main__":
    render()
