"""docs/accuracy/results.json: all that was measured, and with what. The document is made from it alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.document import write_results

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
    write_results(RESULTS, content)
