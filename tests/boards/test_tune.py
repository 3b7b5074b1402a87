"""Tuning tries what is safe here, chooses what is simplest among the fastest, and writes what serving reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from boards.cpus import Cores
from boards.errors import BoardError
from boards.probe import Probe, Way, ranges
from boards.statistics import geometric_mean, percentile
from boards.tune import MARGIN, Measured, _hopeless, backends, candidates, choose
from edge_runtime import tuning
from edge_runtime.backends.selection import NAMES
from tests.backends import LAST

SAFE = ["litert-compiled", "litert"]
LITTLE = Cores("Cortex-A55", 0xD05, (0, 1, 2, 3), 1800, 400)
BIG = Cores("Cortex-A76", 0xD0B, (4, 5, 6, 7), 2400, 1024)


def measured(way: Way, milliseconds: float) -> Measured:
    return Measured(way, {16: [milliseconds] * 3, 64: [milliseconds] * 3})


def test_candidates_of_one_cluster() -> None:
    """Where all cores are alike, backends and threads are tried and nothing is pinned."""
    ways = list(candidates(SAFE, [Cores("Cortex-A72", 0xD08, (0, 1, 2, 3), 1500, None)], {0, 1, 2, 3}))
    assert len(ways) == 8
    assert {way.threads for way in ways} == {1, 2, 3, 4}
    assert all(way.cores is None for way in ways)


def test_candidates_of_two_clusters() -> None:
    """Where cores differ each kind is tried by itself as well, within what this process may use."""
    ways = list(candidates(SAFE, [LITTLE, BIG], set(range(8))))
    assert Way("litert", 4, (4, 5, 6, 7)) in ways
    assert Way("litert-compiled", 1, (0, 1, 2, 3)) in ways
    assert len(ways) == 2 * (4 + 4 + 4)
    assert {way.cores for way in candidates(SAFE, [LITTLE, BIG], {2, 4, 5})} == {None, (2,), (4, 5)}
    assert [way.threads for way in candidates(["litert"], [], {0})] == [1]


def test_only_what_is_safe() -> None:
    """A backend is tried or there is a reason why not; none is in both."""
    safe, passed = backends()
    assert sorted([*safe, *passed]) == sorted(NAMES)
    assert all(passed.values())


def test_the_simplest_of_the_fastest() -> None:
    """A way with more threads or pinned must be faster by more than the margin."""
    one, two = Way("litert-compiled", 1, None), Way("litert-compiled", 2, None)
    pinned, other = Way("litert-compiled", 1, (4, 5, 6, 7)), Way("litert", 1, None)
    assert choose([measured(two, 1.0), measured(one, 1.0 * (MARGIN - 0.01))], SAFE) == one
    assert choose([measured(two, 1.0), measured(one, 1.0 * (MARGIN + 0.01))], SAFE) == two
    assert choose([measured(pinned, 1.0), measured(one, 1.0)], SAFE) == one
    assert choose([measured(other, 1.0), measured(one, 1.0)], SAFE) == one


def test_more_threads_that_cannot_help() -> None:
    """Three threads are not tried where two were far slower than one."""
    one, two, three = (Way("litert", threads, None) for threads in (1, 2, 3))
    assert not _hopeless(three, [measured(one, 1.0), measured(two, 0.8)])
    assert _hopeless(three, [measured(one, 1.0), measured(two, 2.0)])
    assert not _hopeless(two, [measured(one, 1.0)])
    assert not _hopeless(one, [])


def test_statistics() -> None:
    """Percentiles and means are what NumPy says they are."""
    import numpy as np

    values = [3.0, 1.0, 10.0, 2.5]
    for share in (0, 5, 50, 95, 100):
        assert percentile(values, share) == pytest.approx(float(np.percentile(values, share)))
    assert geometric_mean(values) == pytest.approx(float(np.exp(np.mean(np.log(values)))))


def test_core_ranges() -> None:
    """Core numbers are written as `serve --cores` reads them."""
    assert (ranges([4, 5, 6, 7]), ranges([0]), ranges([0, 2, 3])) == ("4-7", "0", "0,2-3")


def test_a_probe() -> None:
    """A probe loads a model as told, times what it is asked, says what it took, and ends with the block."""
    core = min(os.sched_getaffinity(0))
    with Probe("assistant", Way(LAST, 1, (core,))) as probe:
        assert (probe.info["name"], probe.info["backend"]) == ("assistant", LAST)
        assert len(probe.runs(16, 3)) == 3
        assert len(probe.seconds(8, 0.0)) == 1
        probe.answer()
        stages = probe.stages()
        with pytest.raises(BoardError, match="tokens"):
            probe.runs(100_000, 1)
    names = [stage["stage"] for stage in stages]
    assert names == ["python", "libraries", "model loaded", "16 tokens", "8 tokens", "first answer"]
    assert [stage["ms"] for stage in stages] == sorted(stage["ms"] for stage in stages)
    assert stages[2]["private_dirty_kb"] > stages[0]["private_dirty_kb"]


def test_a_probe_that_cannot_load() -> None:
    """A model that is not there is one error, from the process that looked for it."""
    with pytest.raises(BoardError, match=rf"{LAST}, 1 thread: .*nothing"):
        Probe("nothing", Way(LAST, 1, None))


def test_tune_for_real(tmp_path: Path) -> None:
    """A short tuning on this machine chooses a way that it measured and writes what loading then takes."""
    place = tmp_path / "tuning.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "EDGE_RUNTIME_TUNING": str(place)}
    command = [sys.executable, "-m", "boards.cli", "tune", "--seconds", "1", "--json", "-o", str(place)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["chosen"] in [
        {key: each[key] for key in ("backend", "threads", "cores")} for each in report["measured"]
    ]
    assert report["written"] == str(place)
    assert all(each["lengths"]["16"]["runs"] >= 1 for each in report["measured"])
    told = tuning._understood(place, place.read_bytes())
    assert told == tuning.Tuning(report["chosen"]["backend"], report["chosen"]["threads"], None, place)
    doctor = [sys.executable, "-m", "edge_runtime.cli", "doctor"]
    assert f"({place})" in subprocess.run(doctor, env=environment, capture_output=True, text=True, check=False).stdout
