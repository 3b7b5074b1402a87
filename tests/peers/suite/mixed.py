"""Throughput of short requests of mixed lengths, as apps send them, in every way that a peer can take them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.peers.suite import texts
from tests.peers.suite.roster import OURS, Peer
from tests.peers.suite.turns import Request, compare, workers

ROUNDS = 8
EXACT, PADDED = "exact", "padded"
"""one by one"""
EXACT_TOGETHER, PADDED_TOGETHER = "exact, together", "padded, together"


def ways(peer: Peer, model: Path) -> Iterator[tuple[str, list[Request]]]:
    """How a peer can be given the requests.

    Padding is given without the attention mask that it needs for a right answer: the mask could only cost more.
    """
    requests = texts.mixed(model)
    yield EXACT, [[ids] for ids in requests]
    if peer.name.startswith("ours"):
        return
    filled = [texts.pad(ids) for ids in requests]
    yield PADDED, [[ids] for ids in filled]
    if peer.together > 1:
        groups = range(0, len(requests), peer.together)
        yield PADDED_TOGETHER, [filled[begin : begin + peer.together] for begin in groups]
        if peer.packs:
            yield EXACT_TOGETHER, [requests[begin : begin + peer.together] for begin in groups]


def measure(
    peers: Sequence[Peer], model: Path, build: Path, threads: Sequence[int], rounds: int
) -> list[dict[str, Any]]:
    """A row for each peer, way and number of threads: requests a second, and ours as a multiple of it."""
    rows = []
    for number in threads:
        with workers(peers, build, number) as seats:
            times: dict[tuple[str, str], list[float]] = {}
            given = {peer: list(ways(peer, model)) for peer in seats}
            for done in range(rounds):
                for peer, worker in seats.items():
                    for way, requests in given[peer]:
                        times.setdefault((peer.name, way), []).append(worker.take(requests))
                print(f"{number} threads, round {done + 1} of {rounds}: done", file=sys.stderr, flush=True)
        for (name, way), taken in times.items():
            ms, ratio = compare({OURS: times[OURS, EXACT], name: taken})[name]
            rows.append(
                {
                    "peer": name,
                    "way": way,
                    "threads": number,
                    "per_second": round(texts.REQUESTS / ms * 1000, 1),
                    # of throughputs: theirs by time over ours
                    "ratio": round(1 / ratio.middle, 3),
                    "ratio_10": round(1 / ratio.high, 3),
                    "ratio_90": round(1 / ratio.low, 3),
                    "rounds": rounds,
                }
            )
    return rows
