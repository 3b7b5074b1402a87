"""The server's side of docs/serial.md, plainly, for the tests of clients: one request at a time, a clock of its own.

`answer` makes a reply's body, and the bodies of events that go before it, of a request's body.
"""

from __future__ import annotations

import binascii
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.serial.reference import (
    ASK,
    CANCEL,
    DATA,
    DELIMITER,
    DONE,
    EVENT,
    GAP,
    HELLO,
    LAST,
    RESET,
    SERVER,
    STATE,
    largest_fragment,
    stuff,
    unstuff,
)

FRAME, MESSAGE, WINDOW, PAUSE = 256, 262_144, 4096, 20
SMALLEST, STEADY = 32, 8
LONGEST_WAIT = 2.0
RESIDUE = 0x1D0F
"""of the CRC-16 over content and CRC"""

Answer = Callable[[bytes], tuple[list[bytes], bytes]]


@dataclass
class Incoming:
    """A request that is being put together."""

    number: int
    have: bytearray = field(default_factory=bytearray)
    done: bool = False
    gap_told: bool = False


@dataclass
class Outgoing:
    """A reply or an event that is being sent."""

    event: int
    number: int
    message: bytes
    base: int = 0
    next: int = 0
    limit: int = 0
    flight: int = 2
    timeouts: int = 0


