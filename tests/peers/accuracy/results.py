"""docs/accuracy/results.json: all that was measured, and with what. The document is made from it alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/accuracy.md"
RESULTS = DOCUMENT.with_suffix("") / "results.json"


@dataclass(frozen=True)
class Results:
    """As read back from the file."""

    content: dict[str, Any]

    @property
    def measurements(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.content["measurements"]
        return found


def read() -> Results:
    return Results(json.loads(RESULTS.read_text("utf-8")))


def write(content: dict[str, Any]) -> None:
    """With a row a line, so that differences can be read."""
    parts = []
    for key, value in content.items():
        if isinstance(value, list):
            rows = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f" {json.dumps(key)}: [\n{rows}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
