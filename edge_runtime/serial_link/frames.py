"""Frames of docs/serial.md: six kinds, with CRC-16, and HELLO and WELCOME with CRC-32 as well."""

from __future__ import annotations

import struct
from binascii import crc32, crc_hqx
from dataclasses import dataclass

from edge_runtime.serial_link import cobs

HELLO, WELCOME, RESET, DATA, STATE, CANCEL = 1, 2, 3, 4, 5, 6
_SERVER, _FLAG, _ASK, _EVENT, _GAP = 0x08, 0x10, 0x20, 0x40, 0x80
_ALLOWED = {HELLO: 0, WELCOME: 0, RESET: 0, DATA: _FLAG | _ASK | _EVENT, STATE: _FLAG | _ASK | _EVENT | _GAP, CANCEL: 0}
"""flags by type; any other is reserved"""

SMALLEST_FRAME, DEFAULT_FRAME, LARGEST_FRAME = 64, 256, 1024
"""bytes on the wire that every implementation takes; that most take; that any may take"""
SMALLEST_MESSAGE, LARGEST_MESSAGE = 64, (1 << 24) - 1
"""bytes, CRC-32 included; offsets have 24 bits"""
SMALLEST_WINDOW, LARGEST_WINDOW = 32, 0xFFFF
MOST_REQUESTS = 32
"""without a reply: as many as a server remembers"""

BYE, UNKNOWN, STOPPING, REPLACED, NO_VERSION = range(5)
"""reasons of a RESET"""

_TERMS = struct.Struct("<BIHHBHHB8s")
_DATA_HEAD = struct.Struct("<BBBHB")
_STATE = struct.Struct("<BBBHBH")
_CRC16, _CRC32 = 2, 4
_RESIDUE = 0x1D0F
"""what CRC-16/GENIBUS leaves over content and CRC, before its final XOR"""
DATA_AROUND = _DATA_HEAD.size + _CRC16
"""bytes of content around a fragment"""


class FrameError(ValueError):
    """What arrived between two delimiters is no frame for us; `error` is the counter's name."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, slots=True)
class Terms:
    """What one side offers in its HELLO or WELCOME; docs/serial.md has the units."""

    version: int
    nonce: int
    frame: int
    message: int
    window: int
    pause: int
    requests: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    terms: Terms


@dataclass(frozen=True, slots=True)
class Welcome:
    terms: Terms
    session: int


@dataclass(frozen=True, slots=True)
class Reset:
    epoch: int
    reason: int
    server: bool


@dataclass(frozen=True, slots=True)
class Data:
    epoch: int
    number: int
    offset: int
    piece: bytes
    server: bool
    last: bool = False
    ask: bool = False
    event: bool = False


@dataclass(frozen=True, slots=True)
class State:
    epoch: int
    number: int
    have: int
    credit: int
    server: bool
    done: bool = False
    ask: bool = False
    event: bool = False
    gap: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    epoch: int
    number: int


Frame = Hello | Welcome | Reset | Data | State | Cancel


def encode(frame: Frame) -> bytes:
    """As it goes over the wire, delimiters included."""
    content = _content(frame)
    return b"\0%b\0" % cobs.encode(content + (crc_hqx(content, 0xFFFF) ^ 0xFFFF).to_bytes(_CRC16, "big"))


def decode(coded: bytes, server: bool) -> Frame:
    """What lay between two delimiters, as a server or a client reads it.

    Raises:
        FrameError: it is damaged (`cobs`, `crc`), makes no sense (`header`) or is our own (`echo`).
    """
    try:
        content = cobs.decode(coded)
    except cobs.CobsError:
        raise FrameError("cobs") from None
    # what is too short for a CRC is damaged, too
    if len(content) <= _CRC16 or crc_hqx(content, 0xFFFF) != _RESIDUE:
        raise FrameError("crc")
    if len(content) < 2 + _CRC16:
        raise FrameError("header")
    kind = content[0]
    allowed = _ALLOWED.get(kind & 7)
    if allowed is None or kind & ~(7 | _SERVER | allowed):
        raise FrameError("header")
    if bool(kind & _SERVER) == server:
        raise FrameError("echo")
    frame = _parse(kind, content[:-_CRC16])
    if frame is None:
        raise FrameError("header")
    return frame


def size(content: int) -> int:
    """Bytes on the wire, at most, of a frame whose content has so many bytes, CRC included."""
    return content + -(-content // cobs.LONGEST_RUN) + 2


def largest_fragment(frame: int) -> int:
    """Bytes of a message that a DATA frame of at most `frame` bytes on the wire carries."""
    content = frame - 2
    while size(content) > frame:
        content -= 1
    return content - DATA_AROUND


def epoch(session: int) -> int:
    """A session's number as frames name it."""
    return session & 0xFF


