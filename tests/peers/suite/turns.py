"""Peers taking turns, each in its own process, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.peers import environments
from tests.peers.suite.roster import HERE, OURS, Peer

WORKER = Path(__file__).with_name("worker.py")
REPOSITORY = Path(__file__).resolve().parents[3]
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # PyTorch's threads sleep when a run is over, and do not take the next peer's time
    "OMP_WAIT_POLICY": "passive",
}

Request = list[list[int]]
"""texts that are run together, as token ids"""


class WorkerError(Exception):
    """A peer's process ended, with the last that it said."""


class Worker:
    """A peer in a process of its own; `first` is what it said when its first run was over."""

    def __init__(self, peer: Peer, build: Path, threads: int, cache: Path) -> None:
        python = sys.executable if peer.environment == HERE else environments.python(build, peer.environment)
        file = build.resolve() / peer.network / peer.file
        paths = {"PYTHONPATH": str(REPOSITORY), "EDGE_RUNTIME_CACHE": str(cache)}
        self._name, self._threads = peer.name, threads
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [python, "-W", "ignore", str(WORKER), peer.runtime, str(file), str(threads)],
            env={**os.environ, **QUIET, **paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if not os.environ.get("PEERS_VERBOSE") else None,
            text=True,
        )
        self.first: dict[str, float] = self._read()
        self.first["clock_ms"] = (time.perf_counter() - began) * 1000

    def take(self, requests: Sequence[Request], settle: float = 0.0, count: float = 0.0) -> float:
        """Milliseconds of a pass over the requests: the mean of those counted, as `worker.take` says.

        With one thread they are those on the processor: where nothing else runs the clock's are the same, and elsewhere
        they leave out what other programs took.
        """
        clock = "cpu_ms" if self._threads == 1 else "ms"
        found: list[float] = self._ask(requests=requests, settle=settle, count=count)[clock]
        return sum(found) / len(found)

    def vectors(self, requests: Sequence[Request]) -> list[Any]:
        """Of each request, [texts, hidden]."""
        found = self._ask(requests=requests, vectors=True)["vectors"]
        return [np.array(each) for each in found]

    def close(self) -> None:
        with suppress(OSError):
            self._process.communicate()

    def _ask(self, **asked: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, said = self._process.communicate()
            last = (said or "").strip().splitlines()[-2:]
            if self._process.returncode < 0:
                last.append(f"ended by {signal.Signals(-self._process.returncode).name}")
            raise WorkerError(f"{self._name}: {' / '.join(last)}")
        return json.loads(line)


@contextmanager
def workers(peers: Sequence[Peer], build: Path, threads: int) -> Iterator[dict[Peer, Worker]]:
    """All of them, loaded. Only one runs at a time."""
    with ExitStack() as stack:
        found = {}
        for peer in peers:
            found[peer] = Worker(peer, build, threads, build / "cache")
            stack.callback(found[peer].close)
        yield found


@dataclass(frozen=True)
class Spread:
    """Of a number over the rounds: median, and 10th and 90th percentile."""

    middle: float
    low: float
    high: float


def spread(values: Sequence[float], digits: int = 4) -> Spread:
    low, middle, high = (round(float(value), digits) for value in np.quantile(values, (0.1, 0.5, 0.9)))
    return Spread(middle, low, high)


def compare(times: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, Spread]]:
    """By peer the median of its times, and of ours as a multiple of its time in the same round.

    Args:
        times: by peer, a time for each round; `OURS` among them.
    """
    ours = np.asarray(times[OURS])
    return {
        name: (round(float(np.median(theirs)), 3), spread(ours / np.asarray(theirs))) for name, theirs in times.items()
    }
