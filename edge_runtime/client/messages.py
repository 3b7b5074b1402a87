"""Requests → lines, and lines → replies, as docs/protocol.md has them; for both clients."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from edge_runtime import errors
from edge_runtime.client import decoding
from edge_runtime.errors import EdgeError, InputError, ServerError, TooLong
from edge_runtime.protocol.limits import PROTOCOL, Limits

MAX_REPLY_BYTES = 64 << 20
"""of a line that a server may announce; more memory than a board's client should give for one answer"""
FEEDS_AHEAD = 4
"""feeds of a stream that are sent without waiting for their replies: the server never waits for the next, and what it
sends in the meantime stays small"""

_SHOWN = 60
"""characters of a server's line in an error message"""

_ERRORS: Mapping[str, type[EdgeError]] = {
    kind.code: kind
    for kind in (
        errors.InputError,
        errors.TooLong,
        errors.UnknownModel,
        errors.NoSuchHead,
        errors.Overloaded,
        errors.DeadlineExceeded,
        errors.Cancelled,
        errors.Forbidden,
        errors.Unavailable,
    )
}


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the server spent the time of a request, in milliseconds."""

    queue: float
    tokenise: float
    infer: float


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a client remembers of a server's `hello`."""

    limits: Limits

    @classmethod
    def read(cls, reply: Mapping[str, Any]) -> Greeting:
        """Raises the reply's error, or ServerError for a reply that is no answer to `hello`."""
        said = result(reply)
        announced = decoding.field(said, "limits", dict)
        limits = {name.name: _limit(announced.get(name.name), name.default) for name in fields(Limits)}
        limits["reply_bytes"] = min(limits["reply_bytes"], MAX_REPLY_BYTES)
        return cls(Limits(**limits))

    def deadline_ms(self, wanted: float | None, timeout: float) -> float | None:
        """What to tell the server: no more than the `timeout` in seconds after which nobody listens any more."""
        most = timeout * 1000
        if wanted is None:
            return None if most >= self.limits.default_deadline_ms else most
        # what is no number, or NaN, is for others to refuse
        return most if isinstance(wanted, (int, float)) and wanted > most else wanted


def request(number: int, op: str, values: Mapping[str, Any], limits: Limits) -> bytes:
    """The line of a request; fields that are None are left out.

    Raises:
        InputError: a field is nothing that JSON can carry.
        TooLong: the line has more bytes than the server takes.
    """
    given = {name: value for name, value in values.items() if value is not None}
    line = dump({"id": number, "op": op, **given})
    if len(line) > limits.line_bytes:
        raise TooLong(
            f"the request has {len(line)} bytes and the server takes {limits.line_bytes}; send it as a stream"
        )
    return line + b"\n"


def hello(number: int, token: str | None) -> bytes:
    return request(number, "hello", {"protocol": PROTOCOL, "token": token}, Limits())


def dump(value: Any) -> bytes:
    """JSON in UTF-8. Raises InputError for what it cannot carry."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise InputError(f"a text holds half of a surrogate pair, {half!r}, which UTF-8 cannot carry") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the request cannot be sent as JSON: {error}") from None


def read(line: bytes) -> dict[str, Any]:
    """The message on a line.

    Raises:
        ServerError: it is none.
    """
    try:
        message = _DECODER.decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        shown = line[:_SHOWN].decode("utf-8", "replace")
        raise ServerError(f"the server sent a line that is no message: {shown!r}; is it an edge-runtime?")
    return message


def result(reply: Mapping[str, Any]) -> Any:
    """The result of a reply.

    Raises:
        EdgeError: the reply is an error, and this is its class.
    """
    if reply.get("error") is not None:
        raise failure(reply["error"])
    if "result" not in reply:
        raise ServerError("the server's reply has neither a result nor an error; is it an edge-runtime?")
    return reply["result"]


def text_result(reply: Mapping[str, Any]) -> Any:
    """The result of a text operation, as the class that a model in process returns. Raises as `result` does."""
    value = result(reply)
    return decoding.result(decoding.field(reply, "task", str), value)


def failure(error: Any) -> EdgeError:
    """An `error` as an exception; an unknown code counts as the server's own failure."""
    code = decoding.field(error, "code", str)
    message = decoding.field(error, "message", str)
    kind = _ERRORS.get(code)
    if kind is errors.Overloaded:
        after = error.get("retry_after_ms")
        return errors.Overloaded(
            message, None if after is None else decoding.field(error, "retry_after_ms", float) / 1e3
        )
    if kind is not None:
        return kind(message)
    return ServerError(message if code == ServerError.code else f"{message} ({code[:_SHOWN]})")


def timing(reply: Mapping[str, Any]) -> Timing | None:
    """The times in a reply, where it has them."""
    if reply.get("timing_ms") is None:
        return None
    said = reply["timing_ms"]
    return Timing(*(decoding.field(said, name, float) for name in ("queue", "tokenise", "infer")))


def _limit(announced: Any, default: Any) -> Any:
    """A limit as the server announced it, at least 1; the protocol's default where it announced none."""
    if isinstance(announced, bool) or not isinstance(announced, (int, float)) or not abs(announced) < math.inf:
        return default
    return max(1, announced if isinstance(default, float) else int(announced))


def _not_finite(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_not_finite)
