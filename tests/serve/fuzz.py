"""Hostile and broken input: each message that has an id gets exactly one reply with it, whatever it says, and nobody
else notices.

    python -m tests.serve.fuzz [--model M] [--inputs N] [--seconds S] [--seed N] [--json]

First inputs: valid messages with wrong types, sizes, ids, nesting and Unicode, streams opened, fed and closed in odd
orders, and bytes that are no messages. What must come back follows from the bytes alone (`expected_reply`). The seed is
printed; each round has one of its own, so that a failure names what repeats it: --seed S --inputs 1.

Then bad clients: slow ones, silent ones, ones that never read, endless lines, deep nesting, NUL bytes. Meanwhile a
well-behaved client measures its 99th percentile, against that of the time without them.
"""

from __future__ import annotations

import json
import random
import socket
import statistics
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from edge_runtime.server import vitals
from tests.serve import bad_clients, questions
from tests.serve.generator import percentile
from tests.serve.messages import DEEP, round_of_lines
from tests.serve.report import Report, machine, parser
from tests.serve.server import Server, request, served
from tests.serve.wire import Wire

INPUTS_OF_A_ROUND = 100
"""fewer than may be pending on a connection"""
WARM_UP = 0.1
"""of the inputs"""
MOST_GROWTH_MB = 8.0
"""a few of the largest lines and replies, which the allocator keeps room for"""
MOST_SLOWER = 2.0
"""p99 of a well-behaved client among bad ones, against without them"""
SLICE_SECONDS = 2.0
"""bad clients come and go so often, so that both are measured under the same conditions"""
LINE_BYTES = 262_144
"""the limit of docs/protocol.md"""
LARGEST_ID = 2**53 - 1
CODES = {
    "bad_request", "too_long", "unknown_model", "no_such_head", "overloaded", "deadline", "cancelled", "forbidden",
    "unavailable",
}  # fmt: skip
"""that an input may be answered with; `internal` would be the server's fault"""

NULL = "null"
NOTHING = "nothing"


def expected_reply(line: bytes) -> str:
    """The id of the reply to a line, as JSON: NULL where the line has none of use, NOTHING for a blank line."""
    if len(line) > LINE_BYTES:
        return NULL
    if not line.strip(b" \t\r\n\v\f"):
        return NOTHING
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return NULL
    if not isinstance(message, dict):
        return NULL
    found = message.get("id")
    if isinstance(found, str) and 1 <= len(found) <= 64:
        return json.dumps(found)
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= LARGEST_ID:
        return json.dumps(found)
    return NULL


def play_round(server: Server, seed: int) -> tuple[int, Counter[str]]:
    """Send a round of inputs on a connection of its own → how many there were, and what they were answered with.

    Raises:
        AssertionError: a reply is missing, doubled, or no reply at all.
    """
    lines = round_of_lines(random.Random(seed), INPUTS_OF_A_ROUND)
    # what holds a line feed is several lines to the server
    pieces = [piece for line in lines for piece in line.split(b"\n")]
    wanted = Counter(map(expected_reply, pieces))
    del wanted[NOTHING]
    outcomes: Counter[str] = Counter()
    with server.connect() as wire:
        request(wire, "hello")
        sender = random.Random(seed)
        _send_in_pieces(wire, b"".join(line + b"\n" for line in lines), sender)
        while wanted:
            try:
                line = wire.receive_line()
            except TimeoutError:
                raise AssertionError(f"seed {seed}: {_some(wanted)} are not answered") from None
            assert line is not None, f"seed {seed}: the connection ended, and {_some(wanted)} were not answered"
            message = json.loads(line)
            if "id" not in message:
                _check_event(message, seed)
                continue
            name = json.dumps(message["id"])
            assert wanted[name] > 0, f"seed {seed}: nobody asked for {line[:200]!r}"
            wanted[name] -= 1
            wanted += Counter()  # drops what has come to nothing
            outcomes[_outcome(message, seed)] += 1
        # whatever comes now is one too many
        wire.send({"id": "the last", "op": "health"})
        while (last := wire.receive()) is not None and "id" not in last:
            _check_event(last, seed)
        assert last is not None and last["id"] == "the last", f"seed {seed}: nobody asked for {last}"
        assert last["result"]["state"] == "ready", f"seed {seed}: {last}"
    return len(pieces), outcomes


def play_raw(server: Server, seed: int) -> None:
    """Send noise as the very first bytes of a connection: one error, and the end."""
    random_ = random.Random(seed)
    noise = random_.randbytes(random_.randint(1, 2000)).replace(b"\n", b"") + b"\n"
    with server.connect() as wire:
        with suppress(BrokenPipeError, ConnectionResetError):
            wire.send_bytes(b"\xff" + noise)
            wire.socket.shutdown(socket.SHUT_WR)
        message = wire.receive()
        assert message is not None and message["id"] is None and "error" in message, f"seed {seed}: {message}"
        assert wire.receive() is None, f"seed {seed}: the connection goes on"


