"""A long text through one stream of a server, in pieces cut anywhere: in constant memory, with offsets that are right.

    python -m tests.serve.streams [--model M] [--megabytes N] [--window N] [--json]

The client waits for the reply to each feed, as docs/protocol.md advises, and checks that the windows follow each other
without a gap and that every entity's text is what stands at its offsets.
"""

from __future__ import annotations

import base64
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.serve import questions
from tests.serve.report import Report, machine, parser
from tests.serve.server import Server, request
from tests.serve.wire import Wire

MOST_GROWTH_MB = 2.0
WARM_UP = 0.1
"""of the text"""
LONGEST_FEED = 48_000
"""bytes; 65,536 are allowed"""
SEED = 20260101


class _Text:
    """An endless text of sentences, some characters of which have several bytes."""

    def __init__(self) -> None:
        joined = ". ".join(questions.texts(500)) + ". Zoë überall, 日本 and 🙂. "
        self._period = joined
        self._bytes = joined.encode()

    def piece(self, start: int, length: int) -> bytes:
        """Bytes from `start` on."""
        found = b""
        while len(found) < length:
            at = (start + len(found)) % len(self._bytes)
            found += self._bytes[at : at + length - len(found)]
        return found

    def characters(self, start: int, end: int) -> str:
        at = start % len(self._period)
        return (self._period * (2 + (end - start) // len(self._period)))[at : at + end - start]


def measure(model_name: str, megabytes: float, window: int | None) -> Report:
    """Feed so much text for tagging."""
    text, random_ = _Text(), random.Random(SEED)
    total = int(megabytes * 1e6)
    fed = windows = 0
    report = Report(f"{model_name}: {megabytes:g} MB through one stream ({machine()})")
    with tempfile.TemporaryDirectory(prefix="edge-") as folder, Server(Path(folder), models=[model_name]) as server:
        with server.connect() as wire:
            opened = request(wire, "open", stream="long", task="tag", window=window)
            checker = _Checker(text)
            memory = None
            began = time.perf_counter()
            while fed < total:
                data = text.piece(fed, min(random_.randint(1, LONGEST_FEED), total - fed))
                reply = _feed(wire, data, checker)
                windows = reply["windows"]
                fed += len(data)
                if memory is None and fed >= WARM_UP * total:
                    memory = server.private_bytes()
            growth = (server.private_bytes() - (memory or 0)) / 1e6
            wire.send({"id": "close", "op": "close", "stream": "long"})
            closed = _reply(wire, checker)
            seconds = time.perf_counter() - began
        report.note("window, tokens", opened["window"])
        report.exactly("windows whose event is missing", closed["windows"] - checker.windows, 0)
        report.exactly("gaps between windows, characters", checker.gaps, 0)
        report.exactly("entities whose text is not at their offsets", checker.wrong, 0)
        report.note("entities in events", checker.entities)
        report.note("windows", windows)
        report.note("speed, MB/s", fed / 1e6 / seconds)
        report.at_most("growth of private memory after the warm-up, MB", growth, MOST_GROWTH_MB)
    return report


class _Checker:
    """Looks at events as they come."""

    def __init__(self, text: _Text) -> None:
        self._text = text
        self._end = 0
        self.windows = self.gaps = self.wrong = self.entities = 0

    def take(self, event: dict[str, Any]) -> None:
        found = event["window"]
        assert found["index"] == self.windows
        self.windows += 1
        if found["start"] > self._end:
            # white space may lie between two windows, nothing else
            self.gaps += len(self._text.characters(self._end, found["start"]).strip())
        self._end = found["end"]
        for entity in found["result"]:
            self.entities += 1
            self.wrong += self._text.characters(entity["start"], entity["end"]) != entity["text"]


def _feed(wire: Wire, data: bytes, checker: _Checker) -> Any:
    encoded = base64.b64encode(data).decode()
    wire.send({"id": "feed", "op": "feed", "stream": "long", "base64": encoded})
    return _reply(wire, checker)


def _reply(wire: Wire, checker: _Checker) -> Any:
    while True:
        message = wire.receive()
        assert message is not None, "the server ended the connection"
        if "id" in message:
            assert "result" in message, message
            return message["result"]
        checker.take(message)


def main() -> int:
    options = parser("send a long text through a stream")
    options.add_argument("--megabytes", type=float, default=64)
    options.add_argument("--window", type=int, help="tokens; left out: the server's own choice")
    arguments = options.parse_args()
    return measure(arguments.model, arguments.megabytes, arguments.window).print(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
