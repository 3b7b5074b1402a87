"""Cuts the power of an emulated board while a model is pushed to it, and looks what it starts with.

    python -m tests.arm.board.power_cuts [--cuts 30] [--seed 1] [--folder build/arm/power-cuts]

The model comes over ssh, as a release does; the card (`tests.arm.board.nbd`) loses any part of what was not flushed.
Half of the cuts come at a random moment of a push, half at a random one of its writes to the card. After each the board
must start by itself, verify a signed model of a version that may run, and answer; a push that had been reported done
must be there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.arm.board.emulator import PATIENCE, Board, BoardError, Card
from tests.arm.board.nbd import Cache, Server

NAME = "assistant"
ASKED, INTENT = "turn off the kitchen lights", "iot_hue_lightoff"
BEYOND = 1.1
"""of a push's time: some cuts come after its end"""


@dataclass
class Release:
    """A model with its version, signed with the key that the board trusts."""

    version: int
    file: Path


class Bench:
    """The board, its card, and what is needed to push to it."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Build the image, where there is none yet, and write it to a card."""
        self.folder, self.chance = folder, random.Random(seed)
        image = folder / "edge.img"
        if not image.exists():
            self._make_image(image)
        self.card = Card.written(image, folder / "card.img")
        self.cache = Cache(self.card.file)
        socket = folder / "nbd.sock"
        socket.unlink(missing_ok=True)
        self.server = Server(self.cache, socket)
        self.seconds, self.writes = 0.0, 0
        """of a push"""

    def _make_image(self, image: Path) -> None:
        folder = self.folder
        self._make_keys()
        command = ["image", "-o", image, "--key", folder / "release", "--trust", folder / "release.pub"]
        command += ["--ssh-key", folder / "id.pub", "--root-console", "--cache", folder / "packages"]
        _flash(*command)

    def board(self) -> Board:
        """The board, with the card in it."""
        return Board(self.card, core="cortex-a72", disk=f"nbd:unix:{self.folder / 'nbd.sock'}")

    def release(self, version: int) -> Release:
        """A model unlike that of the version before."""
        import edge_runtime.models

        file = self.folder / f"{version}.tflite"
        bundled = Path(str(edge_runtime.models.__path__[0])) / f"{NAME}.tflite"
        shutil.copyfile(bundled, file)
        # a card of its own makes another file of it, and leaves what it answers
        card = self.folder / "card.md"
        card.write_text(f"## Release\n\nThis is version {version}.\n")
        subprocess.run(["edge-converter", "card", file, "--add", card], check=True, capture_output=True)
        command = ["model", "sign", file, "--key", self.folder / "release", "--version", version]
        _flash(*command, "-o", f"{file}.sig")
        return Release(version, file)

    def push(self, board: Board, release: Release) -> subprocess.Popen[str]:
        """Begin to push a release over ssh."""
        return self._over_ssh(board, "push", release.file)

    def confirm(self, board: Board) -> None:
        """Let the active model be good, so that another is taken."""
        with self._over_ssh(board, "confirm") as process:
            said = process.communicate(timeout=PATIENCE)[0]
        if process.returncode:
            raise BoardError(f"the model could not be confirmed: {said}")

    def _over_ssh(self, board: Board, *order: object) -> subprocess.Popen[str]:
        options = f"-i {self.folder / 'id'} -o IdentitiesOnly=yes -o BatchMode=yes -o LogLevel=ERROR"
        options += " -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=60"
        return subprocess.Popen(
            [
                "edge-flash",
                "model",
                *map(str, order),
                "--to",
                f"ssh://edge-runtime@127.0.0.1:{board.ssh_port}",
                "--json",
            ],
            env={**os.environ, "EDGE_FLASH_SSH": f"ssh {options}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _make_keys(self) -> None:
        _flash("key", "new", self.folder / "release")
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "id")]
        subprocess.run(command, check=True)


def started(board: Board) -> dict[str, Any]:
    """What the board runs once it has started; raises BoardError where it does not serve a verified model."""
    board.wait_for_shell()
    board.shell("systemctl is-system-running --wait || true")
    board.shell("systemctl is-active edge-runtime.service")
    answer = json.loads(board.shell(f"edge-runtime call --json '{ASKED}'"))["result"]
    if answer["intent"] != INTENT:
        raise BoardError(f"the board answers {answer}")
    (model,) = json.loads(board.shell("edge-flash model status --json"))["models"]
    slot: dict[str, Any] = model["slots"][model["active"]]
    if slot["wrong"] or not slot["key"]:
        raise BoardError(f"the board runs what it should not: {model}")
    return slot


def cut_once(bench: Bench, board: Board, release: Release, by_writes: bool) -> tuple[bool, str]:
    """Push, and cut; whether the push had been reported done, and when the power went."""
    chance = bench.chance
    moment = chance.random() * BEYOND
    process = bench.push(board, release)
    if by_writes:
        count = max(1, round(moment * bench.writes))
        when = f"at write {count} of about {bench.writes}"
        bench.cache.at(bench.cache.writes + count, board.kill)
        # it ends with the power, or by itself where the last writes do not come
        process.wait(PATIENCE)
        threading.Event().wait(chance.random())
    else:
        seconds = moment * bench.seconds
        when = f"after {seconds:.1f} of about {bench.seconds:.1f} s"
        threading.Event().wait(seconds)
    board.cut()
    bench.server.wait_idle()
    found = bench.cache.cut(chance)
    output = process.communicate(timeout=PATIENCE)[0]
    if "refused" in output:
        raise BoardError(f"the push was refused: {output}")
    done = process.returncode == 0
    return done, f"{when}, {found.lost} of {found.pending} sectors lost{', the push was done' if done else ''}"


def measure(bench: Bench, board: Board, release: Release) -> None:
    """Push without a cut, to know how long it takes and how often it writes."""
    begun, before = time.monotonic(), bench.cache.writes
    with bench.push(board, release) as process:
        said = process.communicate(timeout=PATIENCE)[0]
    if process.returncode:
        raise BoardError(f"the first push failed: {said}\n{board.tail()}")
    bench.seconds, bench.writes = time.monotonic() - begun, bench.cache.writes - before
    print(f"a push: {bench.seconds:.1f} s here, {bench.writes} writes of the board's", flush=True)


def run(cuts: int, seed: int, folder: Path) -> None:
    """Cut so often.

    Raises:
        BoardError: the board did not start with a working, verified model of a version that may run.
    """
    bench = Bench(folder, seed)
    possible, told = {1}, "the first start"
    for number in range(cuts + 1):
        with bench.board() as board:
            slot = started(board)
            if slot["version"] not in possible:
                raise BoardError(f"{told}: version {slot['version']} runs, and only {possible} may")
            print(f"{told}: version {slot['version']} runs, {slot['state']}", flush=True)
            if number == cuts:
                board.power_off()
                break
            if number == 0:
                measure(bench, board, bench.release(2))
                slot = started(board)
            if slot["state"] == "trial":
                bench.confirm(board)
            running = slot["version"]
            release = bench.release(running + 1)
            done, when = cut_once(bench, board, release, by_writes=number % 2 == 1)
        possible = {release.version} if done else {running, release.version}
        told = f"cut {number + 1} {when}"
    print(f"{cuts} cuts, and each start ended with a working, verified model", flush=True)


def _flash(*arguments: object) -> None:
    subprocess.run(["edge-flash", *map(str, arguments)], check=True, stdout=sys.stderr)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="that is kept, with the card as the last cut left it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        folder = arguments.folder or Path(fresh)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            run(arguments.cuts, arguments.seed, folder.resolve())
        except BoardError as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
