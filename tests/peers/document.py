"""Documents whose tables are made from stored results: a file of rows, and marks in the text for each table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

MARK = re.compile(r"(<!-- table: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def marked(text: str) -> set[str]:
    """Names of the tables that the text has marks for."""
    return {name for _, name, _ in MARK.findall(text)}


def fill(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """The text with its tables made anew."""
    return MARK.sub(lambda found: f"{found[1]}\n{tables[found[2]]()}\n{found[3]}", text)


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (headings, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(headings), *lines[1:]]) + "\n"


def write_results(path: Path, content: Mapping[str, Any]) -> None:
    """As JSON with a row a line, so that differences can be read."""
    parts = []
    for key, value in content.items():
        if isinstance(value, list):
            rows = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f" {json.dumps(key)}: [\n{rows}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
