"""Questions that a model brings, in its manifest, with the answers it must give wherever it runs.

    "self_test": [{"text": "turn off the kitchen lights", "expect": {"intent": "light_off"}}, …]

`op` (understand, classify, tag, answer, embed, fill, choose; left out: the model's own), `pair` and `choices` are as in
docs/protocol.md. `expect`, which may be left out, holds what the answer must agree with: of an object the fields that
are named, of a list the first elements, of numbers within `TOLERANCE`; the rest exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import InputError

if TYPE_CHECKING:
    from edge_runtime.model import Model

Question = Mapping[str, Any]

FIELD = "self_test"
"""of manifest.json"""
MAX_QUESTIONS = 64
"""a self-test is no evaluation"""
TOLERANCE = 0.05
"""by which scores may differ: boards' runtimes round the last steps differently"""
OPERATIONS = ("understand", "classify", "tag", "answer", "embed", "fill", "choose")
_LONGEST = 200
"""characters of an answer in an error"""


def checked(value: object) -> Sequence[Question]:
    """Questions as they come out of JSON.

    Raises:
        InputError: they are none; says which one is wrong.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_QUESTIONS:
        raise InputError(f"self_test must be a list of 1 to {MAX_QUESTIONS} questions")
    for number, each in enumerate(value, 1):
        if not isinstance(each, dict) or not isinstance(each.get("text"), str):
            raise InputError(f"self_test: question {number} is no object with a text")
        if each.get("op") not in (None, *OPERATIONS):
            raise InputError(f"self_test: question {number} is for no operation there is, {each['op']!r:.60}")
        if not isinstance(each.get("pair"), (str, type(None))):
            raise InputError(f"self_test: the pair of question {number} is no text")
        choices = each.get("choices", [""])
        if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
            raise InputError(f"self_test: the choices of question {number} are no list of texts")
    return value


def ask(model: Model, question: Question) -> Any:
    """The model's answer as JSON has it (docs/protocol.md); None for heads that no operation is for.

    Raises:
        EdgeError: the model cannot be asked this.
    """
    from edge_runtime.server.worker import encode

    text: str = question["text"]
    op = question.get("op") or model.info.task
    match op:
        case "understand" | "tag" | "embed":
            answer = getattr(model, op)(text)
        case "classify":
            answer = model.classify(text, question.get("pair"))
        case "answer":
            answer = model.answer(text, question.get("pair") or text)
        case "fill":
            answer = model.fill(text if "[MASK]" in text else f"{text} [MASK]")
        case "choose":
            answer = model.choose(text, question.get("choices") or [text, f"{text}?"])
        case _:
            return None
    return json.loads(encode(answer))


def wrong(model: Model, question: Question) -> str | None:
    """How the model's answer differs from the one that is expected; None if it does not.

    Raises:
        EdgeError: the model cannot be asked this.
    """
    found, expected = ask(model, question), question.get("expect")
    if expected is None or agrees(expected, found):
        return None
    return f"asked {question['text']!r} it says {_short(found)} and not {_short(expected)}"


def agrees(expected: object, found: object) -> bool:
    """Whether an answer has all that is expected of it."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(key in found and agrees(expected[key], found[key]) for key in expected)
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(expected) <= len(found)
            and all(agrees(one, other) for one, other in zip(expected, found, strict=False))
        )
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return abs(expected - found) <= TOLERANCE
    return expected == found


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
