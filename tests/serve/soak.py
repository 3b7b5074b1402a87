"""Whether a server that runs for long keeps its memory and its descriptors.

    python -m tests.serve.soak [--model M] [--requests N] [--reconnects N] [--json]

Connections come and go, and on each many requests of all lengths are asked, every tenth of them wrong, and a stream is
opened and left to itself. After a tenth of it the memory is noted; from then on it may hardly grow.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.serve import questions
from tests.serve.report import Report, machine, parser
from tests.serve.server import Server, request, served
from tests.serve.wire import Wire

MOST_GROWTH_MB = 2.0
WARM_UP = 0.1
"""of all requests: interpreters for each length, the allocator's arenas, every code path once"""
AHEAD = 32
"""requests that are sent before their replies are read"""
SETTLE_SECONDS = 10.0
"""until a server must have noticed that connections are gone"""


def measure(model_name: str, requests: int, reconnects: int, unix: Path | None = None) -> Report:
    """Ask `requests` over `reconnects` connections, one after the other."""
    texts = _texts()
    each = max(1, requests // reconnects)
    answered = 0
    report = Report(f"{model_name}: {requests} requests on {reconnects} connections ({machine()})")
    with served(model_name, unix) as server:
        memory = descriptors = workers = None
        for number in range(reconnects):
            if memory is None and number >= WARM_UP * reconnects:
                descriptors = settled_descriptors(server)
                memory, workers = server.private_bytes(), server.workers()
            with server.connect() as wire:
                answered += _converse(wire, number, each, texts)
        grown = settled_descriptors(server)
        assert memory is not None and descriptors is not None
        growth = (server.private_bytes() - memory) / 1e6
        report.exactly("requests without an answer", reconnects * each - answered, 0)
        report.note("private memory after the warm-up, MB", memory / 1e6)
        report.at_most("growth of private memory, MB", growth, MOST_GROWTH_MB)
        report.note("open descriptors after the warm-up", descriptors)
        report.exactly("growth of open descriptors", grown - descriptors, 0)
        report.exactly("workers that were replaced", len(set(server.workers()) - set(workers or ())), 0)
        with server.connect() as wire:
            report.exactly("open streams", gauge(request(wire, "metrics"), "edge_streams"), 0)
    return report


def settled_descriptors(server: Server) -> int:
    """Open descriptors once all connections but the one that asks are gone, less that one."""
    end = time.monotonic() + SETTLE_SECONDS
    with server.connect() as wire:
        while gauge(request(wire, "metrics"), "edge_connections") > 1 and time.monotonic() < end:
            pass
        return server.open_descriptors() - 1


def gauge(metrics: str, name: str) -> float:
    """The value of a metric without labels."""
    return next(float(line.split()[1]) for line in metrics.splitlines() if line.startswith(f"{name} "))


def _converse(wire: Wire, connection: int, requests: int, texts: list[str]) -> int:
    """One connection's requests → how many were answered."""
    task = "tag"
    wire.send({"id": "open", "op": "open", "stream": connection, "task": task, "window": 16})
    wire.send({"id": "feed", "op": "feed", "stream": connection, "text": "turn on the lights in the kitchen " * 4})
    pending = {"open", "feed"}
    answered = 0
    for first in range(0, requests, AHEAD):
        numbers = range(first, min(first + AHEAD, requests))
        wire.send_bytes(b"".join(_request(number, connection, texts) for number in numbers))
        left = len(numbers)
        while left or (pending and first + AHEAD >= requests):
            reply = wire.receive()
            assert reply is not None, "the server ended a connection"
            if "id" not in reply:
                continue
            if reply["id"] in pending:
                pending.discard(reply["id"])
            else:
                left -= 1
                answered += 1
    return answered


def _request(number: int, connection: int, texts: list[str]) -> bytes:
    if number % 10 == 9:
        wrong = ({"op": "sing"}, {"op": "ask"}, {"op": "feed", "stream": "none", "text": ""}, {"op": "ask", "text": ""})
        return json.dumps({"id": number, **wrong[number // 10 % len(wrong)]}).encode() + b"\n"
    return questions.line(number, texts[(number + connection) % len(texts)], deadline_ms=60_000)


def _texts() -> list[str]:
    """Of 3 to about 100 tokens."""
    sentences = questions.texts(600)
    return [" and ".join(sentences[place : place + 1 + place % 12]) for place in range(500)]


def main() -> int:
    options = parser("see whether a server that runs for long keeps its memory")
    options.add_argument("--requests", type=int, default=100_000)
    options.add_argument("--reconnects", type=int, default=1000)
    arguments = options.parse_args()
    return measure(arguments.model, arguments.requests, arguments.reconnects, arguments.socket).print(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