class Server:
    """Feed it what comes from the wire; take what goes to the wire from `out`."""

    def __init__(self, answer: Answer, byte_time: float, seed: int = 0) -> None:
        """`byte_time`: seconds."""
        self.out = bytearray()
        self.now = 0.0
        self.executed: list[bytes] = []
        self.counters: Counter[str] = Counter()
        self.digest = bytes(8)
        self.busy = False
        """whether credit is withheld"""
        self.hold = False
        """whether replies are kept back until `release`"""
        self._held: list[tuple[Incoming, bytes, int]] = []
        self._answer = answer
        self._byte_time = byte_time
        self._random = random.Random(seed)
        self._partial = bytearray()
        self.session = 0
        self._forget()

    def restart(self) -> None:
        """As if the process had been started again."""
        self.session = 0
        self._forget()

    def _forget(self) -> None:
        self._hello = b""
        self._welcome = b""
        self._incoming = Incoming(0, done=True)
        self._queue: deque[Outgoing] = deque()
        self._reply: Outgoing | None = None
        self._events = 0
        self._fresh = True
        self._size = FRAME
        self._streak = 0
        self._silent = False
        self._sent_at = 0.0

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        self._partial += data
        *whole, rest = bytes(self._partial).split(DELIMITER)
        self._partial = bytearray(rest[-2 * FRAME :])
        for coded in whole:
            if coded:
                self._frame(coded)
        self.work()

    def work(self) -> None:
        """Send what is due."""
        message = self._queue[0] if self._queue else None
        if message is None or self._silent:
            return
        if message.next > message.base:
            flight = message.next - message.base
            wait = self._byte_time * (flight * 1.5 + self._peer_frame + 30) + (PAUSE + self._peer_pause) / 1e3
            if self.now - self._sent_at >= min(wait * 2**message.timeouts, max(LONGEST_WAIT, wait)):
                self.counters["timeout"] += 1
                message.timeouts += 1
                self._silent = message.timeouts >= 8
                self._back(message, message.base)
        while message.next < min(len(message.message), self._may_reach(message)):
            step = min(largest_fragment(self._size), self._may_reach(message) - message.next)
            piece = message.message[message.next : message.next + step]
            kind = DATA | SERVER | message.event
            message.next += len(piece)
            if message.next == len(message.message):
                kind |= LAST | ASK
            elif message.next >= self._may_reach(message) or self._random.random() < 0.5:
                kind |= ASK
            head = bytes([kind, self.session & 0xFF, message.number])
            self._send(head + (message.next - len(piece)).to_bytes(3, "little") + piece)
            self._sent_at = self.now

    def _may_reach(self, message: Outgoing) -> int:
        return min(message.limit, message.base + message.flight * largest_fragment(self._size))

    def _send(self, content: bytes) -> None:
        crc = binascii.crc_hqx(content, 0xFFFF) ^ 0xFFFF
        self.out += DELIMITER + stuff(content + crc.to_bytes(2, "big")) + DELIMITER

    def _back(self, message: Outgoing, have: int) -> None:
        if message.next > have:
            self.counters["retry"] += 1
            self._size = max(SMALLEST, self._size // 2)
            self._streak = 0
            message.flight = 1
        message.base = message.next = have

    def _frame(self, coded: bytes) -> None:
        content = unstuff(coded)
        if (
            content is None
            or len(coded) > FRAME - 2
            or binascii.crc_hqx(content, 0xFFFF) != RESIDUE
            or len(content) < 5
        ):
            self.counters["damaged"] += 1
            if self.session and len(coded) > 4:
                self._incoming.gap_told = False
                awaiting = bool(self._queue and self._queue[0].next > self._queue[0].base)
                self._tell(GAP | (ASK if awaiting else 0))
            return
        content = content[:-2]
        kind, epoch = content[0], content[1]
        if kind & SERVER:
            self.counters["echo"] += 1
        elif kind == HELLO:
            self._on_hello(content)
        elif not self.session or epoch != self.session & 0xFF:
            self.counters["epoch"] += 1
            self._send(bytes([RESET | SERVER, epoch, 1]))
        else:
            self._silent = False
            if kind & 7 == DATA:
                self._fresh = False
                self._on_data(kind, content[2], int.from_bytes(content[3:6], "little"), content[6:])
            elif kind & 7 == STATE:
                self._fresh = False
                self._on_state(
                    kind, content[2], int.from_bytes(content[3:6], "little"), int.from_bytes(content[6:8], "little")
                )
            elif kind == CANCEL:
                self.counters["cancel"] += 1

    def _on_hello(self, content: bytes) -> None:
        if len(content) != 29 or binascii.crc32(content[:25]) != int.from_bytes(content[25:], "little"):
            self.counters["header"] += 1
            return
        if content != self._hello or not self._fresh:
            before = self.session
            self._forget()
            while not self.session & 0xFF or self.session & 0xFF == before & 0xFF:
                self.session = self._random.getrandbits(32)
            self.counters["session"] += 1
            self._hello = content
            said = bytes([HELLO + 1 | SERVER, 0, 1]) + content[3:7] + FRAME.to_bytes(2, "little")
            said += MESSAGE.to_bytes(3, "little") + WINDOW.to_bytes(2, "little") + PAUSE.to_bytes(2, "little")
            said += b"\x01" + self.digest + self.session.to_bytes(4, "little")
            self._welcome = said + binascii.crc32(said).to_bytes(4, "little")
            self._peer_frame = int.from_bytes(content[7:9], "little")
            self._peer_window = int.from_bytes(content[12:14], "little")
            self._peer_pause = int.from_bytes(content[14:16], "little")
            self._size = min(FRAME, self._peer_frame)
        self._send(self._welcome)

    def _tell(self, flags: int) -> None:
        incoming = self._incoming
        credit = 0 if self.busy else WINDOW
        flags |= DONE if incoming.done else 0
        head = bytes([STATE | SERVER | flags, self.session & 0xFF, incoming.number])
        self._send(head + len(incoming.have).to_bytes(3, "little") + credit.to_bytes(2, "little"))

    def _on_data(self, kind: int, number: int, offset: int, piece: bytes) -> None:
        incoming = self._incoming
        newer = 1 <= (number - incoming.number) % 256 <= 127
        if newer:
            incoming = self._incoming = Incoming(number)
        if number != incoming.number or incoming.done or offset < len(incoming.have):
            self.counters["repeat"] += 1
            self._tell(0)
        elif offset > len(incoming.have):
            if not incoming.gap_told:
                incoming.gap_told = True
                self._tell(GAP)
        elif self.busy:
            self._tell(0)
        else:
            incoming.have += piece
            incoming.gap_told = False
            if kind & LAST:
                self._complete(incoming)
            elif kind & ASK:
                self._tell(0)

    def _complete(self, incoming: Incoming) -> None:
        body, crc = bytes(incoming.have[:-4]), int.from_bytes(incoming.have[-4:], "little")
        if crc != self._crc(0, incoming.number, 0, body):
            self.counters["message"] += 1
            incoming.have.clear()
            self._tell(GAP)
            return
        incoming.done = True
        # it takes back the one before: a client of one request at a time asks again only when it has given that up
        self._queue.clear()
        self._reply = None
        self._tell(0)
        self.executed.append(body)
        if self.hold:
            self._held.append((incoming, body, crc))
        else:
            self._reply_to(incoming, body, crc)

    def release(self) -> None:
        """Answer what was held back."""
        self.hold = False
        for incoming, body, crc in self._held:
            self._reply_to(incoming, body, crc)
        self._held.clear()

    def _reply_to(self, incoming: Incoming, body: bytes, crc: int) -> None:
        events, reply = self._answer(body)
        for event in events:
            self._events = (self._events + 1) % 256
            self._push(EVENT, self._events, event, 0)
        self._reply = self._push(0, incoming.number, reply, crc)

    def _crc(self, kind: int, number: int, bound: int, body: bytes) -> int:
        prefix = self.session.to_bytes(4, "little") + bytes([kind, number]) + bound.to_bytes(4, "little")
        return binascii.crc32(prefix + body)

    def _push(self, event: int, number: int, body: bytes, bound: int) -> Outgoing:
        message = body + self._crc(2 if event else 1, number, bound, body).to_bytes(4, "little")
        outgoing = Outgoing(event, number, message, limit=self._peer_window)
        self._queue.append(outgoing)
        return outgoing

    def _on_state(self, kind: int, number: int, have: int, credit: int) -> None:
        if kind & ASK:
            self._tell(0)
            if self._reply is not None and not self._queue and number == self._reply.number and not kind & DONE:
                self._reply.base = self._reply.next = 0
                self._queue.append(self._reply)
        if not self._queue:
            return
        message = self._queue[0]
        if (number, kind & EVENT) != (message.number, message.event):
            if kind & GAP:
                self._back(message, 0)
        elif kind & DONE:
            self._queue.popleft()
        elif have <= len(message.message):
            message.limit = have + credit
            if kind & GAP:
                message.timeouts = 0
                self._back(message, have)
            elif have > message.base:
                message.base, message.next = have, max(message.next, have)
                message.timeouts = 0
                message.flight = min(message.flight + 1, 8)
                self._sent_at = self.now
                self._streak += 1
                if self._streak >= STEADY:
                    self._streak, self._size = 0, min(self._size * 2, self._peer_frame, FRAME)
