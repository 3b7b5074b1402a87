"""A line → a request: one small class for each family of messages."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from edge_runtime.errors import InputError, TooLong
from edge_runtime.protocol.limits import (
    FULL_DUTY,
    LARGEST_ID,
    LEAST_DUTY,
    LONGEST_ORDER_MS,
    MAX_REASON,
    PROTOCOL,
    Limits,
)

RequestId = int | str

TEXT_OPERATIONS = ("understand", "classify", "tag", "answer", "embed", "fill", "choose")
"""what `ask` may stand for"""
STREAM_TASKS = ("understand", "classify", "tag", "answer", "embed")

_SHOWN = 40
"""characters of a peer's text in an error message"""


@dataclass(frozen=True, slots=True)
class Ask:
    """One text operation."""

    op: str
    """one of TEXT_OPERATIONS, or "ask" for the model's own"""
    model: str | None
    text: str
    pair: str | None
    choices: tuple[str, ...] | None
    top_k: int | None

    @property
    def characters(self) -> int:
        """Of all its texts."""
        return len(self.text) + len(self.pair or "") + sum(len(choice) for choice in self.choices or ())

    @property
    def longest(self) -> int:
        """Characters of its longest text."""
        return max(len(self.text), len(self.pair or ""), *(len(choice) for choice in self.choices or ("",)))

    @property
    def length(self) -> tuple[int, int]:
        """Spaces and characters of all its texts: what has less has fewer tokens, more often than not."""
        texts = (self.text, self.pair or "", *(self.choices or ()))
        # not split(): a line of the largest size has a hundred thousand words, and they are only counted
        return sum(text.count(" ") for text in texts), self.characters


@dataclass(frozen=True, slots=True)
class Batch:
    """Several text operations, or what is wrong with each."""

    requests: tuple[Ask | InputError, ...]

    def in_order_of_length(self) -> list[tuple[int, Ask | InputError]]:
        """Their places and they, short ones first: a network is laid out anew wherever the length changes."""

        def length(placed: tuple[int, Ask | InputError]) -> tuple[int, int]:
            return (0, 0) if isinstance(placed[1], InputError) else placed[1].length

        return sorted(enumerate(self.requests), key=length)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take a request or a stream back; one of the two is given."""

    request: RequestId | None
    stream: RequestId | None


@dataclass(frozen=True, slots=True)
class Hello:
    token: str | None


@dataclass(frozen=True, slots=True)
class Info:
    model: str | None


@dataclass(frozen=True, slots=True)
class Open:
    stream: RequestId
    task: str | None
    model: str | None
    window: int | None
    overlap: int | None
    top_k: int | None
    question: str | None
    events: bool


@dataclass(frozen=True, slots=True)
class Feed:
    stream: RequestId
    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    stream: RequestId


@dataclass(frozen=True, slots=True)
class Health:
    pass


@dataclass(frozen=True, slots=True)
class Metrics:
    pass


@dataclass(frozen=True, slots=True)
class Reload:
    model: str | None


@dataclass(frozen=True, slots=True)
class SlowDown:
    """Let workers compute for a part of their time only, for a while."""

    duty: float
    for_ms: float
    reason: str


Request = Ask | Batch | Cancel | Hello | Info | Open | Feed | Close | Health | Metrics | Reload | SlowDown


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every request has, read before the rest of it: an error in the rest can be answered by id."""

    id: RequestId
    op: str
    deadline_ms: float
    fields: _Fields


def open_envelope(line: bytes, limits: Limits) -> Envelope | tuple[RequestId | None, InputError]:
    """Read a line as far as its id and operation.

    Returns:
        The envelope, or the id (None if there is none that can be used) and what is wrong.
    """
    try:
        message = read_object(line)
    except InputError as error:
        return None, error
    return envelope(message, limits)


def read_object(line: bytes) -> dict[str, Any]:
    """The JSON object in a message.

    Raises:
        InputError: it holds something else.
    """
    value = _loads(line)
    if not isinstance(value, dict):
        raise InputError(f"a message is a JSON object, not {_kind(value)}")
    return value


