"""How long a request will take."""

from __future__ import annotations

import random

import pytest

from edge_runtime.server.cost import Cost


def test_line_is_found() -> None:
    """From requests of several lengths the fixed part and the part per character are told apart."""
    cost = Cost()
    source = random.Random(1)
    for _ in range(300):
        characters = source.randint(10, 400)
        cost.observe(characters, 0.002 + 0.00001 * characters)
    assert cost.estimate(0) == pytest.approx(0.002, rel=0.01)
    assert cost.estimate(1000) == pytest.approx(0.012, rel=0.01)


def test_change_is_noticed() -> None:
    """After a board has slowed down the estimate follows within some hundred requests."""
    cost = Cost()
    for seconds in (0.001, 0.003):
        for _ in range(300):
            cost.observe(40, seconds)
    assert cost.mean == pytest.approx(0.003, rel=0.02)


def test_never_negative() -> None:
    """Nonsensical observations give neither a negative estimate nor a longer text that costs less."""
    cost = Cost()
    for characters, seconds in ((10, 1.0), (1000, 0.001), (10, 1.0), (1000, 0.001)):
        cost.observe(characters, seconds)
    assert 0 <= cost.estimate(0) <= cost.estimate(10_000)
