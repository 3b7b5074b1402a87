"""The card that loses what was not flushed, without a board: what must stay stays, what may be lost can be."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import pytest

from tests.arm.board.nbd import SECTOR, Cache

OLD, NEW, NEWEST = (bytes([value]) * SECTOR for value in (1, 2, 3))
SECTORS = 64


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "card"
    path.write_bytes(OLD * SECTORS)
    return path


def sectors(file: Path) -> list[bytes]:
    data = file.read_bytes()
    return [data[start : start + SECTOR] for start in range(0, len(data), SECTOR)]


def test_reads_see_the_newest(file: Path) -> None:
    """The board reads what it wrote last, flushed or not, at any offset."""
    with closing(Cache(file)) as cache:
        cache.write(SECTOR, NEW)
        cache.write(SECTOR, NEWEST)
        assert cache.read(0, 3 * SECTOR) == OLD + NEWEST + OLD
        assert cache.read(SECTOR - 1, 2) == OLD[:1] + NEWEST[:1]
    assert set(sectors(file)) == {OLD}


def test_flushed_is_kept(file: Path) -> None:
    """What was flushed before a cut is there after it, whatever the cut does."""
    for seed in range(20):
        with closing(Cache(file)) as cache:
            cache.write(0, NEW * SECTORS)
            cache.flush()
            assert cache.cut(random.Random(seed)).pending == 0
        assert set(sectors(file)) == {NEW}


def test_unflushed_is_lost_in_part(file: Path) -> None:
    """Over several cuts a sector is seen as it was, as it became, and as it was in between."""
    seen: set[bytes] = set()
    mixed = False
    for seed in range(40):
        file.write_bytes(OLD * SECTORS)
        with closing(Cache(file)) as cache:
            cache.write(0, NEW * SECTORS)
            cache.write(0, NEWEST * SECTORS)
            cut = cache.cut(random.Random(seed))
        found = sectors(file)
        assert (cut.pending, cut.lost) == (SECTORS, found.count(OLD))
        seen |= set(found)
        mixed |= len(set(found)) == 3
    assert seen == {OLD, NEW, NEWEST} and mixed


def test_alarm(file: Path) -> None:
    """Something can be done at a certain write, once."""
    rung: list[int] = []
    with closing(Cache(file)) as cache:
        cache.at(2, lambda: rung.append(cache.writes))
        for _ in range(4):
            cache.write(0, NEW)
    assert rung == [2]
