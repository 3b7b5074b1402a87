"""The duty cycle that a temperature leads to."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.profiles import board
from boards.system import System
from firmware_hooks.care.governor import Governor, hottest, limit
from firmware_hooks.care.settings import Thermal
from tests.firmware_hooks.care.board import Tree

SETTINGS = Thermal()


@given(st.lists(st.floats(20, 100), min_size=1, max_size=60))
def test_never_too_fast_for_the_temperature(readings: list[float]) -> None:
    """Whatever came before: cool means full speed, near the limit the least, and in between no faster than allowed."""
    governor = Governor(SETTINGS, 80)
    for now, degrees in enumerate(readings):
        before, duty = governor.duty, governor.read(degrees, now)
        assert SETTINGS.least_duty <= duty <= 1
        if degrees <= 72 - SETTINGS.hysteresis:
            assert duty == 1
        if degrees > 72:
            assert duty < 1
        if degrees >= 79:
            assert duty == SETTINGS.least_duty
        fresh = Governor(SETTINGS, 80).read(degrees, now)
        assert duty <= fresh
        if duty > before:
            # it may be faster only because it is cooler by the hysteresis than this pace asks for
            assert duty == Governor(SETTINGS, 80).read(degrees + SETTINGS.hysteresis, now)


def test_a_temperature_that_trembles_moves_nothing() -> None:
    """Readings that go to and fro by less than the hysteresis leave the duty cycle where the hottest one put it."""
    governor = Governor(SETTINGS, 80)
    duties = [governor.read(76 + (2.5 if now % 2 else 0), now) for now in range(20)]
    assert len(set(duties[1:])) == 1
    assert governor.read(60, 20) == 1


def test_a_lost_sensor() -> None:
    """After ten seconds without a reading it is slowed down, not made faster, and what was so before counts again."""
    governor = Governor(SETTINGS, 80)
    assert governor.read(None, 100) == 1  # there never was one
    governor.read(50, 101)
    assert (governor.read(None, 111), governor.blind(111)) == (1, False)
    assert (governor.read(None, 112), governor.blind(112)) == (0.5, True)
    assert (governor.read(50, 113), governor.blind(113)) == (1, False)
    governor.read(79, 114)
    assert governor.read(None, 200) == SETTINGS.least_duty


def test_which_zone_and_which_limit(tmp_path: Path) -> None:
    """The profile's zones and limit count; without one, the processor's and the kernel's lowest passive trip."""
    tree, pi = Tree(tmp_path), board("raspberry-pi-4").thermal
    system = System(tmp_path)
    tree.degrees(61.5)
    other = tmp_path / "sys/class/thermal/thermal_zone1"
    other.mkdir()
    (other / "type").write_text("battery\n")
    (other / "temp").write_text("95000\n")
    assert hottest(system, pi) == hottest(system, None) == 61.5
    assert limit(system, pi, SETTINGS) == 80
    assert limit(system, None, SETTINGS) is None
    tree.trip(0, "critical", 110)
    tree.trip(1, "passive", 85)
    tree.trip(2, "passive", 75)
    assert limit(system, None, SETTINGS) == 75
    assert limit(system, pi, Thermal(limit=66.0)) == 66
    assert limit(system, board("raspberry-pi-3b-plus").thermal, SETTINGS) == 80
    tree.degrees(-274)
    assert hottest(system, pi) is None


@pytest.mark.parametrize("margin", [2.0, 8.0, 50.0])
def test_every_margin_that_is_taken(margin: float) -> None:
    """Slowing begins below the limit, and the least is reached before it, for every margin."""
    settings = Thermal(margin=margin)
    assert Governor(settings, 80).read(80 - margin, 0) == 1
    assert Governor(settings, 80).read(79, 0) == settings.least_duty
