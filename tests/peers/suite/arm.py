"""Exact instruction counts of the peers that have a runtime for ARM, on the cores that `tests.arm.count` emulates."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.arm.count import stretch
from tests.arm.emulation import EmulationError, Userland
from tests.arm.inference import EMPTY
from tests.peers.suite.roster import Peer

MODULE = "tests.peers.suite.emulated"
LENGTHS = (16, 32, 128)
CORES = ("cortex-a53", "cortex-a72", "cortex-a76")


def measure(
    peers: Sequence[Peer],
    build: Path,
    userland: Userland,
    cores: Sequence[str],
    lengths: Sequence[int],
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """Give `keep` a row for each peer, core and length, or one that says why the peer does not run on the core."""
    for peer in peers:
        if not peer.emulated:
            continue
        file = (build / peer.network / peer.file).resolve()
        for core in cores:
            about = {"peer": peer.name, "core": core}
            arguments = [peer.runtime, str(file), *map(str, lengths)]
            try:
                _, marks = userland.count(core, MODULE, arguments, runtime=peer.emulated)
            except EmulationError as error:
                keep({**about, "failed": str(error).strip().splitlines()[-1][:200]})
                continue
            empty = stretch(marks, EMPTY)
            for length in lengths:
                keep({**about, "tokens": length, "instructions": stretch(marks, length) - empty})
            print(f"{peer.name} on {core}: done", file=sys.stderr, flush=True)
