"""Ed25519 signatures, verified in plain Python: a board has no package that does it.

By RFC 8032, sections 5.1.1 to 5.1.4 (the field, the curve, points and their encoding) and 5.1.7 (verification), in its
strict form: what leaves a choice to verifiers is refused, so that each signature has one encoding and everybody agrees
whether it is good.

- S must be below the order L of the base point (RFC 8032, 8.4: else a second S would be as good).
- The public key's y must be below p, and its sign bit 0 where x is 0.
- A public key of small order is refused: with one of those eight points anybody can make "signatures" (Chalkias,
  Garillot, Nikolaenko, "Taming the many EdDSAs", 2020, section 3).
- R is not decoded: [S]B - [k]A is encoded and must be R byte for byte, which also settles that R is canonical. This is
  the equation without the cofactor, as in OpenSSL, NaCl and Go.

Nothing secret is computed with, so nothing here needs constant time. A few milliseconds on a workstation: both
multiplications share their 253 doublings (Straus, 1964), over signed windows (wNAF) of odd multiples.
"""

from __future__ import annotations

import hashlib
from functools import cache

KEY_SIZE = 32
SIGNATURE_SIZE = 64
"""bytes"""

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
"""order of the base point"""
_D = -121665 * pow(121666, -1, _P) % _P
_2D = 2 * _D % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
"""a square root of -1"""

_KEY_WINDOW = 5
"""bits: eight odd multiples of the key, which are made anew for each signature"""
_BASE_WINDOW = 8
"""bits: 64 odd multiples of the base point, made once"""

_Point = tuple[int, int, int, int]
"""extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, xy = T/Z (RFC 8032, 5.1.4)"""

_IDENTITY: _Point = (0, 1, 1, 0)


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) is one of `message` by the holder of the public `key` (32 bytes)."""
    if len(key) != KEY_SIZE or len(signature) != SIGNATURE_SIZE:
        return False
    point = _decode(key)
    scalar = int.from_bytes(signature[32:], "little")
    if point is None or scalar >= _L or _is_small(point):
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    challenge = int.from_bytes(digest, "little") % _L
    return _encode(_combine(scalar, challenge, _negated(point))) == signature[:32]


def is_usable_key(key: bytes) -> bool:
    """Whether 32 bytes encode a point that may be a public key: canonical, on the curve, not of small order."""
    if len(key) != KEY_SIZE:
        return False
    point = _decode(key)
    return point is not None and not _is_small(point)


def _decode(data: bytes) -> _Point | None:
    """RFC 8032, 5.1.3; None where the bytes are no canonical encoding of a point."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    # (u/v)^((p+3)/8) without an inversion: u v³ (u v⁷)^((p-5)/8)
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if v * x * x % _P == -u % _P:
        x = x * _ROOT % _P
    if v * x * x % _P != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _encode(point: _Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")


def _is_small(point: _Point) -> bool:
    """Whether the point's order divides 8."""
    for _ in range(3):
        point = _doubled(point)
    return point[0] == 0 and point[1] == point[2]


def _negated(point: _Point) -> _Point:
    x, y, z, t = point
    return -x % _P, y, z, -t % _P


def _added(one: _Point, other: _Point) -> _Point:
    """RFC 8032, 5.1.4; complete, so that it also doubles and adds the identity."""
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = t1 * _2D * t2 % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _doubled(point: _Point) -> _Point:
    x, y, z, _ = point
    a, b = x * x % _P, y * y % _P
    h = a + b
    e = h - (x + y) * (x + y) % _P
    g = a - b
    f = 2 * z * z + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _combine(scalar: int, challenge: int, point: _Point) -> _Point:
    """[scalar]B + [challenge]point."""
    base = _base_multiples()
    own = _odd_multiples(point, _KEY_WINDOW)
    of_base, of_point = _windows(scalar, _BASE_WINDOW), _windows(challenge, _KEY_WINDOW)
    total = _IDENTITY
    for place in range(max(max(of_base, default=0), max(of_point, default=0)), -1, -1):
        total = _doubled(total)
        for digit, multiples in ((of_base.get(place), base), (of_point.get(place), own)):
            if digit is not None:
                multiple = multiples[abs(digit) >> 1]
                total = _added(total, multiple if digit > 0 else _negated(multiple))
    return total


def _windows(scalar: int, width: int) -> dict[int, int]:
    """The scalar's non-adjacent form of a width: place → odd digit, below 2^(width-1) in size."""
    digits: dict[int, int] = {}
    place, whole = 0, 1 << width
    while scalar:
        zeros = (scalar & -scalar).bit_length() - 1
        scalar >>= zeros
        place += zeros
        digit = scalar & (whole - 1)
        if digit >= whole >> 1:
            digit -= whole
        digits[place] = digit
        scalar -= digit
    return digits


def _odd_multiples(point: _Point, width: int) -> list[_Point]:
    """1, 3, 5 … 2^(width-1) - 1 times the point."""
    twice = _doubled(point)
    multiples = [point]
    for _ in range((1 << (width - 2)) - 1):
        multiples.append(_added(multiples[-1], twice))
    return multiples


@cache
def _base_multiples() -> list[_Point]:
    y = 4 * pow(5, -1, _P) % _P
    point = _decode(y.to_bytes(32, "little"))
    assert point is not None
    return _odd_multiples(point, _BASE_WINDOW)
