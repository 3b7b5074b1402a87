"""A model on trial becomes good by what a server does with it, or is rolled back."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.client import Client
from firmware_hooks.errors import Refused
from firmware_hooks.flash.board import Board
from firmware_hooks.slots import serving
from firmware_hooks.slots.serving import Reading
from firmware_hooks.slots.slots import Slots
from firmware_hooks.slots.trial import Terms, Trial
from tests.firmware_hooks.slots.releases import NAME, Releases
from tests.serve.server import Server

READING = Reading(digest="new", answered=100, failed=7, ends=2, workers=1, started=1.0)
TERMS = Terms(requests=5, seconds=100, ends=2, failures=2, missing=10)


def judged(*readings: tuple[float, Reading | None]) -> tuple[str, str]:
    """What is made of readings at their times."""
    trial = Trial("new", TERMS)
    verdict = None
    for now, reading in readings:
        verdict = trial.judge(reading, now)
    assert verdict is not None
    return verdict.outcome, verdict.reason


def test_requests_make_it_good() -> None:
    """Only what was answered since the trial began counts, also over a new start of the server."""
    assert judged((0, READING), (1, replace(READING, answered=104)))[0] == "open"
    assert judged((0, READING), (1, replace(READING, answered=105)))[0] == "good"
    restarted = replace(READING, answered=2, ends=0, failed=0, started=2.0)
    assert judged((0, READING), (1, replace(READING, answered=103)), (2, restarted))[0] == "good"


def test_time_makes_it_good() -> None:
    """Served for long enough it is good, though nobody asked; while another model is served the clock stands still."""
    assert judged((0, READING), (99, READING))[0] == "open"
    assert judged((0, READING), (100, READING))[0] == "good"
    other = replace(READING, digest="old")
    assert judged((0, READING), (50, other), (60, READING), (110, READING))[0] == "open"
    assert judged((0, None), (200, None))[0] == "open"


def test_what_makes_it_bad() -> None:
    """Workers that end, requests that fail inside, no worker for a while: each is bad, whatever else was answered."""
    well = replace(READING, answered=1000)
    assert judged((0, READING), (1, replace(well, ends=4))) == ("bad", "2 of its workers ended")
    assert judged((0, READING), (1, replace(well, failed=9))) == ("bad", "the server failed at 2 requests")
    gone = replace(READING, workers=0)
    assert judged((0, READING), (5, gone), (9, gone))[0] == "open"
    assert judged((0, READING), (5, gone), (10, gone)) == ("bad", "no worker was ready for 10 s")


@pytest.fixture
def board(tmp_path: Path, releases: Releases) -> Iterator[tuple[Board, Server]]:
    """A board with version 1, good, and a server that serves it."""
    with tempfile.TemporaryDirectory(prefix="edge-") as folder:
        found = Board(tmp_path / "models", releases.keys, f"unix://{folder}/edge.sock")
        pushed = found.push(releases.statement(1), releases.source(1), allow_downgrade=False, switch=True)
        assert "no server was told" in pushed["note"]
        found.confirm(None)
        with Server(Path(folder), models=[found.slots(NAME).current]) as server:
            yield found, server


def served(board: Board) -> str | None:
    reading = serving.read(board.url, NAME)
    assert reading is not None
    return reading.digest


def test_a_running_server_takes_a_pushed_model(board: tuple[Board, Server], releases: Releases) -> None:
    """The server serves a pushed model without a new start, the watcher counts its answers, and then it is good."""
    here, server = board
    before = served(here)
    pushed = here.push(releases.statement(2), releases.source(2), allow_downgrade=False, switch=True)
    assert (pushed["changed"], pushed["note"], pushed["state"]) == (True, None, "trial")
    slots = here.slots(NAME)
    digest = slots.record().current.manifest
    assert served(here) == digest != before
    trial = here.trials(TERMS, {})[NAME]
    assert here.judge(slots, trial, 0)["outcome"] == "open"
    with Client(server.url) as client:
        for _ in range(5):
            client.understand("turn off the lights")
    assert here.trials(TERMS, {NAME: trial})[NAME] is trial
    assert here.judge(slots, trial, 1)["outcome"] == "good"
    assert slots.record().current.state == "good"
    assert here.trials(TERMS, {}) == {}
    # and back by hand: the server follows
    assert here.rollback(None)["note"] is None
    assert served(here) == before


def test_a_model_whose_workers_end_is_rolled_back(board: tuple[Board, Server], releases: Releases) -> None:
    """Workers of a model on trial that end bring the old model back, in the record and in the server."""
    here, server = board
    before = served(here)
    here.push(releases.statement(2), releases.source(2), allow_downgrade=False, switch=True)
    slots = here.slots(NAME)
    trial = here.trials(TERMS, {})[NAME]
    here.judge(slots, trial, 0)
    with Client(server.url, timeout=60) as client:
        for _ in range(2):
            server.kill_workers()
            # answered when another worker is there
            client.understand("turn off the lights", deadline_ms=60_000)
    judged = here.judge(slots, trial, 1)
    assert judged["outcome"] == "bad"
    assert judged["reason"].endswith("of its workers ended")
    assert slots.record().slots["b"].state == "bad"
    assert served(here) == before


def test_what_a_server_cannot_load_is_rolled_back(board: tuple[Board, Server], releases: Releases) -> None:
    """A model that passes every check here and that the server refuses all the same does not stay."""
    here, _ = board
    before = served(here)
    slots = here.slots(NAME)
    slots.install(releases.statement(2), releases.source(2), switch=False)
    # as where the server's user may not read what this one may
    path = slots.model("b")
    moved = path.with_suffix(".away")

    def vanishes(model: Path) -> None:
        model.rename(moved)

    Slots(slots.folder, slots._trust, vanishes).switch()
    with pytest.raises(Refused, match=r"could not load the model.*version 1 goes on running"):
        here._told(slots, True)
    assert slots.record().slots["b"].state == "bad"
    assert served(here) == before
