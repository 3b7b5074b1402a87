"""`python -m tests.serial.efficiency`: what the link costs beside the bytes of the messages and the time of the wire.

A real server and a client, with a cable between two ptys that carries 115,200 baud.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from edge_runtime.serial_link import compact_requests, fields
from edge_runtime.serial_link.frames import DATA_AROUND, size
from edge_runtime.serial_link.messages import CRC
from tests.serial.microcontroller import Microcontroller
from tests.serial.relay import Relay
from tests.serve.report import Report, machine, parser
from tests.serve.server import Server

BAUD = 115_200
COMMAND = "please turn off all the lights in the kitchen now"
DOCUMENT = 24_000
"""bytes of each of the feeds that are weighed"""
LEAST_SHARE = 0.9
MOST_ADDED = 5.0
"""milliseconds beyond wire and inference"""


def share(report: Report, feeds: int = 4) -> None:
    """Of the bytes on the wire, those of messages, with frames of 256 bytes."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        folder = Path(name)
        options = "baud=3000000&pause=5"
        text = (COMMAND + ". ").encode() * (DOCUMENT // len(COMMAND))
        relay = Relay(folder)
        message_bytes = 0
        with (
            relay,
            Server(folder, "--serial", f"{relay.ours}?{options}"),
            Microcontroller(relay.theirs, options) as one,
        ):
            opening = compact_requests.write({"op": "open", "stream": 1, "task": "tag", "events": False})
            message_bytes += len(opening) + len(one.ask(opening)) + 2 * CRC
            feed = bytes((fields.CODES["feed"],)) + fields.number(fields.STREAM, 1, 1)
            feed += fields.write(fields.DATA, text[:DOCUMENT])
            for _ in range(feeds):
                message_bytes += len(feed) + len(one.ask(feed)) + 2 * CRC
        carried = sum(way["bytes"] for way in relay.carried.values())
    report.at_least("share of the wire's bytes that are message bytes, both ways", message_bytes / carried, LEAST_SHARE)


def round_trip(report: Report, requests: int = 200) -> None:
    """Of a command of ten words, and what of it is neither wire nor inference."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        folder = Path(name)
        options = f"baud={BAUD}&pause=5"
        relay = Relay(folder, baud=BAUD)
        trips, wires, computed, added = [], [], [], []
        with (
            relay,
            Server(folder, "--serial", f"{relay.ours}?{options}"),
            Microcontroller(relay.theirs, options) as one,
        ):
            body = compact_requests.write({"op": "understand", "text": COMMAND}, compact_requests.TIMES)
            one.ask(body)
            for _ in range(requests):
                begun = time.monotonic()
                reply = one.ask(body)
                trips.append((time.monotonic() - begun) * 1e3)
                wire = sum(size(len(each) + CRC + DATA_AROUND) for each in (body, reply)) * 10 / BAUD * 1e3
                took = next(int.from_bytes(value, "little") for tag, value in fields.read(reply) if tag == fields.TOOK)
                wires.append(wire)
                computed.append(took / 1e3)
                added.append(trips[-1] - wire - took / 1e3)
                # until the acknowledgement of the reply is over the cable
                one.run(lambda: False, 0.01)
    report.note("round trip of a 10-word command at 115,200 baud, ms, median", statistics.median(trips))
    report.note("of it: wire, ms", statistics.median(wires))
    report.note("of it: queue, tokenising and network, ms, median", statistics.median(computed))
    report.at_most("of it: everything else, ms, median", statistics.median(added), MOST_ADDED)
    report.note("of it: everything else, ms, 95 %", statistics.quantiles(added, n=20)[-1])


def main() -> int:
    given = parser("What the serial link costs.", model=False).parse_args()
    report = Report(f"serial link, frames of 256 bytes ({machine()})")
    share(report)
    round_trip(report)
    return report.print(given.json)


if __name__ == "__main__":
    raise SystemExit(main())
