"""The server's end of a link: answers HELLO, takes requests, sends replies and events."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol

from edge_runtime.serial_link.counters import Counters
from edge_runtime.serial_link.frames import (
    BYE,
    MOST_REQUESTS,
    NO_VERSION,
    UNKNOWN,
    Cancel,
    Data,
    Frame,
    Hello,
    Reset,
    State,
    Terms,
    Welcome,
    epoch,
    newer,
)
from edge_runtime.serial_link.link import Link
from edge_runtime.serial_link.messages import CRC, EVENT, REPLY, REQUEST, Message, is_right, seal

VERSION = 1
"""of docs/serial.md"""
LARGEST_KEPT = 16 << 10
"""bytes of a reply that is kept once the client has it; there may be 32"""


class Host(Protocol):
    """Whom a server's link tells what happens."""

    def begun(self) -> None:
        """A client said hello."""

    def ended(self) -> None:
        """The session there was is over."""

    def asked(self, number: int, body: bytes) -> None:
        """A request is there."""

    def taken_back(self, number: int) -> None:
        """Nobody wants the reply to a request any more."""


class _Phase(Enum):
    WAITING = auto()
    REPLIED = auto()
    UNWANTED = auto()


@dataclass(slots=True)
class _Request:
    bound: int
    """its CRC-32"""
    phase: _Phase = _Phase.WAITING
    reply: Message | None = None
    """kept although the client has it: what said so may have been noise"""


