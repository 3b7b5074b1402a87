"""The command: `python -m tests.peers.suite CHECKPOINT MODEL.tflite`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

from tests.arm import userland
from tests.arm.emulation import Userland
from tests.peers.suite import arm, files, fit, latency, load, mixed, report, roster, size, tables
from tests.peers.suite.results import NAME, Results
from tests.peers.suite.roster import Peer
from tests.peers.suite.turns import Worker, WorkerError

ARCHITECTURE = userland.ARCHITECTURES["arm64"]
ORDER = ("same", "latency", "mixed", "load", "size", "arm", "fit")


class Suite:
    """One call: each part measures and keeps its rows."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.build: Path = arguments.build.resolve()
        self.results = Results(self.build / NAME)
        self.peers = roster.select(arguments.peer)
        self.model = self.build / roster.SQUEEZEBERT / files.OURS

    def prepare(self) -> None:
        """Make files, try each peer once, and leave out those that fail, with the reason in the results."""
        networks = {peer.network for peer in self.peers}
        files.prepare(self.arguments.checkpoint, self.arguments.model, self.build, networks)
        failed = files.make(self.peers, self.build)
        for peer in self.peers:
            if peer.name not in failed:
                try:
                    Worker(peer, self.build, 1, self.build / "cache").close()
                except (WorkerError, OSError, subprocess.CalledProcessError) as error:
                    failed[peer.name] = str(error)
        self.results.add("absent", [{"peer": name, "reason": reason} for name, reason in failed.items()])
        self.peers = [peer for peer in self.peers if peer.name not in failed]

    def same(self) -> None:
        self.results.add("same", latency.same(self.peers, self.model, self.build))

    def latency(self) -> None:
        lengths = self.arguments.length or latency.LENGTHS
        threads = self.arguments.threads or latency.THREADS
        for number in threads:
            rounds = self.arguments.rounds or latency.ROUNDS
            rows = latency.measure(self.peers, self.model, self.build, lengths, [number], rounds, self.arguments.settle)
            self.results.add("latency", rows)

    def mixed(self) -> None:
        threads = self.arguments.threads or latency.THREADS
        rounds = self.arguments.rounds or mixed.ROUNDS
        for number in threads:
            self.results.add("mixed", mixed.measure(self.peers, self.model, self.build, [number], rounds))

    def load(self) -> None:
        rounds = self.arguments.rounds or load.PROCESSES
        self.results.add("start", load.start(rounds))
        self.results.add("load", load.measure(self.peers, self.build, rounds))

    def size(self) -> None:
        self.results.add("size", size.measure(self.peers, self.build))

    def arm(self) -> None:
        lengths = self.arguments.length or arm.LENGTHS
        cores = self.arguments.core or arm.CORES
        self._userland(self.peers)
        emulated = Userland(self.arguments.userland)
        arm.measure(self.peers, self.build, emulated, cores, lengths, lambda row: self.results.add("arm", [row]))

    def fit(self) -> None:
        self.results.add("fit", fit.measure(self.model))

    def _userland(self, peers: list[Peer]) -> None:
        """Make it where it is missing, with what the peers need beyond the board's packages."""
        root = self.arguments.userland
        if not (root / "run").exists():
            userland.make(ARCHITECTURE, root)
        for runtime in {peer.emulated for peer in peers} - {"", *ARCHITECTURE.runtimes}:
            userland.add_runtime(ARCHITECTURE, root, runtime)


PARTS: dict[str, Callable[[Suite], None]] = {name: getattr(Suite, name) for name in ORDER}


def main() -> int:
    parser = argparse.ArgumentParser(description="measure SqueezeBERT-base in integers beside its peers")
    parser.add_argument("checkpoint", type=Path, help="folder that tests.peers.checkpoint made")
    parser.add_argument("model", type=Path, help="what was converted from it")
    parser.add_argument("--part", action="append", choices=ORDER, help="only this one; default: all, in this order")
    parser.add_argument("--peer", action="append", default=[], help="only ours and this one; `--peer list` lists them")
    parser.add_argument("--length", type=int, action="append", help=f"tokens; default: {latency.LENGTHS}")
    parser.add_argument("--threads", type=int, action="append", help=f"default: {latency.THREADS}")
    parser.add_argument("--rounds", type=int, help="turns of each peer")
    parser.add_argument(
        "--settle",
        type=float,
        default=latency.SETTLE,
        help="seconds of a turn that are not counted; 0: its first run is",
    )
    parser.add_argument("--core", action="append", help=f"to emulate; default: {', '.join(arm.CORES)}")
    parser.add_argument("--build", type=Path, default=Path("build/peers"), help="folder for all that is made")
    parser.add_argument("--userland", type=Path, default=Path(os.environ.get("EDGE_ARM", "build/arm"), "arm64"))
    parser.add_argument("--document", action="store_true", help="put the results into docs/performance.md")
    parser.add_argument("--json", action="store_true", help="print the results as JSON in place of tables")
    arguments = parser.parse_args()
    if arguments.peer == ["list"]:
        print("\n".join(peer.name for peer in roster.PEERS))
        return 0
    # one thread: the machine has other work while files are made
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    arguments.build.mkdir(parents=True, exist_ok=True)
    try:
        suite = Suite(arguments)
    except ValueError as error:
        parser.error(str(error))
    suite.prepare()
    parts = arguments.part or ORDER
    for part in parts:
        PARTS[part](suite)
    if arguments.document:
        report.publish(suite.results)
    content = suite.results.content
    print(json.dumps(content, indent=1) if arguments.json else tables.text(content, parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
