"""Arithmetic that is the same everywhere, and that it is near enough to the truth."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from converter import exact


@given(
    arrays.arrays(np.float32, (3, 37), elements=st.floats(-1e6, 1e6, width=32)),
    arrays.arrays(np.float32, (5, 37), elements=st.floats(-1e3, 1e3, width=32)),
    st.randoms(use_true_random=False),
)
def test_product_does_not_depend_on_the_order(a: np.ndarray, b: np.ndarray, random: Random) -> None:
    """Whatever order the terms are added up in, a product has the same bits."""
    order = np.random.default_rng(random.getrandbits(32)).permutation(37)
    x, w = exact.rows(a), exact.rows(b)
    product = exact.product_of_rows(x, w)
    assert (product == exact.product_of_rows(x[:, order], w[:, order])).all()
    one_by_one = np.zeros((3, 5))
    for k in order:
        one_by_one += x[:, k, None] * w[:, k]
    assert (product == one_by_one).all()
    # in float64: the product of two small float32 may be 0
    size = np.abs(a).max(axis=1, keepdims=True).astype(np.float64) * np.abs(b).max(axis=1) * 37
    assert (np.abs(product - a.astype(np.float64) @ b.astype(np.float64).T) <= size * 2.0**-20).all()


@given(arrays.arrays(np.float64, (200,), elements=st.floats(-1e12, 1e12)))
def test_total_does_not_depend_on_the_order(x: np.ndarray) -> None:
    """A sum forwards is a sum backwards, and near the true one."""
    forwards, backwards = exact.total(x)[0], exact.total(x[::-1])[0]
    assert forwards == backwards
    assert forwards == pytest.approx(math.fsum(x), abs=np.abs(x).max() * 1e-10)


@given(st.floats(-80, 80))
def test_functions_are_near_the_true_ones(x: float) -> None:
    """Exponential, logarithm, tanh and GELU against the library's, far better than int8 needs."""
    one = np.array([x])
    assert exact.exponential(one)[0] == pytest.approx(math.exp(x), rel=1e-13)
    assert exact.tanh(one)[0] == pytest.approx(math.tanh(x), abs=1e-14)
    assert exact.gelu(one, approximate=False)[0] == pytest.approx(0.5 * x * (1 + math.erf(x / math.sqrt(2))), abs=1e-6)
    positive = abs(x) + 1e-6
    assert exact.logarithm(np.array([positive]))[0] == pytest.approx(math.log(positive), abs=1e-13)


@given(st.integers(-200, 200))
def test_powers_of_eighths(step: int) -> None:
    """2^(step / 8), also below 1."""
    assert exact.power_of_eighths(np.array([step]))[0] == pytest.approx(2.0 ** (step / 8), rel=1e-15)


def test_zeros_and_nothing() -> None:
    """Rows of zeros, and rows of no entries, are sums like others."""
    assert (exact.product(np.zeros((2, 3)), np.ones((4, 3))) == 0).all()
    assert (exact.product(np.ones((2, 0)), np.ones((4, 0))) == 0).all()
    assert exact.exponential(np.array([-1e9]))[0] < 1e-300
