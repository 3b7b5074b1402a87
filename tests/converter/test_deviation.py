"""The integer index into the table of inverse deviations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.deviation import Index

INT32 = 2**31 - 1


@given(least=st.floats(1e3, 1e5), spread=st.floats(1, 1e4), place=st.floats(0, 1))
def test_table_holds_the_sum_that_leads_to_it(least: float, spread: float, place: float) -> None:
    """Whatever the calibrated spread, the table's entry is within 2 % of the sum of squares that was looked up."""
    index = Index.spanning(least, least * spread)
    table = index.table()
    sums = np.array([least * spread**place], np.int64)
    assert abs(table[index(sums)[0]] / sums[0] - 1) <= 0.02


@pytest.mark.parametrize(("least", "most"), [(1.0, 1.0), (50.0, 1e9), (1e5, 3e5), (0.0, 1e12)])
def test_every_sum_has_an_entry(least: float, most: float) -> None:
    """From 0 to the largest int32, no sum leads beyond the table, and larger sums never to smaller entries."""
    index = Index.spanning(least, most)
    table = index.table()
    sums = np.unique(np.geomspace(1, INT32, 5000).astype(np.int64))
    found = index(np.concatenate([[0], sums]))
    assert found.min() >= 0
    assert found.max() < len(table)
    assert (np.diff(found) >= 0).all()
    assert (np.diff(table) >= 0).all()
    assert (index.caps <= INT32).all()


def test_table_is_small() -> None:
    """A variance that spans a factor of 300 costs less than 3 KB a table."""
    assert len(Index.spanning(1e4, 3e6).table()) < 3000
