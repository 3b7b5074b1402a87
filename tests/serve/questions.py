"""Texts to ask a server about, and what the model in this process says of them."""

from __future__ import annotations

import json
from typing import Any

import edge_runtime
from edge_runtime.model import Model
from edge_runtime.tasks.results import Answer, Choice, Understanding

_ACTIONS = ("turn off", "turn on", "dim", "play", "wake me for", "tell me about", "book", "find", "add", "cancel")
_THINGS = ("the lights", "some jazz", "the weather", "a table", "milk", "the alarm", "my meeting", "the news")
_PLACES = ("in the kitchen", "in paris", "at home", "in berlin", "near the station", "in the bedroom", "on the list")
_TIMES = ("at seven", "tomorrow", "tonight", "in an hour", "on friday", "next week", "at noon", "this evening")

SAME = 1e-6
"""how far two scores may be apart and count as the same: they are float32 written as decimals"""


def texts(count: int) -> list[str]:
    """So many different sentences of 5 to 20 tokens, as people say them to a home."""
    found = []
    for number in range(count):
        rest, action = divmod(number, len(_ACTIONS))
        rest, thing = divmod(rest, len(_THINGS))
        rest, place = divmod(rest, len(_PLACES))
        rest, moment = divmod(rest, len(_TIMES))
        words = [_ACTIONS[action], _THINGS[thing], _PLACES[place], _TIMES[moment]]
        found.append(" ".join([*words, *(["please"] * (rest > 0)), *([str(rest)] if rest else [])]))
    return found


def of_length(model: Model, tokens: int) -> str:
    """A sentence of exactly so many tokens, special ones included."""
    text = "turn off the kitchen lights"
    while len(model.encode(text).ids) < tokens:
        text += " the"
    if len(model.encode(text).ids) != tokens:
        raise ValueError(f"no sentence of {tokens} tokens: {text!r} has {len(model.encode(text).ids)}")
    return text


def load(name: str) -> Model:
    """In this process."""
    return edge_runtime.load(name)


def answer(model: Model, text: str) -> Any:
    """What `ask` gives for a text: the model's own task, as JSON."""
    match model.info.task:
        case "understand":
            found: Any = model.understand(text)
        case "classify":
            found = model.classify(text)
        case "tag":
            found = model.tag(text)
        case "embed":
            return model.embed(text).tolist()
        case other:
            raise ValueError(f"{model.info.name} is asked to {other}, which takes more than one text")
    if isinstance(found, Understanding | Answer | Choice):
        return found.to_json()
    return [each.to_json() for each in found]


def line(request: int, text: str, **fields: Any) -> bytes:
    """A request to `ask` about a text."""
    return json.dumps({"id": request, "op": "ask", "text": text, **fields}).encode() + b"\n"


def same(one: Any, other: Any) -> bool:
    """Whether two results are, but for the last digits of their scores."""
    if isinstance(one, float | int) and isinstance(other, float | int) and not isinstance(one, bool):
        return abs(one - other) <= SAME
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
