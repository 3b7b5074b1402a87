"""JSON replies of docs/protocol.md ↔ compact replies."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge_runtime.serial_link import fields
from edge_runtime.serial_link.compact_requests import NAMES, TIMES
from edge_runtime.serial_link.fields import number, score
from edge_runtime.serial_link.labels import NONE, Tables


def reply(op: str, message: Mapping[str, Any], tables: Tables, options: int) -> bytes:
    """A JSON reply that is a result.

    Args:
        op: the operation; of a text operation the task that was done.
        message: the reply.
        tables: of the model that answered.
        options: of the request.

    Raises:
        Stale: it names a label that the tables do not have.
    """
    body = bytes((fields.REPLY | fields.CODES[op],)) + _RESULTS[op](message["result"], tables, options)
    timing = message.get("timing_ms")
    if options & TIMES and timing is not None:
        body += number(fields.TOOK, round(sum(timing.values()) * 1e3), 4)
    return body


def final(task: str, result: Mapping[str, Any], tables: Tables, options: int) -> bytes:
    """The reply to `close` of a stream that was read for `task`. Raises Stale."""
    return b"".join(
        (
            bytes((fields.REPLY | fields.CODES["close"],)),
            _RESULTS[task](result["final"], tables, options),
            number(fields.WINDOWS, result["windows"], 4),
            number(fields.CHARACTERS, result["characters"], 4),
            number(fields.TRUNCATED, int(result["truncated"]), 1),
        )
    )


def event(task: str, message: Mapping[str, Any], tables: Tables, options: int) -> bytes:
    """What a window of a stream gave. Raises Stale."""
    window = message["window"]
    return b"".join(
        (
            bytes((fields.EVENT,)),
            number(fields.STREAM, message["stream"], 1),
            number(fields.INDEX, window["index"], 4),
            number(fields.START, window["start"], 4),
            number(fields.END, window["end"], 4),
            number(fields.TOKENS, window["tokens"], 2),
            _RESULTS[task](window["result"], tables, options),
        )
    )


def error(code: str, message: str, largest: int) -> bytes:
    """An error in at most `largest` bytes; its text is cut to fit."""
    head = bytes((fields.ERROR,)) + number(fields.CODE, fields.ERRORS.get(code, fields.OTHER_ERROR), 1)
    room = min(largest - len(head) - len(fields.write(fields.MESSAGE, b"")), fields.LONGEST_VALUE)
    return head + fields.write(fields.MESSAGE, cut(message, room))


def cut(text: str, room: int) -> bytes:
    """As many whole characters as fit into so many bytes."""
    return text.encode("utf-8", "replace")[: max(room, 0)].decode("utf-8", "ignore").encode("utf-8")


def info(description: Mapping[str, Any], tables: Tables, version: str) -> bytes:
    """`description`: what `hello` says of the model."""
    return b"".join(
        (
            bytes((fields.REPLY | fields.CODES["info"],)),
            fields.write(fields.DIGEST, bytes.fromhex(description["digest"])),
            _name(description["name"]),
            number(fields.TASK, fields.CODES.get(description["task"], 0), 1),
            number(fields.MAX_LENGTH, description["max_length"], 2),
            number(fields.MAX_CHARACTERS, description["max_characters"], 4),
            number(fields.COUNT, len(tables.labels), 2),
            number(fields.COUNT, len(tables.types), 2),
            fields.write(fields.VERSION, version.encode("ascii", "replace")),
        )
    )


def labels(names: Sequence[str], first: int, largest: int) -> bytes:
    """Names from `first` on, as many as fit into so many bytes, at least one if there are any."""
    head = bytes((fields.REPLY | fields.CODES["labels"],))
    head += number(fields.FIRST, first, 2) + number(fields.COUNT, len(names), 2)
    parts = [head]
    room = largest - len(head)
    for name in names[first:]:
        part = _name(name)
        room -= len(part)
        if room < 0 and len(parts) > 1:
            break
        parts.append(part)
    return b"".join(parts)


def _name(name: str) -> bytes:
    return fields.write(fields.NAME, cut(name, fields.LONGEST_VALUE))


def _label(index: int, value: float, name: str | None, options: int) -> bytes:
    label = fields.write(fields.LABEL, fields.LABEL_VALUE.pack(index, score(value)))
    return label + _name(name) if options & NAMES and name is not None else label


def _entity(entity: Mapping[str, Any], index: int, options: int) -> bytes:
    value = fields.ENTITY_VALUE.pack(index, score(entity["score"]), entity["start"], entity["end"])
    written = fields.write(fields.ENTITY, value)
    return written + _name(entity["type"]) if options & NAMES and index != NONE else written


def _understand(result: Mapping[str, Any], tables: Tables, options: int) -> bytes:
    intent = result["intent"]
    label = _label(tables.label(intent), result["score"], intent, options)
    return label + _tag(result["slots"], tables, options)


def _classify(result: Sequence[Mapping[str, Any]], tables: Tables, options: int) -> bytes:
    return b"".join(_label(tables.label(row["label"]), row["score"], row["label"], options) for row in result)


def _tag(result: Sequence[Mapping[str, Any]], tables: Tables, options: int) -> bytes:
    return b"".join(_entity(row, tables.type(row["type"]), options) for row in result)


def _answer(result: Mapping[str, Any], _: Tables, options: int) -> bytes:
    return _entity(result, NONE, options)


def _embed(result: Sequence[float], *_: object) -> bytes:
    return fields.write(fields.VECTOR, struct.pack(f"<{len(result)}f", *result))


def _fill(result: Sequence[Mapping[str, Any]], *_: object) -> bytes:
    return b"".join(
        fields.write(fields.TOKEN, score(row["score"]).to_bytes(2, "little") + row["text"].encode("utf-8"))
        for row in result
    )


def _choose(result: Mapping[str, Any], *_: object) -> bytes:
    ranked = sorted(enumerate(result["scores"]), key=lambda place: -place[1])
    return b"".join(_label(index, value, None, 0) for index, value in ranked)


def _open(result: Mapping[str, Any], *_: object) -> bytes:
    opened = number(fields.STREAM, result["stream"], 1) + number(fields.WINDOW, result["window"], 2)
    return opened + number(fields.OVERLAP, result["overlap"], 2)


def _feed(result: Mapping[str, Any], *_: object) -> bytes:
    return number(fields.WINDOWS, result["windows"], 4) + number(fields.CHARACTERS, result["characters"], 4)


def _drop(result: Mapping[str, Any], *_: object) -> bytes:
    return number(fields.CANCELLED, int(result["cancelled"]), 1)


def _health(result: Mapping[str, Any], *_: object) -> bytes:
    state = number(fields.STATE, fields.STATES.index(result["state"]), 1)
    return state + number(fields.UPTIME, int(result["uptime_s"]), 4)


_RESULTS: Mapping[str, Callable[[Any, Tables, int], bytes]] = {
    "understand": _understand,
    "classify": _classify,
    "tag": _tag,
    "answer": _answer,
    "embed": _embed,
    "fill": _fill,
    "choose": _choose,
    "open": _open,
    "feed": _feed,
    "drop": _drop,
    "health": _health,
}
