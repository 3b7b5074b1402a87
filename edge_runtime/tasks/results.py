"""What the operations return. Each knows how to become JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Label:
    """One label of a classification."""

    label: str
    score: float
    """calibrated probability, 0 to 1"""

    def to_json(self) -> dict[str, Any]:
        return {"label": self.label, "score": self.score}


@dataclass(frozen=True, slots=True)
class Entity:
    """A stretch of the text that has a type: a slot of an intent, a name."""

    type: str
    text: str
    start: int
    """first character"""
    end: int
    """one past the last character"""
    score: float
    """mean probability of its words' tags, 0 to 1"""

    def to_json(self) -> dict[str, Any]:
        return {"type": self.type, "text": self.text, "start": self.start, "end": self.end, "score": self.score}


@dataclass(frozen=True, slots=True)
class Understanding:
    """What somebody wants, and with what."""

    intent: str | None
    """None: not recognised"""
    score: float
    """of the likeliest intent, recognised or not, 0 to 1: its calibrated probability times how far that intent can be
    believed (`Head.reliability`); the lower, the surer a refusal"""
    slots: tuple[Entity, ...]
    """in the text's order; none where the intent was not recognised"""

    def to_json(self) -> dict[str, Any]:
        return {"intent": self.intent, "score": self.score, "slots": [slot.to_json() for slot in self.slots]}


@dataclass(frozen=True, slots=True)
class Answer:
    """A stretch of the context that answers a question."""

    text: str
    start: int
    """first character in the context"""
    end: int
    """one past the last character"""
    score: float
    """probability of its first token times that of its last, 0 to 1"""

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "start": self.start, "end": self.end, "score": self.score}


@dataclass(frozen=True, slots=True)
class Filling:
    """One token in the place of [MASK]."""

    token: str
    text: str
    """the whole text with the token in its place"""
    score: float
    """probability, 0 to 1"""

    def to_json(self) -> dict[str, Any]:
        return {"token": self.token, "text": self.text, "score": self.score}


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice that fits best, with the scores of all."""

    index: int
    text: str
    score: float
    """probability, 0 to 1"""
    scores: tuple[float, ...]
    """of every choice, in the order they were given"""

    def to_json(self) -> dict[str, Any]:
        return {"index": self.index, "text": self.text, "score": self.score, "scores": list(self.scores)}


@dataclass(frozen=True, slots=True)
class WindowResult:
    """What was found in one window of a stream."""

    index: int
    """of the window, from 0"""
    start: int
    """first character of the window in the whole stream"""
    end: int
    """one past its last character"""
    tokens: int
    """special ones included"""
    result: Any
    """what the operation returns; its offsets count characters of the whole stream"""
