"""What a model said, in process or at a server, as JSON and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_runtime.tasks.results import Answer, Choice, Entity, Filling, Label, Understanding

Result = Understanding | Answer | Choice | Sequence[Label | Entity | Filling] | Sequence[float]

_SHOWN_NUMBERS = 8
"""of a vector; --json has them all"""


@dataclass(frozen=True, slots=True)
class Found:
    """What the model said."""

    model: str
    task: str
    result: Result

    def to_json(self) -> dict[str, Any]:
        return {"model": self.model, "task": self.task, "result": _to_json(self.result)}

    def to_text(self) -> str:
        """Lines for a terminal."""
        match self.result:
            case Understanding(intent, score, slots):
                name = "not recognised" if intent is None else intent
                return "\n".join([f"{name}  ({score:.2f})", *(f"  {_entity(slot)}" for slot in slots)])
            case Answer() | Choice() as best:
                return f"{best.text}  ({best.score:.2f})"
            case values:
                return _lines(values)


def _to_json(result: Result) -> Any:
    if isinstance(result, (Understanding, Answer, Choice)):
        return result.to_json()
    return [value if isinstance(value, float) else value.to_json() for value in result]


def _lines(values: Sequence[Any]) -> str:
    if values and isinstance(values[0], float):
        shown = ", ".join(f"{value:.4f}" for value in values[:_SHOWN_NUMBERS])
        return f"[{shown}, …]  ({len(values)} numbers; --json prints all)"
    lines = []
    for value in values:
        match value:
            case Label(label, score):
                lines.append(f"{label}  ({score:.2f})")
            case Filling(token, filled, score):
                lines.append(f"{token}  ({score:.2f})  {filled}")
            case Entity():
                lines.append(_entity(value))
    return "\n".join(lines) or "nothing found"


def _entity(entity: Entity) -> str:
    return f"{entity.type}: {entity.text}  [{entity.start}:{entity.end}]  ({entity.score:.2f})"
