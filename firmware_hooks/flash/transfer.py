r"""What goes over ssh: an order, perhaps a model, and an answer.

    >  {"op": "push", "statement": "squeezebert-edge model 1\n…", "allow_downgrade": false, "switch": true}
    <  {"offset": 0}                     how much of the model is there already
    >  …                                 the rest of the model's bytes
    <  {"result": {…}}                   or {"error": "…"}, which may also come in the offset's place

Each is one line of JSON. The board's end is `edge-flash model receive`, which takes everything from its standard input:
so a key in authorized_keys can be bound to that one command.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from edge_runtime.errors import EdgeError
from firmware_hooks.errors import HookError
from firmware_hooks.flash.board import Board

MAX_LINE = 65536
"""bytes of an order or an answer; the longest is a status with some kilobytes"""
BLOCK = 1 << 16
"""bytes that are sent at a time"""


class Silence(HookError):  # noqa: N818  short names, as they are caught
    """The other end closed the connection without a word."""


def receive(board: Board, incoming: IO[bytes], outgoing: IO[bytes]) -> bool:
    """The board's end: do what one order says.

    Returns:
        Whether it was done.
    """
    try:
        result = _obey(board, incoming, outgoing)
    except (HookError, EdgeError, OSError) as error:
        _send(outgoing, {"error": str(error)})
        return False
    _send(outgoing, {"result": result})
    return True


def exchange(order: dict[str, Any], model: Path | None, outgoing: IO[bytes], incoming: IO[bytes]) -> dict[str, Any]:
    """The workstation's end: send an order, and what it needs of the model.

    Raises:
        HookError: the board refused, with its reason, or did not answer.
    """
    try:
        _send(outgoing, order)
        answer = _line(incoming)
        if "offset" in answer and model is not None:
            with model.open("rb") as file:
                file.seek(int(answer["offset"]))
                while block := file.read(BLOCK):
                    outgoing.write(block)
                outgoing.flush()
            answer = _line(incoming)
    except BrokenPipeError:
        # it may have said why before it closed
        answer = _line(incoming)
    if "error" in answer:
        raise HookError(str(answer["error"]))
    result = answer.get("result")
    if not isinstance(result, dict):
        raise HookError("the board answered something else than edge-flash does; is its version the same?")
    return result


def _obey(board: Board, incoming: IO[bytes], outgoing: IO[bytes]) -> dict[str, Any]:
    order = _line(incoming)
    name = order.get("name")
    match order.get("op"):
        case "push":

            def source(offset: int) -> Iterator[bytes]:
                _send(outgoing, {"offset": offset})
                while block := incoming.read1(BLOCK):  # type: ignore[attr-defined]  # buffered readers have it
                    yield block

            return board.push(
                str(order.get("statement")).encode(),
                source,
                allow_downgrade=order.get("allow_downgrade") is True,
                switch=order.get("switch") is not False,
            )
        case "switch":
            return board.switch(name)
        case "rollback":
            return board.rollback(name)
        case "confirm":
            return board.confirm(name)
        case "status":
            return board.status(name)
    raise HookError(f"there is no operation {order.get('op')!r}; is edge-flash there as new as here?")


def _send(outgoing: IO[bytes], message: dict[str, Any]) -> None:
    outgoing.write(json.dumps(message).encode("ascii") + b"\n")
    outgoing.flush()


def _line(incoming: IO[bytes]) -> dict[str, Any]:
    line = incoming.readline(MAX_LINE)
    if not line:
        raise Silence("the connection was closed")
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise HookError(
            f"the other end says {line[:80]!r}, which edge-flash does not; does its shell print a greeting?"
        )
    return message
