"""A message: its body and a CRC-32 that also covers where it belongs."""

from __future__ import annotations

import struct
from binascii import crc32
from dataclasses import dataclass

REQUEST, REPLY, EVENT = 0, 1, 2
"""classes of messages, as their CRC-32 covers them"""
CRC = 4
"""bytes of the CRC-32 at the end of a message"""
_PLACE = struct.Struct("<IBBI")


@dataclass(frozen=True, slots=True)
class Message:
    """On its way out."""

    number: int
    event: bool
    data: bytes
    """body and CRC-32"""

    @property
    def crc(self) -> int:
        return int.from_bytes(self.data[-CRC:], "little")


def seal(session: int, kind: int, number: int, bound: int, body: bytes) -> bytes:
    """A body with its CRC-32. `bound`: in a reply the CRC-32 of its request, otherwise 0."""
    return body + crc32(body, crc32(_PLACE.pack(session, kind, number, bound))).to_bytes(CRC, "little")


def is_right(session: int, kind: int, number: int, bound: int, data: bytes | bytearray) -> bool:
    """Whether a message is whole and belongs here."""
    if len(data) < CRC:
        return False
    body = memoryview(data)[:-CRC]
    return crc32(body, crc32(_PLACE.pack(session, kind, number, bound))) == int.from_bytes(data[-CRC:], "little")
