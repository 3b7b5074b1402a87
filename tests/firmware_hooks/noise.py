"""`python -m tests.firmware_hooks.noise`: the C client asks the reference server thousands of times on a noisy wire.

The wire and its clock are simulated, so minutes of traffic take seconds. Every reply is compared.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from typing import Any

from tests.firmware_hooks import c_client
from tests.firmware_hooks.c_client import LOST, REPLY, TIMEOUT, Client
from tests.serial.channel import Channel
from tests.serial.reference_server import Server

LONGEST = 200
"""bytes of a text"""
PATIENCE = 60_000
"""milliseconds"""


def run(library: Any, rate: float, requests: int, baud: int, frame: int) -> dict[str, float]:
    """Ask, and compare: how many were answered, wrongly, computed more than once; bytes and milliseconds for each."""
    server = Server(lambda body: ([], b"\x82" + body[::-1]), 10 / baud)
    client = Client(library, frame=frame, byte_us=round(1e7 / baud), patience=PATIENCE)
    channel = Channel(client, server, baud, rate)
    draw = random.Random(1)
    answered = wrong = 0
    for _ in range(requests):
        text = draw.randbytes(draw.randrange(1, LONGEST))
        client.ask(text)
        if channel.run((REPLY, TIMEOUT, LOST)) == REPLY:
            answered += 1
            body = b"\x02\x01" + len(text).to_bytes(2, "little") + text
            wrong += client.message != b"\x82" + body[::-1]
    damaged = client.counters["crc"] + client.counters["cobs"] + server.counters["damaged"]
    client.close()
    return {
        "answered": answered,
        "wrong": wrong,
        "computed": len(server.executed),
        "damaged": damaged,
        "ms": channel.ticks / requests,
        "bytes": (channel.up + channel.down) / requests,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[0, 1e-5, 1e-4, 1e-3, 1e-2], help="errors per byte")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--baud", type=int, default=115_200)
    parser.add_argument("--frame", type=int, default=256, help="largest frame that the client takes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = c_client.build(Path(folder))
        print("errors per byte  requests  answered  wrong  computed  damaged frames  ms each  bytes each")
        for rate in options.rates:
            found = run(library, rate, options.requests, options.baud, options.frame)
            print(
                f"{rate:15.0e} {options.requests:9} {found['answered']:9} {found['wrong']:6} {found['computed']:9}"
                f" {found['damaged']:15} {found['ms']:8.1f} {found['bytes']:11.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
