"""Compact requests ↔ the JSON requests of docs/protocol.md."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_runtime.errors import InputError, TooLong
from edge_runtime.serial_link import fields

NAMES, TIMES = 1, 2
"""bits of `options`"""
_TEXT_OPERATIONS = ("ask", "understand", "classify", "tag", "answer", "embed", "fill", "choose")
_LARGEST_STREAM = 0xFF

_TEXTS = {fields.TEXT: "text", fields.PAIR: "pair", fields.MODEL: "model", fields.QUESTION: "question"}
_NUMBERS = {
    fields.TOP_K: "top_k",
    fields.DEADLINE: "deadline_ms",
    fields.STREAM: "stream",
    fields.WINDOW: "window",
    fields.OVERLAP: "overlap",
    fields.TABLE: "table",
    fields.FIRST: "first",
}
_WIDTHS = {"top_k": 1, "deadline_ms": 4, "stream": 1, "window": 2, "overlap": 2, "table": 1, "first": 2}
_OPENING = ("stream", "task", "model", "window", "overlap", "top_k", "question", "events")
_TAKES = {
    **dict.fromkeys(_TEXT_OPERATIONS, ("text", "pair", "choices", "top_k", "model", "deadline_ms")),
    "open": _OPENING,
    "feed": ("stream", "base64"),
    "close": ("stream",),
    "drop": ("stream",),
    "info": ("model",),
    "health": (),
    "labels": ("table", "first", "model"),
}
_NEEDS = {"open": ("stream",), "feed": ("stream", "base64"), "close": ("stream",), "drop": ("stream",)}


@dataclass(frozen=True, slots=True)
class CompactRequest:
    """What a client asks, and how it wants the answer."""

    op: str
    """of the compact form: `drop` is its own"""
    message: dict[str, Any]
    """as JSON, without `id`; of `labels`, which is only here, its fields"""
    options: int = 0


def read(body: bytes) -> CompactRequest:
    """A request.

    Raises:
        InputError: there is no such operation, or a field is wrong or missing.
    """
    op = fields.OPERATIONS.get(body[0]) if body else None
    if op is None:
        raise InputError(f"there is no operation 0x{body[0]:02x}" if body else "the message is empty")
    found: dict[str, Any] = {}
    choices: list[str] = []
    options = 0
    for tag, value in fields.read(body):
        if tag in _TEXTS:
            found[_TEXTS[tag]] = fields.to_text(tag, value)
        elif tag in _NUMBERS:
            found[_NUMBERS[tag]] = fields.to_number(tag, value)
        elif tag == fields.CHOICE:
            choices.append(fields.to_text(tag, value))
        elif tag == fields.DATA:
            found["base64"] = base64.b64encode(value).decode("ascii")
        elif tag == fields.EVENTS:
            found["events"] = _flag(tag, value)
        elif tag == fields.TASK:
            found["task"] = _task(fields.to_number(tag, value))
        elif tag == fields.OPTIONS:
            options = fields.to_number(tag, value)
    if choices:
        found["choices"] = choices
    for name in _NEEDS.get(op, ()):
        if name not in found:
            raise InputError(f'"{op}" needs its {"data" if name == "base64" else name}')
    if found.get("stream", 0) > _LARGEST_STREAM:
        raise InputError(f"a stream's number is at most {_LARGEST_STREAM}")
    message = {name: value for name, value in found.items() if name in _TAKES[op]}
    if op == "labels":
        return CompactRequest(op, _labels(message), options)
    return CompactRequest(op, {"op": "cancel" if op == "drop" else op, **message}, options)


def write(message: Mapping[str, Any], options: int = 0) -> bytes:
    """The other way round, for clients.

    Raises:
        InputError: the compact form has no such operation.
        TooLong: a text has more bytes than a field.
    """
    op = "drop" if message["op"] == "cancel" and "stream" in message else message["op"]
    if op not in fields.CODES:
        raise InputError(f"the compact form has no operation {op!r:.40}")
    parts = [bytes((fields.CODES[op],))]
    tags = {name: tag for tag, name in (*_TEXTS.items(), *_NUMBERS.items())}
    for name in _TAKES[op]:
        value = message.get(name)
        if value is None:
            continue
        if name == "choices":
            parts += [_text(fields.CHOICE, choice) for choice in value]
        elif name == "base64":
            parts.append(_value(fields.DATA, base64.b64decode(value)))
        elif name == "events":
            parts.append(fields.number(fields.EVENTS, int(value), 1))
        elif name == "task":
            parts.append(fields.number(fields.TASK, fields.CODES[value], 1))
        elif name in _WIDTHS:
            parts.append(fields.number(tags[name], int(value), _WIDTHS[name]))
        else:
            parts.append(_text(tags[name], value))
    if options:
        parts.append(fields.number(fields.OPTIONS, options, 1))
    return b"".join(parts)


def _flag(tag: int, value: bytes) -> bool:
    flag = fields.to_number(tag, value)
    if flag > 1:
        raise InputError(f"field 0x{tag:02x} is 0 or 1, not {flag}")
    return bool(flag)


def _task(code: int) -> str:
    name = fields.OPERATIONS.get(code)
    if name not in _TEXT_OPERATIONS or name == "ask":
        raise InputError(f"there is no task 0x{code:02x}")
    return name


def _labels(message: dict[str, Any]) -> dict[str, Any]:
    if message.get("table") not in (0, 1):
        raise InputError('"labels" needs a table: 0 for labels, 1 for entity types')
    return message


def _text(tag: int, text: str) -> bytes:
    return _value(tag, text.encode("utf-8"))


def _value(tag: int, value: bytes) -> bytes:
    if len(value) > fields.LONGEST_VALUE:
        raise TooLong(f"a field has {len(value)} bytes and takes {fields.LONGEST_VALUE}; send the text as a stream")
    return fields.write(tag, value)
