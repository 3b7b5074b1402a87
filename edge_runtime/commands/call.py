"""`edge-runtime call`: one request to a running server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.client import Client, decoding, messages
from edge_runtime.client.blocking import DEFAULT_TIMEOUT
from edge_runtime.client.urls import default_url
from edge_runtime.commands.found import Found
from edge_runtime.errors import InputError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LONGEST_TOKEN = 4096
"""bytes of a token file that are read; a token has a few dozen"""


@dataclass(frozen=True, slots=True)
class Place:
    """A server, and how to be let in."""

    url: str
    token: str | None

    def client(self, deadline_ms: float | None = None) -> Client:
        """One that does not give up before the server does."""
        timeout = max(DEFAULT_TIMEOUT, (deadline_ms or 0) / 1000 + 1)
        return Client(self.url, timeout=timeout, token=self.token)


def place(url: str | None, token_file: Path | None) -> Place:
    """Where to call; the usual place if `url` is None.

    Raises:
        InputError: the token file cannot be used.
    """
    token = None
    if token_file is not None:
        try:
            with token_file.open("rb") as opened:
                token = opened.read(_LONGEST_TOKEN).decode("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the token file {token_file} cannot be read: {error}") from None
        if not token:
            raise InputError(f"the token file {token_file} is empty")
    return Place(url or default_url(), token)


def split(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The URL, if the first argument is one, and the other arguments."""
    if arguments and _URL.match(arguments[0]):
        return arguments[0], list(arguments[1:])
    return None, list(arguments)


def call(
    server: Place, text: str, op: str, model: str | None, pairs: Sequence[str], deadline_ms: float | None
) -> Found:
    """Ask a server.

    Args:
        server: where it is.
        text: the question, or the text itself.
        op: the operation; "ask" for the model's own.
        model: its name; the server's first if None.
        pairs: a question's context, the second text to classify, or the choices.
        deadline_ms: how long the server may take; its default if None.

    Raises:
        EdgeError: the server cannot be reached, or refused.
    """
    with server.client(deadline_ms) as client:
        more = _pairs(client, op, model, pairs) if pairs else {}
        values = {"text": text, "model": model, "deadline_ms": deadline_ms, **more}
        reply = client.request(op, **values)
        name, task = decoding.field(reply, "model", str), decoding.field(reply, "task", str)
        return Found(name, task, listed(messages.text_result(reply)))


def listed(result: Any) -> Any:
    """A result as `Found` takes it: a vector as a list."""
    return result.tolist() if hasattr(result, "tolist") else result


def _pairs(client: Client, op: str, model: str | None, pairs: Sequence[str]) -> dict[str, Any]:
    """The field that --pair stands for in this operation."""
    task = decoding.field(client.info(model), "task", str) if op == "ask" else op
    if task == "choose":
        return {"choices": list(pairs)}
    if len(pairs) > 1 or task not in ("classify", "answer"):
        raise InputError(f"{task} does not take {len(pairs)} --pair")
    return {"pair": pairs[0]}
