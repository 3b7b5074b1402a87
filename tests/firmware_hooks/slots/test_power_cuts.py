"""A power cut at any moment, and a disk that is full at any moment, leave a working model."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_hooks.errors import Refused
from tests.firmware_hooks.power_cuts import scenarios
from tests.firmware_hooks.power_cuts.cuts import Cutter, Tally
from tests.firmware_hooks.power_cuts.scenarios import SCENARIOS
from tests.firmware_hooks.power_cuts.writer import REFUSED
from tests.firmware_hooks.slots.releases import Releases

pytestmark = pytest.mark.flash

CUTS = 60
"""enough to see a gross mistake; the command makes a thousand"""


@pytest.fixture(scope="module")
def cutter(tmp_path_factory: pytest.TempPathFactory, releases: Releases) -> Iterator[Cutter]:
    with Cutter(tmp_path_factory.mktemp("cuts"), releases, seed=7) as found:
        yield found


def test_power_cuts(cutter: Cutter) -> None:
    """However the power went, the board starts with a working, verified model, and the next push goes through."""
    tally = Tally()
    cutter.run(CUTS, tally)
    assert tally.wrong == []
    assert tally.cuts >= CUTS


def test_carelessness_is_noticed(tmp_path: Path, releases: Releases) -> None:
    """A writer that syncs nothing is caught: the test above could fail."""
    tally = Tally()
    with Cutter(tmp_path, releases, seed=1, careless="fsync") as careless:
        careless.run(150, tally)
    assert tally.wrong


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_no_call_that_fails_does_harm(cutter: Cutter, releases: Releases, error: int) -> None:
    """A disk that is full, or broken, from any call of a push on: refused, and what ran before is what starts."""
    name = "push onto two models"
    versions = []
    for at in range(1, cutter.length(name) + 1):
        status = cutter.fail(name, at, error)
        assert status in (0, REFUSED), f"at call {at} the push ended with status {status}"
        slots = scenarios.slots(cutter.work, releases)
        version = slots.start().version
        assert version in SCENARIOS[name].versions, f"after call {at}"
        versions.append(version)
    # before the record of the switch is written nothing has changed, and after it nothing that takes room is left but
    # the link, which the next start mends
    assert versions == sorted(versions)
    assert versions[0] == 2


def test_a_full_disk(tmp_path: Path, releases: Releases) -> None:
    """On a file system that is really full a push is refused with a reason, and the running model is untouched."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    try:
        slots = scenarios.slots(disk, releases)
        scenarios.one(slots, releases)
        before = slots.current.read_bytes()
        filler = disk / "filler"
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        filler.write_bytes(bytes(free - 50_000))
        with pytest.raises(Refused, match="make room and push again"):
            scenarios.push(2)(slots, releases)
        assert not list((slots.folder / "incoming").iterdir())
        content = releases.models[2].read_bytes()
        filler.write_bytes(b"")

        def source(offset: int) -> Iterator[bytes]:
            # somebody else fills the disk while the model arrives
            yield content[offset : offset + 20_000]
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            filler.write_bytes(bytes(free))
            yield content[offset + 20_000 :]

        with pytest.raises(Refused, match="No space left on device"):
            slots.install(releases.statement(2), source)
        assert not list((slots.folder / "incoming").iterdir())
        assert slots.start().version == 1
        assert slots.current.read_bytes() == before
        filler.unlink()
        scenarios.push(2)(slots, releases)
        assert slots.start().version == 2
    finally:
        subprocess.run(["umount", disk], check=True)
