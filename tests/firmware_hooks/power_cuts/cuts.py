"""Cut after cut: stop the writer, work out what is left, start the board there, see what it runs."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edge_runtime.model import load
from edge_runtime.server.worker import canary
from firmware_hooks.slots import statement
from tests.firmware_hooks.power_cuts import calls, scenarios
from tests.firmware_hooks.power_cuts.disk import Disk
from tests.firmware_hooks.power_cuts.scenarios import SCENARIOS
from tests.firmware_hooks.slots.releases import NAME, Releases

AGAIN = 0.35
"""chance that the power goes once more while the board starts"""
PUSHES = 0.1
"""chance that after the start another model is pushed, which must go through"""


@dataclass
class Tally:
    """What was seen."""

    cuts: int = 0
    starts: int = 0
    pushes: int = 0
    running: dict[str, dict[int, int]] = field(default_factory=dict)
    """scenario → version → how often it was running afterwards"""
    wrong: list[str] = field(default_factory=list)


class Cutter:
    """A writer process, and a place to work (`with`)."""

    def __init__(self, folder: Path, releases: Releases, seed: int, careless: str = "") -> None:
        """Start the writer.

        Args:
            folder: an empty one; on a file system in memory the card is spared.
            releases: versions 1 to 4.
            seed: of all that is drawn.
            careless: what does nothing in the writer, to see that this is noticed: `fsync`, or a function of `storage`.
        """
        self._folder = folder
        self._releases = releases
        self._seed = seed
        self._careless = careless
        self._chance = random.Random(seed)
        self._before: dict[str, Path] = {}
        self._length: dict[str, int] = {}
        self._work = folder / "work"
        self._log = folder / "calls"
        secret = releases.key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        (releases.folder / "seed").write_bytes(secret)
        library = calls.build(folder)
        self._writer = subprocess.Popen(
            [sys.executable, "-m", "tests.firmware_hooks.power_cuts.writer", os.fspath(releases.folder), careless],
            env={**os.environ, "LD_PRELOAD": os.fspath(library)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        for name, scenario in SCENARIOS.items():
            self._before[name] = self._folder / f"before {len(self._before)}"
            self._before[name].mkdir()
            scenario.before(scenarios.slots(self._before[name], self._releases), self._releases)
            self._length[name] = self.uncut(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._writer.stdin is not None and self._writer.stdout is not None
        self._writer.stdin.close()
        self._writer.wait()
        self._writer.stdout.close()

    def uncut(self, name: str) -> int:
        """Make a change whole → how many calls it takes. The log must tell all that happened to the disk.

        Raises:
            AssertionError: it does not, or another version runs than should.
        """
        self._lay(self._before[name])
        disk = Disk(self._work)
        status = self._order(name, at=0)
        assert status == 0, f"{name}: {status}"
        made = list(calls.read(self._log))
        for call in made:
            disk.make(call)
        assert disk.seen.contents() == Disk(self._work).seen.contents(), f"{name}: the log lacks something"
        assert self._careless or not disk.unsafe, f"{name}: left unsynced at its end: {disk.unsafe}"
        assert self._running(f"{name}, uncut") == SCENARIOS[name].done
        return len(made)

    def fail(self, name: str, at: int, error: int) -> int:
        """Let a change fail at a call, without a power cut → the writer's exit status; the folder is in `work`."""
        self._lay(self._before[name])
        return self._order(name, at=at, error=error)

    @property
    def work(self) -> Path:
        return self._work

    def length(self, name: str) -> int:
        """Calls that a change takes."""
        return self._length[name]

    def run(self, cuts: int, tally: Tally) -> None:
        """Cut so often."""
        names = list(SCENARIOS)
        while tally.cuts < cuts:
            # in proportion to their calls: a push is longer than a confirmation
            name = self._chance.choices(names, [self._length[each] for each in names])[0]
            # the last one is after its end
            at = self._chance.randint(1, self._length[name] + 1)
            moment = f"seed {self._seed}, {name}, stopped at call {at} of {self._length[name]}"
            try:
                self._cut(name, at, moment, tally)
            except AssertionError as error:
                tally.wrong.append(f"{moment}: {error}")
            except Exception as error:  # whatever it was, the board would be without a model
                tally.wrong.append(f"{moment}: {type(error).__name__}: {error}")

    def _cut(self, name: str, at: int, moment: str, tally: Tally) -> None:
        self._lay(self._before[name])
        ended = self._stop(name, at)
        tally.cuts += 1
        while self._chance.random() < AGAIN and tally.cuts:
            # and while it starts after that; starts take some twelve calls
            self._stop("start", self._chance.randint(1, 14))
            tally.cuts += 1
        version = self._running(moment)
        tally.starts += 1
        seen = tally.running.setdefault(name, {})
        seen[version] = seen.get(version, 0) + 1
        assert version in SCENARIOS[name].versions, f"version {version} runs"
        assert not ended or version == SCENARIOS[name].done, f"it had ended, and version {version} runs"
        if self._chance.random() < PUSHES:
            self._push(version)
            tally.pushes += 1

    def _push(self, version: int) -> None:
        """Whatever the cuts left, the next release goes in."""
        slots = scenarios.slots(self._work, self._releases)
        slots.confirm()
        scenarios.push(4)(slots, self._releases)
        assert self._running("push") == 4, f"after version {version} a push did not go through"

    def _running(self, moment: str) -> int:
        """Start the board → the version that runs: signed by us, whole, and able to answer."""
        slots = scenarios.slots(self._work, self._releases)
        slots.start()
        said = statement.parse((slots.current.with_name("model.sig")).read_bytes())
        self._releases.key.public_key().verify(bytes.fromhex(said.signature or ""), said.signed)
        digest = hashlib.sha512(slots.current.read_bytes()).hexdigest()
        assert digest == said.sha512 and said.name == NAME, moment
        canary(load(slots.current, backend="litert", cache=False))
        return said.version

    def _stop(self, scenario: str, at: int) -> bool:
        """Let the power go at a call, and put what may be left of the folder in its place.

        Returns:
            Whether the change had come to its end before.
        """
        disk = Disk(self._work)
        status = self._order(scenario, at=at)
        assert status in (0, -signal.SIGKILL), f"{scenario} ended with status {status}"
        made = list(calls.read(self._log))
        for call in made:
            disk.make(call)
        assert status == 0 or len(made) == at - 1, f"{scenario} was stopped elsewhere than at call {at}: {len(made)}"
        shutil.rmtree(self._work)
        disk.crash(self._chance).write(self._work)
        return status == 0

    def _order(self, scenario: str, at: int, error: int = 0) -> int:
        order = {"scenario": scenario, "folder": str(self._work), "log": str(self._log), "at": at, "error": error}
        assert self._writer.stdin is not None and self._writer.stdout is not None
        self._writer.stdin.write(f"{json.dumps(order)}\n")
        self._writer.stdin.flush()
        return int(self._writer.stdout.readline())

    def _lay(self, before: Path) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(before, self._work, symlinks=True)
