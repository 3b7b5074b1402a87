"""Arithmetic that gives the same bits on every machine: what a conversion decides, it decides by this.

IEEE 754 fixes +, −, ×, ÷, √ and rounding of single numbers, but neither the order in which a matrix product adds up nor
what a library's exp returns: OpenBLAS takes another kernel for every CPU, NumPy and libm other polynomials. So:

- Products and sums round their operands to so few bits that every partial sum is exact in float64. Then no order, no
  blocking and no fused multiply-add can change the result (the error-free slicing of Ozaki et al., 2012, with one
  slice). A product of 384 terms keeps 22 bits of each row's largest value, two less than float32 itself has.
- Functions are polynomials written out in NumPy's +, −, × and ÷, each of which is an operation of its own and so never
  contracted to a fused multiply-add.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.network import Array

Double = NDArray[np.float64]

MANTISSA = 53
"""bits of a float64"""
LOG2_E = 1.4426950408889634
LN_2_HIGH, LN_2_LOW = 0.6931471803691238, 1.9082149292705877e-10
"""ln 2 in two parts, the first with so few bits that its product with a whole number is exact (fdlibm, e_exp.c)"""
LN_2 = 0.6931471805599453
INVERSE_FACTORIALS = tuple(1 / f for f in (1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800, 479001600))
ERF_T, ERF = 0.3275911, (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
"""Abramowitz and Stegun, 7.1.26: off by at most 1.5e−7, a float32's rounding"""
SQUARE_ROOT_OF_HALF = 0.7071067811865476
EIGHTHS = (
    *(1.0, 1.0905077326652577, 1.189207115002721, 1.2968395546510096),
    *(1.4142135623730951, 1.5422108254079407, 1.681792830507429, 1.8340080864093424),
)
"""2^(i/8)"""


def rows(x: NDArray[Any], terms: int | None = None) -> Double:
    """`x` [..., k] with each row rounded to the bits that make a product of `terms` (default: k) terms exact."""
    bits = (MANTISSA - int(x.shape[-1] if terms is None else terms).bit_length()) // 2
    return _rounded(x, -1, bits)


def product_of_rows(a: Double, b: Double) -> Double:
    """a [..., m, k] · b [..., n, k]ᵀ → [..., m, n], exactly, of what `rows` gave."""
    result: Double = a @ b.swapaxes(-1, -2)
    return result


def product(a: NDArray[Any], b: NDArray[Any]) -> Double:
    """a [..., m, k] · b [..., n, k]ᵀ → [..., m, n]."""
    return product_of_rows(rows(a), rows(b))


def matrix_by_vector(a: Array, x: Array) -> Array:
    """a [m, k] · x [k] → [m]."""
    if type(a) is not np.ndarray:  # converter.train.traced: PyTorch's to compute
        traced: Array = a @ x
        return traced
    return product(a, x[None])[:, 0].astype(np.float32)


def total(x: NDArray[Any], axis: int = -1) -> Double:
    """The sum over `axis`, which stays as 1."""
    result: Double = _rounded(x, axis, MANTISSA - 1 - x.shape[axis].bit_length()).sum(axis=axis, keepdims=True)
    return result


def mean(x: NDArray[Any], axis: int = -1) -> Double:
    result: Double = total(x, axis) / x.shape[axis]
    return result


def centred(x: Array, axis: int = -1) -> Array:
    """`x` with the mean over `axis` taken off."""
    if type(x) is not np.ndarray:
        traced: Array = x.centred(axis)  # type: ignore[attr-defined]
        return traced
    result: Array = (x - mean(x, axis)).astype(np.float32)
    return result


def _rounded(x: NDArray[Any], axis: int, bits: int) -> Double:
    """To multiples of 2^−bits of the power of two above the largest along `axis`."""
    result: Double = x.astype(np.float64)
    _, exponent = np.frexp(np.abs(result).max(axis=axis, keepdims=True, initial=0.0))
    # what is so large has no bit below the unit: adding it rounds, and taking it off again is exact
    large = np.ldexp(1.5, exponent + (MANTISSA - 1 - bits))
    result += large
    result -= large
    return result


def exponential(x: NDArray[Any]) -> Double:
    """eˣ, within 1e−14 of itself."""
    x = np.clip(x.astype(np.float64), -700.0, 700.0)
    whole = np.rint(x * LOG2_E)
    rest = (x - whole * LN_2_HIGH) - whole * LN_2_LOW
    result: Double = np.ldexp(_polynomial(rest, INVERSE_FACTORIALS), whole.astype(np.int32))
    return result


def logarithm(x: NDArray[Any]) -> Double:
    """ln x of x > 0, within 1e−14."""
    mantissa, exponent = np.frexp(x.astype(np.float64))
    low = mantissa < SQUARE_ROOT_OF_HALF
    mantissa, exponent = np.where(low, 2 * mantissa, mantissa), exponent - low
    s = (mantissa - 1) / (mantissa + 1)
    series = _polynomial(s * s, tuple(2 / (2 * i + 1) for i in range(11)))
    result: Double = exponent * LN_2 + s * series
    return result


def tanh(x: NDArray[Any]) -> Double:
    power = exponential(-2 * np.abs(x))
    result: Double = np.copysign((1 - power) / (1 + power), x)
    return result


def gelu(x: NDArray[Any], *, approximate: bool) -> Double:
    """x · Φ(x), or its form with tanh."""
    x = x.astype(np.float64)
    if approximate:
        return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + _erf(x * SQUARE_ROOT_OF_HALF))


def power_of_eighths(steps: NDArray[np.int64]) -> Double:
    """2^(steps / 8)."""
    result: Double = np.ldexp(np.array(EIGHTHS)[steps % 8], (steps // 8).astype(np.int32))
    return result


def _erf(x: Double) -> Double:
    size = np.abs(x)
    t = 1 / (1 + ERF_T * size)
    result: Double = np.copysign(1 - t * _polynomial(t, ERF) * exponential(-size * size), x)
    return result


def _polynomial(x: Double, coefficients: tuple[float, ...]) -> Double:
    """Σ coefficients[i] · xⁱ."""
    result = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result *= x
        result += coefficient
    return result
