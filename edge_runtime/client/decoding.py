"""JSON results → the classes that a model in process returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from edge_runtime.errors import ServerError
from edge_runtime.tasks.results import Answer, Choice, Entity, Filling, Label, Understanding, WindowResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")


def result(op: str, value: Any) -> Any:
    """What the method `op` of a model returns, from the JSON that a server sent.

    Raises:
        ServerError: it is no result of that operation.
    """
    try:
        decode = _DECODERS[op]
    except KeyError:
        raise ServerError(f"the server named a task that this client does not know: {op!r:.60}") from None
    return decode(value)


def window(task: str, value: Any) -> WindowResult:
    """One event of a stream whose operation is `task`.

    Raises:
        ServerError: it is none.
    """
    places = {name: field(value, name, int) for name in ("index", "start", "end", "tokens")}
    return WindowResult(**places, result=result(task, field(value, "result", object)))


def field(value: Any, name: str, kind: type[T]) -> T:
    """The field of a JSON object. An integer passes as a float; true and false are no numbers.

    Raises:
        ServerError: there is none of that kind.
    """
    if not isinstance(value, dict) or name not in value:
        raise ServerError(f'the server\'s answer has no "{name}", which the protocol asks for; is it an edge-runtime?')
    found = value[name]
    if kind is float:
        found = _finite(found)
    if not isinstance(found, kind) or (isinstance(found, bool) and kind is int):
        raise ServerError(f'"{name}" of the server\'s answer is no {kind.__name__}; is it an edge-runtime?')
    return found


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def rows(value: Any) -> list[Any]:
    """Raises ServerError for anything but a list."""
    return field({"result": value}, "result", list)


def _label(value: Any) -> Label:
    return Label(field(value, "label", str), field(value, "score", float))


def _entity(value: Any) -> Entity:
    return Entity(
        field(value, "type", str),
        field(value, "text", str),
        field(value, "start", int),
        field(value, "end", int),
        field(value, "score", float),
    )


def _understanding(value: Any) -> Understanding:
    intent = None if isinstance(value, dict) and value.get("intent") is None else field(value, "intent", str)
    slots = tuple(_entity(slot) for slot in field(value, "slots", list))
    return Understanding(intent, field(value, "score", float), slots)


def _answer(value: Any) -> Answer:
    start, end = field(value, "start", int), field(value, "end", int)
    return Answer(field(value, "text", str), start, end, field(value, "score", float))


def _filling(value: Any) -> Filling:
    return Filling(field(value, "token", str), field(value, "text", str), field(value, "score", float))


def _choice(value: Any) -> Choice:
    scores = tuple(field({"scores": score}, "scores", float) for score in field(value, "scores", list))
    return Choice(field(value, "index", int), field(value, "text", str), field(value, "score", float), scores)


def _vector(value: Any) -> NDArray[np.float32]:
    # here, so that a process that asks for no vectors never loads NumPy
    import numpy as np

    try:
        with np.errstate(over="ignore"):
            found = np.array(rows(value), np.float32)
    except (TypeError, ValueError, OverflowError):
        found = np.zeros((0, 0), np.float32)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise ServerError("the server's answer is no list of numbers, which a vector is; is it an edge-runtime?")
    return found


def _list_of(decode: Callable[[Any], T]) -> Callable[[Any], list[T]]:
    return lambda value: [decode(row) for row in rows(value)]


_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    "understand": _understanding,
    "classify": _list_of(_label),
    "tag": _list_of(_entity),
    "answer": _answer,
    "embed": _vector,
    "fill": _list_of(_filling),
    "choose": _choice,
}
