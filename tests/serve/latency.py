"""What going through the server costs: a request over its Unix socket against the same call in this process.

    python -m tests.serve.latency [--model M] [--tokens N] [--requests N] [--json]

One after the other, taking turns, so that both meet the same machine. The client encodes and decodes JSON, as any
would. A request wakes four processes in turn, so others that compute at the same time show in the median; the quietest
block of requests says what is left without them.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from pathlib import Path

from tests.serve import questions
from tests.serve.generator import percentile
from tests.serve.report import Report, machine, parser
from tests.serve.server import served
from tests.serve.wire import Wire

MOST_ADDED_MS = 0.4
WARM_UP = 200
"""requests that are not counted"""
BLOCK = 100
"""requests that follow one another"""


def measure(model_name: str, tokens: int, requests: int, unix: Path | None = None) -> Report:
    """Latencies of both ways, in milliseconds."""
    direct: list[float] = []
    through: list[float] = []
    with questions.load(model_name) as model:
        text = questions.of_length(model, tokens)
        with served(model_name, unix) as server, server.connect() as wire:
            gc.collect()
            gc.disable()
            for number in range(WARM_UP + requests):
                began = time.perf_counter()
                expected = questions.answer(model, text)
                between = time.perf_counter()
                reply = _ask(wire, number, text)
                ended = time.perf_counter()
                if not questions.same(reply, expected):
                    raise AssertionError(f"{reply} is not {expected}")
                if number >= WARM_UP:
                    direct.append((between - began) * 1e3)
                    through.append((ended - between) * 1e3)
            gc.enable()
    report = Report(f"{model_name}: {requests} requests of {tokens} tokens, one at a time ({machine()})")
    for what, times in (("in process", sorted(direct)), ("over the Unix socket", sorted(through))):
        report.note(f"{what}: median, ms", statistics.median(times))
        report.note(f"{what}: p99, ms", percentile(times, 0.99))
    added = statistics.median(through) - statistics.median(direct)
    report.at_most("added by the server: median, ms", added, MOST_ADDED_MS)
    blocks = range(0, len(through) - BLOCK + 1, BLOCK)
    quietest = min(blocks, key=lambda at: statistics.median(through[at : at + BLOCK]), default=0)
    of_block = slice(quietest, quietest + BLOCK)
    added = statistics.median(through[of_block]) - statistics.median(direct[of_block])
    report.note(f"the same in the quietest {BLOCK} requests, ms", added)
    return report


def _ask(wire: Wire, number: int, text: str) -> object:
    reply = wire.ask({"id": number, "op": "ask", "text": text})
    assert reply["id"] == number
    return reply["result"]


def main() -> int:
    options = parser("measure what the server adds to a request's time")
    options.add_argument("--tokens", type=int, default=16)
    options.add_argument("--requests", type=int, default=3000)
    arguments = options.parse_args()
    return measure(arguments.model, arguments.tokens, arguments.requests, arguments.socket).print(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
