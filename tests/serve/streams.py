"""A long text through one stream of a server, in pieces cut anywhere: in constant memory, with offsets that are right.

    python -m tests.serve.streams [--model M | --layers N] [--megabytes N] [--tagged N]
        [--window N] [--json]

First so many megabytes are tagged: the windows must follow each other without a gap, and every entity's text must be
what stands at its offsets. Then the long text is classified, and the server's memory watched. (Tagging remembers
entities for the final result, up to what a reply holds, so its memory grows until then.) The client waits for the reply
to each feed, as docs/protocol.md advises.

--layers 1 classifies with a random SqueezeBERT whose inference takes little: what is watched is the server.
"""

from __future__ import annotations

import base64
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.serve import questions
from tests.serve.random_model import convert_random
from tests.serve.report import Report, machine, parser
from tests.serve.server import Server, request, served
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


def tag(model_name: str, megabytes: float, window: int | None, unix: Path | None, report: Report) -> None:
    """Have so much text tagged, and look at every window."""
    with served(model_name, unix) as server, server.connect() as wire:
        _, checker = _stream(wire, server, "tag", int(megabytes * 1e6), window, report)
    report.note("tag: entities", checker.entities)
    report.exactly("tag: entities whose text is not at their offsets", checker.wrong, 0)


def classify(model_name: str, megabytes: float, window: int | None, unix: Path | None, report: Report) -> None:
    """Have so much text classified, and watch the server's memory."""
    with served(model_name, unix) as server, server.connect() as wire:
        growth, _ = _stream(wire, server, "classify", int(megabytes * 1e6), window, report)
    report.at_most("classify: growth of private memory after the warm-up, MB", growth, MOST_GROWTH_MB)


def _stream(
    wire: Wire, server: Server, task: str, total: int, window: int | None, report: Report
) -> tuple[float, _Checker]:
    """Feed so many bytes → growth of the server's memory after the warm-up, MB; and what was seen."""
    text, random_ = _Text(), random.Random(SEED)
    opened = request(wire, "open", stream="long", task=task, window=window)
    checker = _Checker(text)
    memory: int | None = None
    fed = 0
    began = time.perf_counter()
    while fed < total:
        data = text.piece(fed, min(random_.randint(1, LONGEST_FEED), total - fed))
        _feed(wire, data, checker)
        fed += len(data)
        if memory is None and fed >= WARM_UP * total:
            memory = server.private_bytes()
    growth = (server.private_bytes() - (memory or 0)) / 1e6
    wire.send({"id": "close", "op": "close", "stream": "long"})
    closed = _reply(wire, checker)
    report.note(f"{task}: windows of {opened['window']} tokens", closed["windows"])
    report.note(f"{task}: speed, MB/s", fed / 1e6 / (time.perf_counter() - began))
    report.exactly(f"{task}: windows without an event", closed["windows"] - checker.windows, 0)
    report.exactly(f"{task}: characters between windows", checker.gaps, 0)
    return growth, checker


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
            if "start" not in entity:
                break
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
    options.add_argument("--megabytes", type=float, default=64, help="of text to be classified")
    options.add_argument("--tagged", type=float, default=1, help="megabytes of text to be tagged")
    options.add_argument("--layers", type=int, help="classify with a random SqueezeBERT of so many layers")
    options.add_argument("--window", type=int, help="tokens; left out: the server's own choice")
    arguments = options.parse_args()
    report = Report(f"{arguments.tagged:g} MB tagged, {arguments.megabytes:g} MB classified ({machine()})")
    tag(arguments.model, arguments.tagged, arguments.window, arguments.socket, report)
    with tempfile.TemporaryDirectory(prefix="edge-model-") as folder:
        model = arguments.model
        if arguments.layers is not None:
            model = os.fspath(convert_random(Path(folder), arguments.layers))
        classify(model, arguments.megabytes, arguments.window, arguments.socket, report)
    return report.print(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
