"""What is fuzzed of the serial link: conversations with a server's end, or a client's, made of any bytes.

An input's first byte says with whom, and whether the rest is bytes as they come, or is made into frames whose checksums
are right, because libFuzzer does not find those by chance. What is looked for: an exception, or memory that grows.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge_runtime.errors import EdgeError
from edge_runtime.protocol.requests import read_object
from edge_runtime.serial_link import compact_requests, frames, messages
from edge_runtime.serial_link.client_link import ClientLink
from edge_runtime.serial_link.counters import Counters
from edge_runtime.serial_link.frames import MOST_REQUESTS, Cancel, Data, Frame, Hello, Reset, State, Terms, Welcome
from edge_runtime.serial_link.link import Link
from edge_runtime.serial_link.server_link import ServerLink

DIGEST = bytes(8)
LARGEST = 4096
"""bytes of a message that either side takes here"""
MOST_HELD = 64 << 10
"""bytes that a link may hold; what its host answers is small"""


def terms(nonce: int = 1) -> Terms:
    return Terms(1, nonce, 256, LARGEST, 512, 5, 4, DIGEST)


class Answering:
    """A host that reads each request as the server does, and answers."""

    def __init__(self) -> None:
        self.link = ServerLink(self, terms(), 115_200, Counters())
        self.link.digest = DIGEST

    def begun(self) -> None: ...

    def ended(self) -> None: ...

    def asked(self, number: int, body: bytes) -> None:
        try:
            read_object(body) if body[:1] == b"{" else compact_requests.read(body)
        except EdgeError as error:
            self.link.reply(number, str(error).encode()[: self.link.largest])
            return
        self.link.event(body[: self.link.largest])
        self.link.reply(number, body[: self.link.largest])

    def taken_back(self, number: int) -> None:
        self.link.reply(number, b"")


class Asking:
    """A host that has always something to ask."""

    def __init__(self) -> None:
        self.link = ClientLink(self, terms(), 115_200, Counters(), 0.0)

    def opened(self, _: Terms) -> None:
        for size in (0, 10, min(600, self.link.largest)):
            self.link.send(bytes(size))

    def lost(self, _: int | None, unanswered: list[int]) -> None:
        assert len(unanswered) == len(set(unanswered))

    def replied(self, handle: int, body: bytes) -> None:
        assert handle and len(body) <= LARGEST

    def event(self, body: bytes) -> None:
        assert len(body) <= LARGEST


def converse(data: bytes) -> None:
    """One input: its first byte says with whom, and whether the rest is bytes or frames."""
    if not data:
        return
    server = bool(data[0] & 1)
    link: Link = Answering().link if server else Asking().link
    now = 0.0
    for piece in _frames(link, data[1:], server) if data[0] & 2 else _pieces(data[1:]):
        now += 0.01
        link.receive(piece, now)
        for _ in range(40):
            if not link.poll(now):
                break
        due = link.due(now)
        now = max(now, min(due, now + 2.0)) if due is not None else now
        assert held(link) < MOST_HELD, f"{held(link)} bytes are held"


def held(link: Link) -> int:
    """Bytes that a link keeps."""
    session = link._session
    kept = len(link._deframer._buffer)
    if session is not None:
        kept += len(session.receiver.data) + sum(len(message.data) for message in session.outgoing)
    if isinstance(link, ServerLink):
        assert len(link._requests) <= MOST_REQUESTS
        kept += sum(len(each.reply.data) for each in link._requests.values() if each.reply is not None)
    return kept


def _pieces(data: bytes) -> Iterator[bytes]:
    for place in range(0, len(data), 16):
        yield data[place : place + 16]


def _frames(link: Link, data: bytes, server: bool) -> Iterator[bytes]:
    """Right frames, from four bytes of the input each and what they ask for."""
    while len(data) >= 4:
        kind, number, flags, size = data[:4]
        piece, data = data[4 : 4 + size % 64], data[4 + size % 64 :]
        session = link._session
        epoch = number if session is None or flags & 64 else session.epoch
        side, bits = not server, [bool(flags & bit) for bit in (1, 2, 4, 8)]
        offset = (flags >> 4) * 16
        frame: Frame
        match kind % 7:
            case 0:
                nonce = getattr(link, "_nonce", 1)
                frame = Hello(terms(number)) if server else Welcome(terms(nonce), number << 8 | 7)
            case 1:
                frame = Reset(epoch, flags, side)
            case 2:
                frame = State(epoch, number, offset, size, side, *bits)
            case 3:
                frame = Cancel(epoch, number) if server else Reset(epoch, number, side)
            case 4 if session is not None:
                # a whole message that passes its CRC-32
                group = messages.REQUEST if server else messages.EVENT
                whole = messages.seal(session.number, group, number, 0, piece)
                frame = Data(epoch, number, 0, whole, side, True, bits[0], not server)
            case _:
                frame = Data(epoch, number, offset, piece or b"\0", side, *bits[:3])
        yield frames.encode(frame)
