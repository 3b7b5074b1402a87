"""What a command of this folder found: figures, and whether they keep what is required."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """One figure."""

    what: str
    value: float | int | str
    required: str
    met: bool


@dataclass(slots=True)
class Report:
    """Figures in the order they were found."""

    subject: str
    lines: list[Line] = field(default_factory=list)

    def note(self, what: str, value: float | str) -> None:
        """A figure of which nothing is required."""
        self.lines.append(Line(what, value, "", met=True))

    def at_most(self, what: str, value: float, most: float) -> None:
        self.lines.append(Line(what, value, f"<= {most:g}", value <= most))

    def at_least(self, what: str, value: float, least: float) -> None:
        self.lines.append(Line(what, value, f">= {least:g}", value >= least))

    def exactly(self, what: str, value: float, wanted: float) -> None:
        self.lines.append(Line(what, value, f"= {wanted:g}", value == wanted))

    @property
    def met(self) -> bool:
        """Whether every requirement is."""
        return all(line.met for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        found = {
            line.what: {"value": line.value, "required": line.required or None, "met": line.met} for line in self.lines
        }
        return {"subject": self.subject, "met": self.met, "figures": found}

    def to_text(self) -> str:
        width = max(len(line.what) for line in self.lines)
        rows = [
            f"{line.what:{width}}  {_shown(line.value):>12}  {line.required:12}{'' if line.met else 'MISSED'}".rstrip()
            for line in self.lines
        ]
        return "\n".join([self.subject, *rows])

    def print(self, as_json: bool) -> int:
        """Print it → the exit status."""
        print(json.dumps(self.to_json(), indent=2) if as_json else self.to_text(), flush=True)
        return 0 if self.met else 1


def parser(description: str, model: bool = True) -> argparse.ArgumentParser:
    """With the options that all commands of this folder have."""
    made = argparse.ArgumentParser(description=description)
    if model:
        made.add_argument("--model", default="assistant", help="a bundled model's name, or a .tflite file")
        made.add_argument("--socket", type=Path, help="of a running server of that model; left out: one is started")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def machine() -> str:
    """For a figure that depends on it."""
    return f"{len(os.sched_getaffinity(0))} CPUs, load {os.getloadavg()[0]:.1f}"


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
