"""Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999): content without 0x00, which then delimits frames."""

from __future__ import annotations

LONGEST_RUN = 254
"""bytes without a zero that one code byte can stand before"""


class CobsError(ValueError):
    """A code byte points beyond the end."""


def encode(content: bytes) -> bytes:
    """`content` of n bytes as at most n + ⌈n / 254⌉ bytes, none of them 0."""
    coded = bytearray()
    pieces = content.split(b"\0")
    for place, piece in enumerate(pieces):
        begun = 0
        while len(piece) - begun >= LONGEST_RUN:
            coded.append(0xFF)
            coded += piece[begun : begun + LONGEST_RUN]
            begun += LONGEST_RUN
        if begun < len(piece) or not begun or place < len(pieces) - 1:
            coded.append(len(piece) - begun + 1)
            coded += piece[begun:]
    return bytes(coded)


def decode(coded: bytes) -> bytes:
    """The content again; with or without a last empty piece.

    Raises:
        CobsError: a code byte points beyond the end, or is 0.
    """
    content = bytearray()
    place, size = 0, len(coded)
    while place < size:
        code = coded[place]
        end = place + code
        if not code or end > size:
            raise CobsError
        content += coded[place + 1 : end]
        place = end
        if code <= LONGEST_RUN and place < size:
            content.append(0)
    return bytes(content)
