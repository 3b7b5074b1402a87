"""Loading: how long until a model answers, cold and warm, what it then takes, and what of it is in the page cache."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boards.probe import Probe, Way
from boards.profiling.memory import cached, forget
from boards.statistics import percentile

WARM_STARTS = 3
"""of which the median counts"""


@dataclass(frozen=True, slots=True)
class Loading:
    """What it is to start with this model."""

    cold: tuple[dict[str, Any], ...]
    """stages without weight cache or stamps, with the model's file out of the page cache as far as the kernel dropped
    it; see `Probe.stages`"""
    warm: tuple[dict[str, Any], ...]
    """stages as later starts have them, median times"""
    cold_cached: float | None
    """share of the file that was in the page cache all the same; None where that cannot be told"""
    page_cache: tuple[dict[str, Any], ...]
    """files, with their bytes and those in the page cache while the model is loaded"""

    def to_json(self) -> dict[str, Any]:
        return {
            "cold": list(self.cold),
            "warm": list(self.warm),
            "cold_cached": self.cold_cached,
            "page_cache": list(self.page_cache),
        }


def measure(path: Path, way: Way, lengths: tuple[int, ...]) -> Loading:
    """Start processes that load a model and answer a text; the weight cache is one of our own.

    Args:
        path: of the model file.
        way: how it is run.
        lengths: tokens whose memory is looked at too.

    Raises:
        BoardError: the model cannot be loaded.
    """
    with tempfile.TemporaryDirectory() as cache:
        with suppress(OSError):
            forget(path)
        share = _share(path)
        cold = _start(path, way, cache, ())
        starts = [_start(path, way, cache, lengths) for _ in range(WARM_STARTS)]
        files = [path, *sorted(Path(cache).glob("weights-*"))]
        in_cache = [entry for file in files if (entry := _entry(file)) is not None]
    warm = [dict(stage) for stage in starts[-1]]
    for index, stage in enumerate(warm):
        stage["ms"] = percentile([start[index]["ms"] for start in starts], 50)
    return Loading(tuple(cold), tuple(warm), share, tuple(in_cache))


def _start(path: Path, way: Way, cache: str, lengths: tuple[int, ...]) -> list[dict[str, Any]]:
    with Probe(str(path), way, cache) as probe:
        probe.answer()
        for length in lengths:
            probe.runs(length, 1)
        return probe.stages()


def _share(path: Path) -> float | None:
    with suppress(OSError):
        present, size = cached(path)
        return present / size if size else None
    return None


def _entry(path: Path) -> dict[str, Any] | None:
    with suppress(OSError):
        present, size = cached(path)
        kind = "packed weights" if path.name.startswith("weights-") else "model file"
        return {"file": kind, "bytes": size, "cached_bytes": present}
    return None