class ServerLink(Link):
    """One port's end; sessions come and go."""

    def __init__(self, host: Host, own: Terms, baud: int, counters: Counters) -> None:
        """`own`: what WELCOME offers; nonce and digest are filled in."""
        super().__init__(True, own, baud, counters)
        self._host = host
        self.digest: bytes | None = None
        """first eight bytes of the first model's; None while HELLOs are not answered: models are loaded, or it stops"""
        self._backed_up = False
        self._starving = False
        self._last_epoch = 0
        self._welcome: Welcome | None = None
        self._welcome_due = False
        self._nonce = -1
        self._events = 0
        self._requests: dict[int, _Request] = {}
        self._unsent = 0

    @property
    def largest(self) -> int:
        """Bytes of the largest body that the client takes."""
        return 0 if self._session is None else self._session.peer.message - CRC

    @property
    def peer(self) -> Terms | None:
        """What the client offered."""
        return None if self._session is None else self._session.peer

    @property
    def unsent(self) -> int:
        """Bytes of messages that are not acknowledged."""
        return self._unsent

    @property
    def idle(self) -> bool:
        """Whether every request has its reply, and the client has it."""
        return not self._unsent and all(each.phase is not _Phase.WAITING for each in self._requests.values())

    def back_up(self, backed_up: bool, now: float) -> None:
        """Whether to take no more requests for now."""
        self._backed_up = backed_up
        if not backed_up and self._starving and self._session is not None:
            self._now = now
            self._starving = False
            self._say()

    def reply(self, number: int, body: bytes) -> None:
        """Answer a request; ignored where nobody waits."""
        session, request = self._session, self._requests.get(number)
        if session is None or request is None or request.phase is not _Phase.WAITING:
            return
        request.phase = _Phase.REPLIED
        request.reply = Message(number, False, seal(session.number, REPLY, number, request.bound, body))
        self._send(request.reply)

    def event(self, body: bytes) -> None:
        session = self._session
        if session is not None:
            self._events = (self._events + 1) & 0xFF
            self._send(Message(self._events, True, seal(session.number, EVENT, self._events, 0, body)))

    def reset(self, reason: int) -> None:
        """End the session and tell the client why."""
        if self._session is not None:
            self._resets = Reset(self._session.epoch, reason, True)
            self._end()

    def _send(self, message: Message) -> None:
        assert self._session is not None
        self._session.outgoing.append(message)
        self._unsent += len(message.data)

    def _end(self) -> None:
        if self._session is not None:
            self._forget()
            self._requests.clear()
            self._unsent = 0
            self._welcome, self._welcome_due = None, False
            self._host.ended()

    # handshake

    def _take_handshake(self, frame: Hello | Welcome | Reset) -> None:
        if isinstance(frame, Hello):
            self._hello(frame.terms)
        elif isinstance(frame, Reset):
            session = self._session
            if session is None or frame.epoch != session.epoch:
                self.counters.error("epoch")
            elif frame.reason == BYE:
                self._end()

    def _hello(self, peer: Terms) -> None:
        session = self._session
        if session is not None and peer.nonce == self._nonce and not session.used:
            self._welcome_due = True
            return
        if peer.version < VERSION:
            self._end()
            self._resets = Reset(0, NO_VERSION, True)
            return
        self._end()
        if self.digest is None:
            return
        number = 0
        while epoch(number) in (0, self._last_epoch):
            number = secrets.randbits(32)
        self._last_epoch = epoch(number)
        self._nonce = peer.nonce
        self._events = self._unsent = 0
        self._starving = False
        self._begin(number, peer)
        offered = replace(
            self._own, nonce=peer.nonce, requests=min(peer.requests, self._own.requests), digest=self.digest
        )
        self._welcome, self._welcome_due = Welcome(offered, number), True
        self._resets = None
        self.counters.sessions += 1
        self._host.begun()

    def _stranger(self, frame: Data | State | Cancel) -> None:
        self.counters.error("epoch")
        self._resets = Reset(frame.epoch, UNKNOWN, True)

    # requests

    def _is_new(self, frame: Data) -> bool:
        assert self._session is not None
        receiver = self._session.receiver
        return not frame.event and newer(frame.number, receiver.number if receiver.begun else 0)

    def _check(self, data: bytearray) -> bool:
        session = self._session
        assert session is not None
        return is_right(session.number, REQUEST, session.receiver.number, 0, data)

    def _whole(self, data: bytes) -> None:
        assert self._session is not None
        number = self._session.receiver.number
        self._enter(number, int.from_bytes(data[-CRC:], "little"))
        self._host.asked(number, data[:-CRC])

    def _enter(self, number: int, bound: int, phase: _Phase = _Phase.WAITING) -> None:
        """Take a request into the books, and those out that are too old."""
        allowed = self._welcome.terms.requests if self._welcome is not None else 1
        for other, request in list(self._requests.items()):
            behind = (number - other) & 0xFF
            if behind >= allowed and request.phase is _Phase.WAITING:
                request.phase = _Phase.UNWANTED
                self._host.taken_back(other)
            if behind >= allowed:
                request.reply = None
            if behind >= MOST_REQUESTS or other == number:
                del self._requests[other]
                self._drop(other)
        self._requests[number] = _Request(bound, phase)

    def _drop(self, number: int) -> None:
        """A reply that the client has not fetched for so long is none that it waits for."""
        session = self._session
        assert session is not None
        message = session.sender.message
        if message is not None and not message.event and message.number == number:
            session.sender.abandon()
            self._unsent -= len(message.data)
        for message in [each for each in session.outgoing if not each.event and each.number == number]:
            session.outgoing.remove(message)
            self._unsent -= len(message.data)

    def _beyond(self, frame: Data) -> None:
        session = self._session
        assert session is not None
        receiver = session.receiver
        if frame.offset + len(frame.piece) > self._own.message:
            # no client sends it; a reply could not be bound to what never came whole
            receiver.finish()
            self._enter(receiver.number, 0, _Phase.UNWANTED)
            self._say()

    def _cancelled(self, frame: Cancel) -> None:
        request = self._requests.get(frame.number)
        if request is not None and request.phase is _Phase.WAITING:
            self._host.taken_back(frame.number)

    def _take(self, frame: Frame) -> None:
        session = self._session
        before = None if session is None else session.sender.message
        super()._take(frame)
        if session is None or session is not self._session or not isinstance(frame, State):
            return
        if before is not None and session.sender.message is not before:
            self._unsent -= len(before.data)
            if len(before.data) > LARGEST_KEPT and not before.event and before.number in self._requests:
                self._requests[before.number].reply = None
        if frame.epoch == session.epoch and frame.ask and not frame.gap:
            self._asked_again(frame)

    def _asked_again(self, state: State) -> None:
        """The client waits and has heard nothing for long: replies that it ought to have go out again."""
        session = self._session
        assert session is not None
        if session.sender.message is not None or session.outgoing:
            return
        for number, request in self._requests.items():
            has_it = state.done and not state.event and state.number == number
            if request.reply is not None and not has_it:
                self._send(request.reply)

    # out

    def _credit(self) -> int:
        return 0 if self._backed_up else super()._credit()

    def _credit_said(self, credit: int) -> None:
        self._starving = credit == 0

    def _role_frame(self) -> Frame | None:
        if self._resets is not None:
            frame, self._resets = self._resets, None
            return frame
        if self._welcome_due:
            self._welcome_due = False
            return self._welcome
        return None

    def _role_due(self) -> float | None:
        return None

    def _role_tick(self) -> None:
        pass

    def _expects(self) -> bool:
        return False
