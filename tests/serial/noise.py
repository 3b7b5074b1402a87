"""`python -m tests.serial.noise`: a real server, a client, and between them a cable that damages bytes.

For each rate of errors per byte so many requests are asked, each another, half of them JSON and half compact, and every
reply is held against what the model says in this process. A table is printed; `--plot` draws it, together with what the
same link does at 115,200 baud on a simulated wire, where no time passes but the wire's.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import edge_runtime
from tests.edge_runtime.serial_link.simulation import Pair
from tests.serial.expected import Question, some
from tests.serial.microcontroller import Microcontroller
from tests.serial.relay import Relay
from tests.serve.report import Report, parser
from tests.serve.server import Server

RATES = (0.0, 1e-5, 1e-4, 1e-3, 1e-2)
"""errors per byte: a flipped bit, a lost byte, an invented byte, a pause, each as often"""
ALL_ANSWERED = 1e-3
"""the highest rate at which every request has to be answered"""
DEADLINE = 30.0
"""seconds for a request"""
FAST = "baud=3000000&pause=2"
"""a pty has no baud rate: these make only the link's own waiting short"""
PLOT = Path(__file__).parents[2] / "docs" / "serial" / "noise.svg"


@dataclass(slots=True)
class Found:
    """What happened at one rate."""

    rate: float
    requests: int
    wrong: int = 0
    unanswered: int = 0
    seconds: float = 0.0
    errors: int = 0
    """that the cable made"""
    wire: int = 0
    """bytes, both ways"""
    bodies: int = 0
    """bytes of requests and replies"""
    retries: int = 0
    resets: int = 0


def measure(folder: Path, questions: list[Question], rate: float, seed: int) -> Found:
    """Ask all questions once over a cable of this rate."""
    found = Found(rate, len(questions))
    relay = Relay(folder, rate=rate, seed=seed)
    with relay, Server(folder, "--serial", f"{relay.ours}?{FAST}"), Microcontroller(relay.theirs, FAST) as client:
        begun = time.monotonic()
        for question in questions:
            try:
                reply = client.ask(question.body, DEADLINE)
            except TimeoutError:
                found.unanswered += 1
                # a client at its deadline forgets the request, and with it what may still come
                client.reset()
                continue
            found.bodies += len(question.body) + len(reply)
            found.wrong += not question.is_answered_by(reply)
        found.seconds = time.monotonic() - begun
        found.retries = client.counters.errors["retry"]
        found.resets = len(client.resets)
    for way in relay.carried.values():
        found.wire += way.pop("bytes")
        found.errors += sum(way.values())
    return found


def simulated(rate: float, seed: int = 1) -> tuple[float, float]:
    """Requests of 60 bytes per second, and bytes per second of a 64 KB message, at 115,200 baud."""
    pair = Pair(rate, seed)
    draw = random.Random(seed)
    count = 200
    for _ in range(count):
        body = draw.randbytes(60)
        assert pair.ask(body) == body[::-1]
    requests = count / pair.now
    begun = pair.now
    body = draw.randbytes(64 << 10)
    assert pair.ask(body, 3600) == body[::-1]
    return requests, 2 * len(body) / (pair.now - begun)


def plot(found: list[Found], file: Path) -> None:
    """Draw throughput against the rate of errors."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    noisy = [each for each in found if each.rate]
    rates = [10 ** (power / 4) for power in range(-20, -7)]
    quick = [simulated(rate) for rate in rates]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained")
    left.semilogx([each.rate for each in noisy], [each.bodies / each.wire for each in noisy], "o-", color="#1f5fa8")
    left.set_ylim(0, 1)
    left.set_ylabel("share of the wire's bytes that are\nrequests' and replies' bodies")
    left.set_title(f"{noisy[0].requests:,} requests at each level over a pty", fontsize=10)
    right.semilogx(rates, [each[0] for each in quick], "o-", color="#1f5fa8", label="requests of 60 bytes, per second")
    right.semilogx(
        rates, [each[1] / 115.2 for each in quick], "s-", color="#b5541c", label="64 KB message, % of the wire"
    )
    right.set_ylim(0)
    right.set_title("simulated wire at 115,200 baud", fontsize=10)
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.set_xlabel("errors per byte")
        axes.grid(alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    # no date inside: the same figures are the same file
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def main() -> int:
    arguments = parser("Ask over a noisy cable; no answer may be wrong.")
    arguments.add_argument("--requests", type=int, default=10_000, help="at each rate")
    arguments.add_argument("--rates", type=float, nargs="+", default=RATES, help="errors per byte")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--plot", action="store_true", help=f"write {PLOT.name}")
    given = arguments.parse_args()
    return report(given).print(given.json)


def report(given: argparse.Namespace) -> Report:
    questions = some(edge_runtime.load(given.model), given.requests)
    found = []
    for rate in given.rates:
        with tempfile.TemporaryDirectory(prefix="edge-") as folder:
            found.append(measure(Path(folder), questions, rate, given.seed))
    written = Report(f"{given.requests} requests at each rate of errors per byte")
    for each in found:
        name = f"{each.rate:g}:"
        written.exactly(f"{name} wrong answers", each.wrong, 0)
        if each.rate <= ALL_ANSWERED:
            written.exactly(f"{name} unanswered", each.unanswered, 0)
        else:
            written.note(f"{name} unanswered", each.unanswered)
        written.note(f"{name} errors made", each.errors)
        written.note(f"{name} times a sender went back (client)", each.retries)
        written.note(f"{name} sessions lost", each.resets)
        written.note(f"{name} share of the wire's bytes that are bodies", each.bodies / each.wire)
        written.note(f"{name} requests a second here", each.requests / each.seconds)
    if given.plot:
        plot(found, PLOT)
    return written


if __name__ == "__main__":
    raise SystemExit(main())
