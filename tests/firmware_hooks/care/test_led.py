"""The status LED, as its files in /sys show it."""

from __future__ import annotations

from pathlib import Path

from boards.system import System
from firmware_hooks.care.led import Led, find
from tests.firmware_hooks.care.board import Tree


def test_patterns(tmp_path: Path) -> None:
    """Ready is steady and needs no attention; degraded blinks twice and pauses; failed blinks fast."""
    tree = Tree(tmp_path)
    led = Led(tree.led)

    def lit(state: str, *moments: float) -> str:
        led.show(state, 100)
        shown = ""
        for moment in moments:
            led.tick(100 + moment)
            shown += (tree.led / "brightness").read_text().strip()
        return shown

    assert (tree.led / "trigger").read_text() == "none"
    assert lit("ready", 0, 5, 500) == "111"
    assert led.tick(1000) is None
    assert lit("degraded", 0, 0.2, 0.45, 0.6, 1.9, 2.05) == "101001"
    assert lit("failed", 0, 0.11, 0.21, 0.31) == "1010"
    assert lit("starting", 0, 0.6, 1.1) == "101"
    assert led.tick(101.1) == 101.5
    assert led.tick(50_000) is not None


def test_its_own_trigger_comes_back(tmp_path: Path) -> None:
    """At the end the LED has its trigger again, also if a process before was killed and could not give it back."""
    tree, remembered = Tree(tmp_path / "sys"), tmp_path / "remembered"
    Led(tree.led, remembered)  # killed
    assert (tree.led / "trigger").read_text() == "none"
    (tree.led / "trigger").write_text("[none] mmc0")
    led = Led(tree.led, remembered)
    led.close()
    assert (tree.led / "trigger").read_text() == "mmc0"
    assert not remembered.exists()


def test_no_such_led(tmp_path: Path) -> None:
    """An LED that is not there is not found."""
    Tree(tmp_path)
    assert find(System(tmp_path), "ACT") is not None
    assert find(System(tmp_path), "PWR") is None
