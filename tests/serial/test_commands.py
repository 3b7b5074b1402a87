"""The measurements of the serial link, made small: that they run, and that no answer is wrong."""

from __future__ import annotations

import platform
from argparse import Namespace

import pytest

from tests.serial import efficiency, fuzz, noise
from tests.serve.report import Report


def values(report: Report) -> dict[str, float | int | str]:
    return {line.what: line.value for line in report.lines}


@pytest.mark.parametrize(("rate", "requests"), [(0.0, 100), (1e-3, 150), (1e-2, 40)])
def test_noise(rate: float, requests: int) -> None:
    """Over a cable that damages bytes, every request is answered and no answer is wrong."""
    given = Namespace(model="assistant", requests=requests, rates=[rate], seed=3, plot=False)
    found = values(noise.report(given))
    assert found[f"{rate:g}: wrong answers"] == found[f"{rate:g}: unanswered"] == 0
    assert rate == 0 or found[f"{rate:g}: errors made"]


def test_share() -> None:
    """Nine tenths of the bytes on the wire are the messages' own."""
    report = Report("")
    efficiency.share(report, feeds=1)
    assert report.met, report.to_text()


def test_round_trip() -> None:
    """The round trip of a command over a cable at 115,200 baud is measured, and takes at least as long as the wire."""
    report = Report("")
    efficiency.round_trip(report, requests=5)
    trip, wire = list(values(report).values())[:2]
    assert isinstance(trip, float) and isinstance(wire, float) and trip > wire > 5


if platform.machine() == "x86_64":
    # where atheris has wheels, and so where the extra `dev` asks for it

    def test_fuzz(capfd: pytest.CaptureFixture[str]) -> None:
        """A moment of fuzzing finds nothing."""
        assert fuzz.fuzz(5) == 0, capfd.readouterr().out