def envelope(message: Mapping[str, Any], limits: Limits) -> Envelope | tuple[RequestId | None, InputError]:
    """A request that is JSON already, as `open_envelope` reads it from a line."""
    fields = _Fields(message)
    try:
        name = fields.id("id", limits)
    except InputError as error:
        return None, error
    try:
        op = fields.string("op")
        deadline = fields.number("deadline_ms", limits.max_deadline_ms)
    except InputError as error:
        return name, error
    return Envelope(name, op, limits.default_deadline_ms if deadline is None else deadline, fields)


def parse(envelope: Envelope, limits: Limits) -> Request:
    """The request inside.

    Raises:
        InputError: a field is missing or wrong, or there is no such operation.
        TooLong: more bytes than a feed may have.
    """
    op = envelope.op
    if op in TEXT_OPERATIONS or op == "ask":
        return _ask(op, envelope.fields, limits)
    try:
        parser = _PARSERS[op]
    except KeyError:
        known = ", ".join((*TEXT_OPERATIONS, "ask", *_PARSERS))
        raise InputError(f"there is no operation {_quoted(op)}; there are {known}") from None
    return parser(envelope.fields, limits)


class _Fields:
    """The fields of a message; null counts as left out."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def id(self, name: str, limits: Limits) -> RequestId:
        value = self.values.get(name)
        if isinstance(value, str):
            if 1 <= len(value) <= limits.id_characters:
                return value
            raise InputError(f'"{name}" has {len(value)} characters; it takes 1 to {limits.id_characters}')
        if isinstance(value, int) and not isinstance(value, bool):
            if 0 <= value <= LARGEST_ID:
                return value
            raise InputError(f'"{name}" must be an integer from 0 to {LARGEST_ID}')
        raise InputError(f'"{name}" must be an integer or a string, not {_kind(value)}')

    def optional_id(self, name: str, limits: Limits) -> RequestId | None:
        return None if self.values.get(name) is None else self.id(name, limits)

    def string(self, name: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str):
            raise InputError(f'"{name}" must be a string, not {_kind(value)}')
        return value

    def optional_string(self, name: str) -> str | None:
        return None if self.values.get(name) is None else self.string(name)

    def integer(self, name: str, least: int, most: int | None = None) -> int | None:
        value = self.values.get(name)
        if value is None:
            return None
        bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(f'"{name}" must be an integer {bounds}, not {_kind(value)}')
        if value < least or (most is not None and value > most):
            raise InputError(f'"{name}" must be an integer {bounds}')
        return value

    def number(self, name: str, most: float) -> float | None:
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
            raise InputError(f'"{name}" must be a number above 0, at most {most:g}')
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InputError(f'"{name}" must be true or false, not {_kind(value)}')
        return value


def _ask(op: str, fields: _Fields, limits: Limits) -> Ask:
    choices = fields.values.get("choices")
    if choices is not None:
        if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
            raise InputError('"choices" must be a list of strings')
        if len(choices) > limits.choices:
            raise InputError(f'"choices" has {len(choices)} texts; at most {limits.choices} are taken')
    return Ask(
        op,
        fields.optional_string("model"),
        fields.string("text"),
        fields.optional_string("pair"),
        None if choices is None else tuple(choices),
        fields.integer("top_k", 1, limits.top_k),
    )


def _batch(fields: _Fields, limits: Limits) -> Batch:
    entries = fields.values.get("requests")
    if not isinstance(entries, list):
        raise InputError(f'"requests" must be a list of text operations, not {_kind(entries)}')
    if not 1 <= len(entries) <= limits.batch:
        raise InputError(f'"requests" has {len(entries)} entries; it takes 1 to {limits.batch}')
    return Batch(tuple(_entry(entry, limits) for entry in entries))


def _entry(entry: Any, limits: Limits) -> Ask | InputError:
    if not isinstance(entry, dict):
        return InputError(f"an entry of a batch is a JSON object, not {_kind(entry)}")
    for outside in ("id", "deadline_ms"):
        if entry.get(outside) is not None:
            return InputError(f'"{outside}" belongs to the batch, not to its entries')
    fields = _Fields(entry)
    try:
        op = fields.string("op")
        if op in TEXT_OPERATIONS or op == "ask":
            return _ask(op, fields, limits)
    except InputError as error:
        return error
    return InputError(f"a batch holds text operations, and {_quoted(op)} is none")


def _cancel(fields: _Fields, limits: Limits) -> Cancel:
    request, stream = fields.optional_id("request", limits), fields.optional_id("stream", limits)
    if (request is None) == (stream is None):
        raise InputError('"cancel" takes either "request" or "stream"')
    return Cancel(request, stream)


def _hello(fields: _Fields, _: Limits) -> Hello:
    version = fields.integer("protocol", 1)
    if version is not None and version != PROTOCOL:
        raise InputError(f"this server speaks version {PROTOCOL} of the protocol, not {version}")
    return Hello(fields.optional_string("token"))


def _open(fields: _Fields, limits: Limits) -> Open:
    task = fields.optional_string("task")
    if task is not None and task not in STREAM_TASKS:
        raise InputError(f"a stream's task is one of {', '.join(STREAM_TASKS)}, not {_quoted(task)}")
    return Open(
        fields.id("stream", limits),
        task,
        fields.optional_string("model"),
        fields.integer("window", 1),
        fields.integer("overlap", 0),
        fields.integer("top_k", 1, limits.top_k),
        fields.optional_string("question"),
        fields.flag("events", True),
    )


def _feed(fields: _Fields, limits: Limits) -> Feed:
    text, encoded = fields.optional_string("text"), fields.optional_string("base64")
    if (text is None) == (encoded is None):
        raise InputError('"feed" takes either "text" or "base64"')
    if text is not None:
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(f'character {error.start} of "text" is half of a surrogate pair') from None
    else:
        assert encoded is not None
        try:
            data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise InputError('"base64" is no base64 of RFC 4648, section 4') from None
    if len(data) > limits.feed_bytes:
        raise TooLong(f"the feed has {len(data)} bytes; at most {limits.feed_bytes} are taken at once")
    return Feed(fields.id("stream", limits), data)


def _slow_down(fields: _Fields, _: Limits) -> SlowDown:
    duty, for_ms = fields.number("duty", FULL_DUTY), fields.number("for_ms", LONGEST_ORDER_MS)
    if duty is None or duty < LEAST_DUTY:
        raise InputError(f'"duty" must be a number from {LEAST_DUTY:g} to {FULL_DUTY:g}')
    if for_ms is None:
        raise InputError('"for_ms" must say how long it holds')
    return SlowDown(duty, for_ms, (fields.optional_string("reason") or "")[:MAX_REASON])


_PARSERS: Mapping[str, Callable[[_Fields, Limits], Request]] = {
    "batch": _batch,
    "cancel": _cancel,
    "open": _open,
    "feed": _feed,
    "close": lambda fields, limits: Close(fields.id("stream", limits)),
    "hello": _hello,
    "info": lambda fields, _: Info(fields.optional_string("model")),
    "health": lambda *_: Health(),
    "metrics": lambda *_: Metrics(),
    "reload": lambda fields, _: Reload(fields.optional_string("model")),
    "slow_down": _slow_down,
}


def _loads(line: bytes) -> Any:
    try:
        return _DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start} of the line is no UTF-8") from None
    except RecursionError:
        raise InputError("the message is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InputError(f"the line is no JSON: {error.msg} at character {error.pos}") from None
    except ValueError:
        # an integer of thousands of digits
        raise InputError("the message holds a number that is too long") from None


def _not_finite(name: str) -> NoReturn:
    raise InputError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise InputError("the message holds a number that is too large")
    return value


_DECODER = json.JSONDecoder(parse_constant=_not_finite, parse_float=_finite)


def _quoted(text: str) -> str:
    return json.dumps(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _kind(value: Any) -> str:
    names = {type(None): "missing", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")