def newer(one: int, other: int) -> bool:
    """Whether a number comes after another, modulo 256."""
    return 1 <= (one - other) & 0xFF <= 127


def _content(frame: Frame) -> bytes:
    match frame:
        case Hello(terms):
            return _checked(bytes((HELLO, 0)) + _terms(terms))
        case Welcome(terms, session):
            return _checked(bytes((WELCOME | _SERVER, 0)) + _terms(terms) + session.to_bytes(4, "little"))
        case Reset():
            return bytes((RESET | (_SERVER if frame.server else 0), frame.epoch, frame.reason))
        case Data():
            kind = DATA | _bits(frame) | (_FLAG if frame.last else 0)
            low, high = frame.offset & 0xFFFF, frame.offset >> 16
            return _DATA_HEAD.pack(kind, frame.epoch, frame.number, low, high) + frame.piece
        case State():
            kind = STATE | _bits(frame) | (_FLAG if frame.done else 0) | (_GAP if frame.gap else 0)
            low, high = frame.have & 0xFFFF, frame.have >> 16
            return _STATE.pack(kind, frame.epoch, frame.number, low, high, frame.credit)
        case Cancel():
            return bytes((CANCEL, frame.epoch, frame.number))


def _bits(frame: Data | State) -> int:
    return (_SERVER if frame.server else 0) | (_ASK if frame.ask else 0) | (_EVENT if frame.event else 0)


def _terms(terms: Terms) -> bytes:
    low, high = terms.message & 0xFFFF, terms.message >> 16
    return _TERMS.pack(
        terms.version,
        terms.nonce,
        terms.frame,
        low,
        high,
        terms.window,
        terms.pause,
        terms.requests,
        terms.digest,
    )


def _checked(content: bytes) -> bytes:
    return content + crc32(content).to_bytes(_CRC32, "little")


def _parse(kind: int, content: bytes) -> Frame | None:
    """None where it has the wrong length for its type, or HELLO's own CRC or values are wrong."""
    server = bool(kind & _SERVER)
    flag, ask, event = bool(kind & _FLAG), bool(kind & _ASK), bool(kind & _EVENT)
    match kind & 7:
        case 1:
            terms = _read_terms(content, 0)
            return None if terms is None or server else Hello(terms)
        case 2:
            terms = _read_terms(content, 4)
            if terms is None or not server:
                return None
            return Welcome(terms, int.from_bytes(content[-8:-4], "little"))
        case 3 if len(content) == 3:
            return Reset(content[1], content[2], server)
        case 4 if len(content) > _DATA_HEAD.size:
            _, which, number, low, high = _DATA_HEAD.unpack_from(content)
            return Data(which, number, low | high << 16, content[_DATA_HEAD.size :], server, flag, ask, event)
        case 5 if len(content) == _STATE.size:
            _, which, number, low, high, credit = _STATE.unpack(content)
            return State(which, number, low | high << 16, credit, server, flag, ask, event, bool(kind & _GAP))
        case 6 if len(content) == 3 and not server:
            return Cancel(content[1], content[2])
    return None


def _read_terms(content: bytes, more: int) -> Terms | None:
    if len(content) != 2 + _TERMS.size + more + _CRC32:
        return None
    if crc32(content[:-_CRC32]) != int.from_bytes(content[-_CRC32:], "little"):
        return None
    version, nonce, frame, low, high, window, pause, requests, digest = _TERMS.unpack_from(content, 2)
    message = low | high << 16
    if (
        not SMALLEST_FRAME <= frame <= LARGEST_FRAME
        or message < SMALLEST_MESSAGE
        or window < SMALLEST_WINDOW
        or not 1 <= requests <= MOST_REQUESTS
    ):
        return None
    return Terms(version, nonce, frame, message, window, pause, requests, digest)