def fuzz(server: Server, inputs: int, seed: int, report: Report) -> None:
    """Play rounds until so many inputs were sent."""
    sent, rounds, outcomes = 0, 0, Counter[str]()
    memory: int | None = None
    while sent < inputs:
        if memory is None and sent >= WARM_UP * inputs:
            memory = _own_memory(server)
        count, found = play_round(server, seed + rounds)
        play_raw(server, seed + rounds)
        sent, rounds = sent + count + 1, rounds + 1
        outcomes += found
    report.note("inputs", sent)
    report.note("inputs without exactly one right reply", 0)
    for code, number in sorted(outcomes.items()):
        report.note(f"answered: {code}", number)
    growth = (_own_memory(server) - (memory or 0)) / 1e6
    report.at_most("growth of the server's private memory after the warm-up, MB", growth, MOST_GROWTH_MB)
    with server.connect() as wire:
        report.exactly("workers that crashed", "edge_worker_ends_total{" in request(wire, "metrics"), 0)


def among_bad_clients(server: Server, seconds: float, report: Report) -> None:
    """Measure a well-behaved client with and without bad ones, taking turns."""
    calm: list[float] = []
    troubled: list[float] = []
    end = time.monotonic() + seconds
    bad_requests = 0
    while time.monotonic() < end:
        calm += _behave(server, SLICE_SECONDS / 2)
        with bad_clients.Crowd(server.unix) as crowd:
            crowd.under_way()
            troubled += _behave(server, SLICE_SECONDS)
        bad_requests += crowd.actions
    ratio = percentile(sorted(troubled), 0.99) / percentile(sorted(calm), 0.99)
    report.note("actions of bad clients", bad_requests)
    report.note("well-behaved requests among them", len(troubled))
    report.note("without them: median, ms", statistics.median(calm) * 1e3)
    report.note("without them: p99, ms", percentile(sorted(calm), 0.99) * 1e3)
    report.note("among them: median, ms", statistics.median(troubled) * 1e3)
    report.note("among them: p99, ms", percentile(sorted(troubled), 0.99) * 1e3)
    report.at_most("p99 among them / without them", ratio, MOST_SLOWER)


def _own_memory(server: Server) -> int:
    """Bytes; without the workers, of which there are two while one is being replaced."""
    return vitals.process(server.pid).private_bytes or 0


def _behave(server: Server, seconds: float) -> list[float]:
    """A client that asks one thing after the other → seconds of each."""
    times: list[float] = []
    texts = questions.texts(50)
    end = time.monotonic() + seconds
    with server.connect() as wire:
        while time.monotonic() < end:
            number = len(times)
            began = time.perf_counter()
            reply = wire.ask({"id": number, "op": "ask", "text": texts[number % len(texts)]})
            times.append(time.perf_counter() - began)
            assert reply["id"] == number and "result" in reply, reply
    return times


def _send_in_pieces(wire: Wire, data: bytes, random_: random.Random) -> None:
    """All of it, cut anywhere.

    The kernel holds the replies meanwhile: they are fewer bytes than it has room for, or the server waits for us, and
    then `unread_ms` is far away.
    """
    if random_.random() < 0.5:
        wire.send_bytes(data)
        return
    place = 0
    while place < len(data):
        length = random_.choice([1, 7, 100, 5000, 100_000])
        wire.send_bytes(data[place : place + length])
        place += length


def _check_event(message: Any, seed: int) -> None:
    assert message.keys() == {"stream", "window"}, f"seed {seed}: neither reply nor event: {message}"


def _outcome(message: Any, seed: int) -> str:
    if "error" not in message:
        assert "result" in message, f"seed {seed}: neither result nor error: {message}"
        return "ok"
    error = message["error"]
    assert "result" not in message and isinstance(error["message"], str), f"seed {seed}: {message}"
    code: str = error["code"]
    assert code in CODES, f"seed {seed}: {message}"
    return code


def _some(wanted: Counter[str]) -> str:
    return ", ".join(list(wanted)[:5])


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(digits)
    return value


def main() -> int:
    options = parser("send a server what it does not expect")
    options.add_argument("--inputs", type=int, default=200_000)
    options.add_argument("--seconds", type=float, default=30.0, help="among bad clients")
    options.add_argument("--seed", type=int, default=1)
    arguments = options.parse_args()
    sys.setrecursionlimit(DEEP // 2)
    report = Report(f"{arguments.model}: inputs from seed {arguments.seed} on ({machine()})")
    with served(arguments.model, arguments.socket) as server:
        fuzz(server, arguments.inputs, arguments.seed, report)
        if arguments.seconds > 0:
            among_bad_clients(server, arguments.seconds, report)
        report.exactly("exit status", server.stop(), 0)
        report.exactly("tracebacks in the log", server.log.count("Traceback"), 0)
    return report.print(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
