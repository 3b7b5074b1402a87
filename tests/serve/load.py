"""Whether the server holds what it promises under load: nothing lost or mixed up, and goodput when too much is asked.

    python -m tests.serve.load [--model M | --layers N] [--clients N] [--requests N] [--seconds S] [--json]

Every client asks its own texts as fast as it gets answers (closed loop): each answer must be the one that the model
gives in this process for that client's text, on that client's connection. Half of that comes before and half after the
overload; how many a second it makes is the capacity. In between as many connections ask three times as much as the
first half did, at fixed times (open loop), whatever becomes of it.

--layers N converts a SqueezeBERT of N layers and 256 wide with random weights and asks that: there the network takes
most of the time, as it does on a board, while the bundled assistant is so quick that the server itself is what is
measured. The generator is one process on the same machine; its share of the processor is noted.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import tempfile
from pathlib import Path

from tests.serve import questions
from tests.serve.generator import Run, closed_loop, open_loop, percentile
from tests.serve.random_model import convert_random
from tests.serve.report import Report, machine, parser
from tests.serve.server import Server, served

OVERLOAD = 3.0
"""times the capacity"""
LEAST_GOODPUT = 0.9
"""of the capacity"""
MOST_REFUSAL_MS = 20.0
"""until somebody knows that there will be no answer"""
MOST_LATE = 0.005
"""of all: what was accepted in good faith before others took the processor away"""
TEXTS = 10
"""of its own that each client asks"""
SEED = 1
"""of the order that they come in; the same lengths one after the other would be answered faster"""


def check_answers(run: Run, asked: dict[int, str], expected: dict[str, object]) -> dict[str, int]:
    """How many requests of a run were lost, answered twice, on another's connection, wrongly, or not `ok`."""
    found = dict.fromkeys(("lost", "answered twice", "to another client", "wrong", "errors"), 0)
    seen: set[int] = set()
    for reply in run.replies:
        found["answered twice"] += reply.request in seen
        seen.add(reply.request)
        found["to another client"] += run.owner.get(reply.request) != reply.connection
        if reply.outcome != "ok":
            found["errors"] += 1
        elif not questions.same(json.loads(reply.line)["result"], expected[asked[reply.request]]):
            found["wrong"] += 1
    found["lost"] = len(run.sent.keys() - seen)
    return found


def closed(server: Server, expected: dict[str, object], clients: int, requests: int) -> tuple[Run, dict[str, int]]:
    """Closed loop → what happened, and what was wrong with the answers."""
    own, random_ = list(expected), random.Random(SEED)
    plans: list[list[tuple[int, bytes]]] = []
    asked: dict[int, str] = {}
    for client in range(clients):
        plan = []
        for turn in range(requests):
            number, text = client * requests + turn, own[client * TEXTS + random_.randrange(TEXTS)]
            asked[number] = text
            # long enough for all clients to be served in turn: all of it is to be answered
            plan.append((number, questions.line(number, text, deadline_ms=60_000)))
        plans.append(plan)
    run = closed_loop(server.unix, plans)
    return run, check_answers(run, asked, expected)


def overload(
    server: Server, expected: dict[str, object], clients: int, rate: float, seconds: float, deadline_ms: float
) -> tuple[Run, dict[str, int]]:
    """Open loop at `rate` → what happened, and what was wrong with the answers."""
    own, random_ = list(expected), random.Random(SEED)
    asked = {number: random_.choice(own) for number in range(int(rate * seconds))}
    plan = [(number, questions.line(number, text, deadline_ms=deadline_ms)) for number, text in asked.items()]
    run = open_loop(server.unix, clients, plan, rate)
    return run, check_answers(run, asked, expected)


def judge(report: Report, run: Run, wrong: dict[str, int], capacity: float, deadline_ms: float) -> None:
    """Add what overload must show."""
    accepted, refused = run.latencies("ok"), run.latencies("overloaded")
    for what in ("lost", "answered twice", "to another client", "wrong"):
        report.exactly(f"overload: {what}", wrong[what], 0)
    report.note("overload: offered, requests/s", len(run.sent) / (max(run.sent.values()) - run.began))
    report.note("overload: answered", len(accepted))
    report.note("overload: overloaded", len(refused))
    late = len(run.latencies("deadline"))
    report.at_most("overload: accepted and then late, share", late / len(run.replies), MOST_LATE)
    report.exactly("overload: other errors", len(run.replies) - len(accepted) - len(refused) - late, 0)
    report.at_least("overload: goodput / capacity", len(accepted) / run.seconds / capacity, LEAST_GOODPUT)
    report.at_most("overload: p99 of the answered, ms", percentile(accepted, 0.99) * 1e3, deadline_ms)
    if refused:
        report.note("overload: refusals, median, ms", percentile(refused, 0.5) * 1e3)
        report.at_most("overload: refusals, p99, ms", percentile(refused, 0.99) * 1e3, MOST_REFUSAL_MS)
        report.note("overload: refusals, longest, ms", refused[-1] * 1e3)


def measure(
    model_name: str, clients: int, requests: int, seconds: float, deadline_ms: float, unix: Path | None = None
) -> Report:
    """Both loops with one server."""
    with questions.load(model_name) as model:
        expected = {text: questions.answer(model, text) for text in questions.texts(clients * TEXTS)}
    name = Path(model_name).stem
    report = Report(f"{name}: {clients} clients, {clients * requests} requests, then {OVERLOAD:g} x ({machine()})")
    report.note("different answers among the texts", len({json.dumps(each) for each in expected.values()}))
    with served(model_name, unix) as server:
        before, wrong_before = closed(server, expected, clients, requests - requests // 2)
        first = len(before.replies) / before.seconds
        used, of_server = _own_seconds(), server.cpu_seconds()
        run, wrong = overload(server, expected, clients, OVERLOAD * first, seconds, deadline_ms)
        generator, of_server = (_own_seconds() - used) / run.seconds, (server.cpu_seconds() - of_server) / run.seconds
        after, wrong_after = closed(server, expected, clients, requests // 2)
    for what, count in wrong_before.items():
        report.exactly(f"closed loop: {what}", count + wrong_after[what], 0)
    capacity = (len(before.replies) + len(after.replies)) / (before.seconds + after.seconds)
    report.note("closed loop: capacity, requests/s", capacity)
    report.note("closed loop: p99, ms", percentile(sorted(before.latencies("ok") + after.latencies("ok")), 0.99) * 1e3)
    judge(report, run, wrong, capacity, deadline_ms)
    report.note("overload: processors, generator", generator)
    report.note("overload: processors, server", of_server)
    return report


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    options = parser("load a server beyond what it can do")
    options.add_argument("--layers", type=int, help="convert a random SqueezeBERT of so many layers and ask that")
    options.add_argument("--clients", type=int, default=64)
    options.add_argument("--requests", type=int, default=500, help="of each client")
    options.add_argument("--seconds", type=float, default=10.0, help="of overload")
    options.add_argument("--deadline", type=float, default=500.0, help="of requests under overload, ms")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-model-") as folder:
        model = arguments.model
        if arguments.layers is not None:
            model = os.fspath(convert_random(Path(folder), arguments.layers))
        found = measure(
            model, arguments.clients, arguments.requests, arguments.seconds, arguments.deadline, arguments.socket
        )
    return found.print(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
