"""The compact form's fields: a tag, a length, a value; and the numbers that stand for names (docs/serial.md)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from edge_runtime.errors import InputError

OPERATIONS = {
    0x01: "ask",
    0x02: "understand",
    0x03: "classify",
    0x04: "tag",
    0x05: "answer",
    0x06: "embed",
    0x07: "fill",
    0x08: "choose",
    0x10: "open",
    0x11: "feed",
    0x12: "close",
    0x13: "drop",
    0x18: "info",
    0x19: "health",
    0x1A: "labels",
}
"""requests by their first byte; a reply's is 0x80 more"""
CODES = {name: code for code, name in OPERATIONS.items()}
REPLY, ERROR, EVENT = 0x80, 0xFF, 0x70

ERRORS = {
    "bad_request": 1,
    "too_long": 2,
    "unknown_model": 3,
    "no_such_head": 4,
    "overloaded": 5,
    "deadline": 6,
    "cancelled": 7,
    "forbidden": 8,
    "unavailable": 9,
    "internal": 10,
    "stale": 11,
}
OTHER_ERROR = 255
STATES = ("starting", "ready", "degraded", "stopping")

TEXT, PAIR, CHOICE, TOP_K, MODEL, DEADLINE, DATA, STREAM = range(0x01, 0x09)
WINDOW, OVERLAP, EVENTS, TASK, QUESTION, OPTIONS, TABLE, FIRST = range(0x09, 0x11)
LABEL, ENTITY, NAME, VECTOR, TOKEN, TOOK, WINDOWS, CHARACTERS = range(0x41, 0x49)
TRUNCATED, INDEX, START, END, TOKENS, CANCELLED, DIGEST, MAX_LENGTH = range(0x49, 0x51)
MAX_CHARACTERS, COUNT, VERSION, STATE, UPTIME, CODE, MESSAGE = range(0x51, 0x58)

LONGEST_VALUE = 0xFFFF
"""bytes; lengths have 16 bits"""
SCORE = 10_000
"""what a score of 1 is sent as"""
LABEL_VALUE = struct.Struct("<HH")
ENTITY_VALUE = struct.Struct("<HHII")
_HEAD = struct.Struct("<BH")
_LONGEST_NUMBER = 4


def write(tag: int, value: bytes) -> bytes:
    """A field. The value has at most `LONGEST_VALUE` bytes."""
    return _HEAD.pack(tag, len(value)) + value


def number(tag: int, value: int, width: int) -> bytes:
    """A field that holds a number of so many bytes; a larger one counts as the largest."""
    return write(tag, min(max(value, 0), (1 << 8 * width) - 1).to_bytes(width, "little"))


def score(value: float) -> int:
    """A probability in ten-thousandths, an exact half to the even one."""
    return min(max(round(value * SCORE), 0), 0xFFFF)


def read(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and values behind the first byte.

    Raises:
        InputError: a field ends beyond the message.
    """
    place = 1
    while place < len(body):
        if place + _HEAD.size > len(body):
            raise InputError(f"byte {place}: a field has three bytes at least")
        tag, length = _HEAD.unpack_from(body, place)
        place += _HEAD.size
        if place + length > len(body):
            raise InputError(f"field 0x{tag:02x} has {length} bytes and the message {len(body) - place} more")
        yield tag, body[place : place + length]
        place += length


def to_number(tag: int, value: bytes) -> int:
    """Raises InputError for more bytes than a number has, or none."""
    if not 1 <= len(value) <= _LONGEST_NUMBER:
        raise InputError(f"field 0x{tag:02x} is a number, which has 1 to {_LONGEST_NUMBER} bytes, not {len(value)}")
    return int.from_bytes(value, "little")


def to_text(tag: int, value: bytes) -> str:
    """Raises InputError for what is no UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start} of field 0x{tag:02x} is no UTF-8") from None
