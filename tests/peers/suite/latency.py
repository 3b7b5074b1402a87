"""Time of a run by length and number of threads, and that all peers of a network compute the same."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.peers.suite import roster, texts
from tests.peers.suite.roster import Peer
from tests.peers.suite.turns import Worker, compare, workers

LENGTHS = (8, 16, 32, 64, 128, 256, 512)
THREADS = (1, 2)
ROUNDS = 30
FEWEST = 5
SETTLE, COUNT = 0.05, 0.05
"""seconds of a turn"""
FEWER_FROM = 64
"""tokens from which on there are fewer rounds, as a run takes longer"""
SAME = (16, 128)
"""tokens at which vectors are compared"""


def rounds_at(length: int, rounds: int) -> int:
    return max(min(FEWEST, rounds), rounds * FEWER_FROM // max(length, FEWER_FROM))


def measure(
    peers: Sequence[Peer],
    model: Path,
    build: Path,
    lengths: Sequence[int],
    threads: Sequence[int],
    rounds: int,
    settle: float = SETTLE,
) -> list[dict[str, Any]]:
    """A row for each peer, length and number of threads.

    In a turn come runs that are not counted, for `settle` seconds, and then those that are. So what is measured is
    steady use, with the weights as near to the processor as its caches keep them; with 0 it is one run, for which the
    weights have to come from wherever the other peers' have driven them.
    """
    count = COUNT if settle else 0.0
    rows = []
    for number in threads:
        with workers(peers, build, number) as seats:
            for length in lengths:
                request = [[texts.tokens(model, length)]]
                times: dict[str, list[float]] = {peer.name: [] for peer in seats}
                for _ in range(rounds_at(length, rounds)):
                    for peer, worker in seats.items():
                        times[peer.name].append(worker.take(request, settle, count))
                for name, (ms, ratio) in compare(times).items():
                    rows.append(
                        {
                            "peer": name,
                            "threads": number,
                            "tokens": length,
                            "ms": ms,
                            "ratio": ratio.middle,
                            "ratio_10": ratio.low,
                            "ratio_90": ratio.high,
                            "rounds": len(times[name]),
                        }
                    )
                print(f"{number} threads, {length} tokens: done", file=sys.stderr, flush=True)
    return rows


def same(peers: Sequence[Peer], model: Path, build: Path) -> list[dict[str, Any]]:
    """A row for each peer: the lowest cosine to its network in PyTorch's float32."""
    requests = [[texts.tokens(model, length)] for length in SAME]
    wanted = {roster.REFERENCE[peer.network] for peer in peers}
    needed = [peer for peer in roster.PEERS if peer.name in wanted]
    found = {}
    for peer in dict.fromkeys((*needed, *peers)):
        worker = Worker(peer, build, 1, build / "cache")
        found[peer.name] = [np.ravel(vector) for vector in worker.vectors(requests)]
        worker.close()
    return [
        {
            "peer": peer.name,
            "cosine": min(map(cosine, found[peer.name], found[roster.REFERENCE[peer.network]])),
        }
        for peer in peers
    ]


def cosine(one: Any, other: Any) -> float:
    return round(float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other))), 5)
