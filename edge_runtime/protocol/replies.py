"""Replies and events → lines. Results arrive as the JSON that a worker made and are put in as they are."""

from __future__ import annotations

import json
import math
from typing import Any

from edge_runtime.protocol.requests import RequestId


def dump(value: Any) -> bytes:
    """JSON as the wire has it: UTF-8, no space, no NaN.

    A surrogate that a peer slipped into a message comes back as an escape.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def result(request: RequestId, body: bytes, computed: bytes = b"") -> bytes:
    """`computed`: the fields of `computed_by`, or nothing."""
    return b'{"id":%b,"result":%b%b}\n' % (_id(request), body, computed)


def computed_by(model: str, task: str, queue: float, tokenise: float, infer: float) -> bytes:
    """The fields that replies of text operations have beside the result; times in seconds."""
    return b',"model":"%b","task":"%b","timing_ms":{"queue":%.3f,"tokenise":%.3f,"infer":%.3f}' % (
        model.encode("ascii"),
        task.encode("ascii"),
        queue * 1e3,
        tokenise * 1e3,
        infer * 1e3,
    )


def failure(code: str, message: str, retry_after: float | None = None) -> bytes:
    """The body of an error; `retry_after` in seconds."""
    hint = {} if retry_after is None else {"retry_after_ms": math.ceil(retry_after * 1e3)}
    return dump({"code": code, "message": message, **hint})


def error(request: RequestId | None, code: str, message: str, retry_after: float | None = None) -> bytes:
    body = failure(code, message, retry_after)
    return b'{"id":%b,"error":%b}\n' % (b"null" if request is None else _id(request), body)


def event(stream: RequestId, window: bytes) -> bytes:
    return b'{"stream":%b,"window":%b}\n' % (_id(stream), window)


def _id(request: RequestId) -> bytes:
    return b"%d" % request if isinstance(request, int) else dump(request)
