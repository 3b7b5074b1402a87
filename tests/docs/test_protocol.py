"""docs/protocol.md against a real server: every example is played, and the tables of limits and errors are compared."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pattern import differences, parse
from tests.serve.fuzz import CODES
from tests.serve.server import TOKEN, Server, free_port, request, token_file
from tests.serve.wire import Wire

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/protocol.md"

Step = tuple[str, str]
"""`>` or `<`, and the line behind it"""


@pytest.fixture(scope="module")
def connect() -> Iterator[Callable[[bool], Wire]]:
    """Connects to a server: over TCP with a token asked for, or over its Unix socket."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        folder, port = Path(name), free_port()
        options = ("--tcp", f"127.0.0.1:{port}", "--token-file", str(token_file(folder)))
        with Server(folder, *options) as server:
            yield lambda token: Wire.tcp(port) if token else server.connect()


def examples(text: str) -> list[list[Step]]:
    """The examples in their order, each a run of indented lines that begin with > or <."""
    found: list[list[Step]] = []
    ended = True
    for line in text.splitlines():
        shown = re.fullmatch(r" {4}([<>]) (.*)", line)
        if shown is not None:
            if ended:
                found.append([])
            found[-1].append((shown[1], shown[2]))
        ended = shown is None
    return found


def play(steps: list[Step], wire: Wire) -> None:
    """Send what an example sends and compare what comes back, all of it.

    Raises:
        AssertionError: it is not what the example shows.
    """
    for direction, line in steps:
        if direction == ">":
            wire.send_bytes(line.replace('"token": "…"', f'"token": "{TOKEN}"').encode() + b"\n")
            continue
        message = wire.receive()
        assert differences(parse(line), message) == [], f"\nexpected {line}\nreceived {json.dumps(message)}"
    wire.send({"id": "after the example", "op": "health"})
    after = wire.receive()
    assert after is not None and after["id"] == "after the example", f"also received {json.dumps(after)}"


def play_all(text: str, connect: Callable[[bool], Wire]) -> int:
    """All examples on one connection, those with a token each on one of its own → how many lines were compared."""
    compared = 0
    with connect(False) as wire:
        for steps in examples(text):
            compared += sum(direction == "<" for direction, _ in steps)
            if any('"token"' in line for _, line in steps):
                with connect(True) as other:
                    play(steps, other)
            else:
                play(steps, wire)
    return compared


def table(text: str, heading: str) -> dict[str, list[str]]:
    """The rows of the table under a heading by their first cell, without its backquotes."""
    section = text.split(f"# {heading}\n", 1)[1].split("\n#", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return {cells[0].strip(" `"): [cell.strip(" `") for cell in cells[1:]] for cells in rows[2:]}


@pytest.fixture(scope="module")
def text() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


def test_examples(text: str, connect: Callable[[bool], Wire]) -> None:
    """The server answers every example as the document shows, and with nothing else."""
    assert play_all(text, connect) >= 16


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"intent": "iot_hue_lightoff"', '"intent": "iot_hue_lighton"'),
        ('"start": 13, "end": 20', '"start": 13, "end": 21'),
        ('"code": "no_such_head"', '"code": "bad_request"'),
        ('"max_characters": 8192', '"max_characters": 8193'),
        ('"label": "play_music", "score": …}', '"label": "play_music", "score": …, "rank": 1}'),
        ('"cancelled": false', '"canceled": false'),
        ('"windows": 0, "characters": 47', '"windows": 0'),
        ('"state": "ready", "reasons": []', '"state": "ready", "reasons": ["none"]'),
        ('    < {"id": 9, "result": {"windows": 0, "characters": 47}}\n', ""),
        ('"token": "…"', '"token": "wrong"'),
    ],
)
def test_mistakes_are_found(text: str, connect: Callable[[bool], Wire], right: str, wrong: str) -> None:
    """An example with a mistake in it does not pass."""
    assert right in text
    with pytest.raises(AssertionError):
        play_all(text.replace(right, wrong), connect)


def test_limits(text: str, connect: Callable[[bool], Wire]) -> None:
    """The table of limits names all that `hello` announces, with their values."""
    with connect(False) as wire:
        announced = request(wire, "hello")["limits"]
    assert {name: float(cells[0]) for name, cells in table(text, "Limits").items()} == announced


def test_errors(text: str) -> None:
    """The table of errors names all codes."""
    assert table(text, "Errors").keys() == CODES | {"internal"}


@pytest.mark.parametrize(
    ("pattern", "value", "same"),
    [
        ("…", None, True),
        ('{"a": 1}', {"a": 1}, True),
        ('{"a": 1}', {"a": 1, "b": 2}, False),
        ('{"a": 1, …}', {"a": 1, "b": 2}, True),
        ('{"a": 1, …}', {"b": 2}, False),
        ("{…}", {"b": 2}, True),
        ("{…}", [], False),
        ("[1, …]", [1, 2, 3], True),
        ("[1, …]", [1], True),
        ("[1, …]", [], False),
        ("[…]", [], True),
        ("[1, 2]", [1, 2, 3], False),
        ("[]", [], True),
        ('"a…c"', "abbc", True),
        ('"a…c"', "abb", False),
        ('"a.c"', "abc", False),
        ("1", True, False),
        ("1", 1.0, False),
        ("true", 1, False),
        ("null", None, True),
        ('{"a": [{"b": …}, …]}', {"a": [{"b": {}}, 7]}, True),
        ('{"a": [{"b": …}, …]}', {"a": [{"b": {}, "c": 1}]}, False),
    ],
)
def test_pattern(pattern: str, value: Any, same: bool) -> None:
    """`…` stands for any value, field, item or characters, and everything else for itself."""
    assert (differences(parse(pattern), value) == []) is same


@pytest.mark.parametrize("text", ["", "{", '{"a"}', "[1, 2", "[…, 1]", "{} {}", "nope", '{"a": 1,}'])
def test_no_pattern(text: str) -> None:
    """A pattern with a slip in it is refused instead of matching something."""
    with pytest.raises(ValueError):  # noqa: PT011  ours and json's
        parse(text)
