"""Messages as docs/protocol.md shows them: JSON in which `…` stands for whatever else there is.

`…` in the place of a value matches any value; after the fields of an object any further ones, after the items of a list
any further ones; in a string any characters.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

REST = "…"
_SPACE = re.compile(r"\s*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null")


@dataclass(frozen=True)
class Anything:
    """Any value."""


@dataclass(frozen=True)
class Listed:
    items: tuple[Any, ...]
    more: bool


@dataclass(frozen=True)
class Mapped:
    fields: tuple[tuple[str, Any], ...]
    more: bool


def parse(text: str) -> Any:
    """A pattern.

    Raises:
        ValueError: the text is none.
    """
    reader = _Reader(text)
    found = reader.value()
    if reader.peek():
        raise ValueError(f"{text!r} goes on after its end")
    return found


def differences(pattern: Any, value: Any, where: str = "") -> list[str]:
    """Where a value is not as the pattern says; nothing if it is."""
    match pattern:
        case Anything():
            return []
        case Mapped(fields, more):
            if not isinstance(value, dict):
                return [f"{where or 'it'} is no object: {value!r}"]
            known = dict(fields)
            found = [f"{where}.{name} is missing" for name in known if name not in value]
            if not more:
                found += [f"{where}.{name} is not expected" for name in value if name not in known]
            for name in known.keys() & value.keys():
                found += differences(known[name], value[name], f"{where}.{name}")
            return found
        case Listed(items, more):
            if not isinstance(value, list):
                return [f"{where or 'it'} is no list: {value!r}"]
            if len(value) < len(items) or (not more and len(value) > len(items)):
                return [f"{where} has {len(value)} items, not {len(items)}"]
            return [
                each
                for place, (item, got) in enumerate(zip(items, value, strict=False))
                for each in differences(item, got, f"{where}[{place}]")
            ]
        case str():
            expression = ".*".join(re.escape(part) for part in pattern.split(REST))
            if isinstance(value, str) and re.fullmatch(expression, value, re.DOTALL):
                return []
        case _ if type(pattern) is type(value) and pattern == value:
            return []
    return [f"{where or 'it'} is {value!r}, not {pattern!r}"]


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def peek(self) -> str:
        """The next character that is no space; nothing at the end."""
        space = _SPACE.match(self._text, self._place)
        assert space is not None
        self._place = space.end()
        return self._text[self._place : self._place + 1]

    def value(self) -> Any:
        match self.peek():
            case "…":
                self._place += 1
                return Anything()
            case "{":
                fields, more = self._sequence("}", self._field)
                return Mapped(tuple(fields), more)
            case "[":
                items, more = self._sequence("]", self.value)
                return Listed(tuple(items), more)
            case '"':
                return json.loads(self._take(_STRING))
            case _:
                return json.loads(self._take(_LITERAL))

    def _field(self) -> tuple[str, Any]:
        self.peek()
        name = json.loads(self._take(_STRING))
        self._skip(":")
        return name, self.value()

    def _sequence(self, end: str, one: Any) -> tuple[list[Any], bool]:
        """What stands between brackets, and whether `…` says that there may be more."""
        self._place += 1
        found: list[Any] = []
        if self.peek() == end:
            self._place += 1
            return found, False
        while True:
            if self.peek() == REST:
                self._place += 1
                self._skip(end)
                return found, True
            found.append(one())
            if self.peek() == end:
                self._place += 1
                return found, False
            self._skip(",")

    def _skip(self, character: str) -> None:
        if self.peek() != character:
            raise ValueError(f"{self._text!r} has no {character!r} at character {self._place}")
        self._place += 1

    def _take(self, expression: re.Pattern[str]) -> str:
        found = expression.match(self._text, self._place)
        if found is None:
            raise ValueError(f"{self._text!r} makes no sense at character {self._place}")
        self._place = found.end()
        return found[0]
