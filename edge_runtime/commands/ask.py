"""`edge-runtime ask`: one request, in process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_runtime.errors import InputError
from edge_runtime.model import Model, load
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


def ask(name_or_path: str, text: str, pairs: Sequence[str]) -> Found:
    """Ask a model what it is for.

    Args:
        name_or_path: of the model.
        text: the question, or the text itself.
        pairs: a question's context, the second text to classify, or the choices.

    Raises:
        EdgeError: the model cannot be loaded or asked this.
    """
    with load(name_or_path) as model:
        return Found(model.info.name, model.info.task, _ask(model, text, pairs))


def _ask(model: Model, text: str, pairs: Sequence[str]) -> Result:
    task = model.info.task
    if task == "choose":
        return model.choose(text, pairs)
    if len(pairs) > 1 or (pairs and task not in ("classify", "answer")):
        raise InputError(f"{model.info.name} is for {task} and does not take {len(pairs)} --pair")
    match task:
        case "understand":
            return model.understand(text)
        case "classify":
            return model.classify(text, pairs[0] if pairs else None)
        case "tag":
            return model.tag(text)
        case "answer":
            if not pairs:
                raise InputError("a question needs the text to answer it from: --pair TEXT")
            return model.answer(text, pairs[0])
        case "embed":
            return [float(value) for value in model.embed(text)]
        case "fill":
            return model.fill(text)
    raise InputError(f"{model.info.name} has only raw outputs; use edge_runtime.load(...).run(ids) from Python")


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
