"""A cable between two ptys, in a process of its own: at a baud rate or as fast as it goes, clean or noisy.

    with Relay(folder) as relay:
        relay.ours, relay.theirs        # paths; whoever opens them is connected
        relay.unplug("theirs")          # the device goes, as when a USB plug is pulled
        relay.plug("theirs")            # another one comes in its place

`python -m tests.serial.relay OURS THEIRS [--baud N] [--rate P] [--seed N]` is that process; on standard input it takes
the two orders, and on its end it writes what went over the cable, as JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pty
import random
import select
import subprocess
import sys
import time
import tty
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LONGEST_HOLD = 0.02
"""seconds for which noise holds bytes up"""
KINDS = ("flipped", "lost", "invented", "held")
"""what noise does to a byte, each as often"""
_AT_ONCE = 4096
_RETRY = 0.001
"""seconds until an end that had no room is tried again"""
_SLICE = 32
"""bytes that a throttled cable delivers at once: 3 ms at 115,200 baud"""

End = str
"""ours or theirs"""


class Noise:
    """Errors at a rate per byte."""

    def __init__(self, rate: float, seed: int) -> None:
        self._rate = rate
        self._draw = random.Random(seed)
        self._clean = self._gap()
        self.errors = dict.fromkeys(KINDS, 0)
        self.hold = 0.0
        """seconds for which what comes now is held up"""

    def __call__(self, data: bytes) -> bytes:
        if self._clean >= len(data):
            self._clean -= len(data)
            return data
        draw, out, place = self._draw, bytearray(), 0
        while place + self._clean < len(data):
            out += data[place : place + self._clean]
            place += self._clean
            byte = data[place]
            place += 1
            self._clean = self._gap()
            kind = KINDS[draw.randrange(len(KINDS))]
            self.errors[kind] += 1
            if kind == "flipped":
                out.append(byte ^ 1 << draw.randrange(8))
            elif kind == "invented":
                out += bytes((draw.randrange(256), byte))
            elif kind == "held":
                out.append(byte)
                self.hold += draw.random() * LONGEST_HOLD
        self._clean -= len(data) - place
        return bytes(out + data[place:])

    def _gap(self) -> int:
        """Bytes until the next error."""
        if not self._rate:
            return 1 << 62
        return int(math.log(1.0 - self._draw.random()) / math.log1p(-self._rate))


class _Way:
    """One direction."""

    def __init__(self, baud: int | None, noise: Noise) -> None:
        self._byte = 0.0 if baud is None else 10 / baud
        self.noise = noise
        self.carried = 0
        self._free = 0.0
        self._under_way: deque[tuple[float, bytes]] = deque()
        self.pending = b""
        """that has arrived and that the other end has no room for"""

    @property
    def due(self) -> float | None:
        return self._under_way[0][0] if self._under_way else None

    def room(self) -> int:
        """Bytes to read now; 0 while the cable is busy."""
        if self.pending:
            return 0
        return 0 if len(self._under_way) > _AT_ONCE // _SLICE else _AT_ONCE

    def put(self, data: bytes, now: float) -> None:
        self.carried += len(data)
        out = self.noise(data)
        self._free = max(self._free, now) + self.noise.hold
        self.noise.hold = 0.0
        step = _SLICE if self._byte else _AT_ONCE
        for place in range(0, len(out), step):
            piece = out[place : place + step]
            self._free += len(piece) * self._byte
            self._under_way.append((self._free, piece))

    def take(self, now: float) -> bytes:
        arrived = b""
        while self._under_way and self._under_way[0][0] <= now:
            arrived += self._under_way.popleft()[1]
        return arrived


class _Cable:
    def __init__(self, paths: dict[End, Path], baud: int | None, rate: float, seed: int) -> None:
        self._paths = paths
        self._masters: dict[End, int] = {}
        self._ways: dict[End, _Way] = {
            "ours": _Way(baud, Noise(rate, seed)),
            "theirs": _Way(baud, Noise(rate, seed + 1)),
        }
        """by the end that the bytes come from"""
        for end in paths:
            self._plug(end)

    def run(self) -> dict[str, Any]:
        """Until standard input ends."""
        orders = sys.stdin.fileno()
        os.set_blocking(orders, False)
        print("ready", flush=True)
        ended = False
        while not ended:
            now = time.monotonic()
            reading = {
                self._masters[end]: end for end, way in self._ways.items() if end in self._masters and way.room()
            }
            dues = [way.due for way in self._ways.values() if way.due is not None]
            if any(way.pending for way in self._ways.values()):
                dues.append(now + _RETRY)
            wait = max(0.0, min(dues) - now) if dues else None
            readable, _, _ = select.select([*reading, orders], [], [], wait)
            for descriptor in readable:
                if descriptor == orders:
                    ended = self._orders()
                elif descriptor in self._masters.values():
                    self._read(reading[descriptor], descriptor)
            self._deliver()
        return {end: {"bytes": way.carried, **way.noise.errors} for end, way in self._ways.items()}

    def _read(self, end: End, master: int) -> None:
        try:
            data = os.read(master, self._ways[end].room())
        except BlockingIOError:
            return
        except OSError:
            # nobody has the other side open: a pty says so over and over
            time.sleep(0.002)
            return
        self._ways[end].put(data, time.monotonic())

    def _deliver(self) -> None:
        now = time.monotonic()
        for end, other in (("ours", "theirs"), ("theirs", "ours")):
            way, master = self._ways[end], self._masters.get(other)
            data = way.pending + way.take(now)
            if data and master is not None:
                with suppress(BlockingIOError):
                    data = data[os.write(master, data) :]
                way.pending = data

    def _orders(self) -> bool:
        """What standard input says; whether it has ended."""
        text = sys.stdin.buffer.read()
        if text == b"":
            return True
        for line in (text or b"").decode().splitlines():
            order, end = line.split()
            if order == "unplug":
                os.close(self._masters.pop(end))
                self._paths[end].unlink()
            else:
                self._plug(end)
            print("done", flush=True)
        return False

    def _plug(self, end: End) -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        path = self._paths[end]
        with suppress(FileNotFoundError):
            path.unlink()
        path.symlink_to(os.ttyname(slave))
        os.close(slave)
        # it may be reported readable because nobody has the other side open, and then be opened
        os.set_blocking(master, False)
        self._masters[end] = master


class Relay:
    """The process, for tests."""

    def __init__(self, folder: Path, baud: int | None = None, rate: float = 0.0, seed: int = 0) -> None:
        self.ours, self.theirs = folder / "ours", folder / "theirs"
        self._command = [sys.executable, "-m", "tests.serial.relay", str(self.ours), str(self.theirs)]
        self._command += ["--rate", str(rate), "--seed", str(seed), *(["--baud", str(baud)] if baud else [])]
        self.carried: dict[str, Any] = {}
        """what went over it, once it has ended"""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._answered("ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self.carried = json.loads(self._process.stdout.read())
        self._process.stdout.close()
        self._process.wait()

    def unplug(self, end: End) -> None:
        self._order(f"unplug {end}")

    def plug(self, end: End) -> None:
        self._order(f"plug {end}")

    def _order(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()
        self._answered("done")

    def _answered(self, word: str) -> None:
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said == word, f"the cable said {said!r}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Connect two ptys.")
    parser.add_argument("ours", type=Path)
    parser.add_argument("theirs", type=Path)
    parser.add_argument("--baud", type=int)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    cable = _Cable({"ours": given.ours, "theirs": given.theirs}, given.baud, given.rate, given.seed)
    print(json.dumps(cable.run()), flush=True)


if __name__ == "__main__":
    main()
