"""The client's end of a link: says HELLO, sends requests, takes replies and events."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

from edge_runtime.serial_link.counters import Counters
from edge_runtime.serial_link.frames import (
    BYE,
    NO_VERSION,
    STOPPING,
    Cancel,
    Data,
    Frame,
    Hello,
    Reset,
    State,
    Terms,
    Welcome,
    newer,
)
from edge_runtime.serial_link.link import Link, LinkSession
from edge_runtime.serial_link.messages import CRC, EVENT, REPLY, REQUEST, Message, is_right, seal
from edge_runtime.serial_link.timing import hello_interval

REFUSED = 2.0
"""seconds before the next HELLO where the server stops or speaks no common version"""
UNHEARD = 5
"""questions in a row without a good frame after which the session counts as lost"""


class Host(Protocol):
    """Whom a client's link tells what happens."""

    def opened(self, terms: Terms) -> None:
        """There is a session; what the server offered."""

    def lost(self, reason: int | None, unanswered: list[int]) -> None:
        """The session is over, and another is being asked for.

        Args:
            reason: of the RESET; None where the server fell silent.
            unanswered: handles of the requests without a reply, in their order.
        """

    def replied(self, handle: int, body: bytes) -> None: ...

    def event(self, body: bytes) -> None: ...


@dataclass(slots=True)
class _Waiting:
    handle: int
    crc: int = 0
    """of the request as sent"""
    cancel_at: float | None = None
    """when to send CANCEL (again)"""


class ClientLink(Link):
    """A client's end; it begins with HELLO at once, and again when the server has lost the session."""

    def __init__(self, host: Host, own: Terms, baud: int, counters: Counters, now: float) -> None:
        """`own`: what HELLO offers; its nonce is the first one."""
        super().__init__(False, own, baud, counters)
        self._host = host
        self.attentive = False
        """a stream is open: a silent server is noticed even while no request waits"""
        self._nonce = own.nonce
        self._hello_at: float | None = now
        self._queue: deque[tuple[int, bytes]] = deque()
        self._number = 0
        self._allowed = 1
        self._waiting: dict[int, _Waiting] = {}
        """by number"""
        self._last_event = 0
        self._handles = 0
        self._heard_at = now
        self._asked_at = now
        self._unheard = 0
        self.largest = 0
        """bytes of the largest body that the server takes; 0 before it said so"""

    @property
    def unanswered(self) -> int:
        """Requests without a reply, those not sent yet among them."""
        return len(self._waiting) + len(self._queue)

    def send(self, body: bytes) -> int:
        """Queue a request → its handle. A body has at most `largest` bytes."""
        self._handles += 1
        self._queue.append((self._handles, body))
        return self._handles

    def cancel(self, handle: int, now: float) -> bool:
        """Take a request back; its reply still comes, unless it was not sent (then False)."""
        for entry in self._queue:
            if entry[0] == handle:
                self._queue.remove(entry)
                return False
        for waiting in self._waiting.values():
            if waiting.handle == handle:
                waiting.cancel_at = now
        return True

    def forget(self, handle: int) -> None:
        """Nobody waits for this reply any more."""
        self._queue = deque(entry for entry in self._queue if entry[0] != handle)
        for number, waiting in list(self._waiting.items()):
            if waiting.handle == handle:
                self._settle(number)

    def bye(self) -> None:
        """End the session. What `poll` gives next says so to the server."""
        if self._session is not None:
            self._resets = Reset(self._session.epoch, BYE, False)
        self._forget()
        self._hello_at = None

    # handshake

    def _take_handshake(self, frame: Hello | Welcome | Reset) -> None:
        if isinstance(frame, Welcome):
            if self._session is None and frame.terms.nonce == self._nonce and self._hello_at is not None:
                self._welcome(frame)
        elif isinstance(frame, Reset):
            session = self._session
            if session is not None and frame.epoch == session.epoch:
                self._lose(frame.reason)
            elif session is None and frame.epoch == 0 and frame.reason in (NO_VERSION, STOPPING):
                self._hello_at = self._now + REFUSED
            else:
                self.counters.error("epoch")

    def _welcome(self, frame: Welcome) -> None:
        self._begin(frame.session, frame.terms)
        self._hello_at = None
        self._number = 0
        self._last_event = 0
        self._allowed = frame.terms.requests
        self._heard_at = self._asked_at = self._now
        self._unheard = 0
        self.largest = frame.terms.message - CRC
        self.counters.sessions += 1
        self._host.opened(frame.terms)

    def _lose(self, reason: int | None) -> None:
        unanswered = [waiting.handle for waiting in self._waiting.values()] + [handle for handle, _ in self._queue]
        self._waiting.clear()
        self._queue.clear()
        self._forget()
        self._nonce = (self._nonce + 1) & 0xFFFFFFFF
        self._hello_at = self._now + (REFUSED if reason in (NO_VERSION, STOPPING) else 0.0)
        self._host.lost(reason, unanswered)

    def _stranger(self, _: Data | State | Cancel) -> None:
        self.counters.error("epoch")

    def _heard(self, session: LinkSession) -> None:
        super()._heard(session)
        self._heard_at = self._now
        self._unheard = 0

    # replies and events

    def _data(self, session: LinkSession, frame: Data) -> None:
        sending = session.sender.message
        if not frame.event and sending is not None and sending.number == frame.number:
            # a reply says that its request is complete
            session.sender.finish()
        receiver = session.receiver
        if not frame.event and not receiver.event and not receiver.done and receiver.number not in self._waiting:
            # nobody waits for it any more: whatever of it comes is answered with DONE
            receiver.finish()
        super()._data(session, frame)

    def _is_new(self, frame: Data) -> bool:
        if frame.event:
            return newer(frame.number, self._last_event)
        return frame.number in self._waiting

    def _check(self, data: bytearray) -> bool:
        session = self._session
        assert session is not None
        receiver = session.receiver
        if receiver.event:
            return is_right(session.number, EVENT, receiver.number, 0, data)
        waiting = self._waiting.get(receiver.number)
        return waiting is not None and is_right(session.number, REPLY, receiver.number, waiting.crc, data)

    def _whole(self, data: bytes) -> None:
        assert self._session is not None
        receiver = self._session.receiver
        if receiver.event:
            self._last_event = receiver.number
            self._host.event(data[:-CRC])
            return
        handle = self._waiting[receiver.number].handle
        self._settle(receiver.number)
        self._host.replied(handle, data[:-CRC])

    def _settle(self, number: int) -> None:
        del self._waiting[number]
        session = self._session
        if session is not None:
            sending = session.sender.message
            if sending is not None and sending.number == number:
                session.sender.abandon()

    # out

    def _has_next(self) -> bool:
        if not self._queue:
            return False
        following = (self._number + 1) & 0xFF
        return all((following - number) & 0xFF < self._allowed for number in self._waiting)

    def _next_message(self) -> Message | None:
        session = self._session
        assert session is not None
        handle, body = self._queue.popleft()
        self._number = number = (self._number + 1) & 0xFF
        message = Message(number, False, seal(session.number, REQUEST, number, 0, body))
        self._waiting[number] = _Waiting(handle, message.crc)
        self._asked_at = self._heard_at = self._now
        return message

    def _role_frame(self) -> Frame | None:
        if self._resets is not None:
            frame, self._resets = self._resets, None
            return frame
        if self._session is None:
            if self._hello_at is None or self._now < self._hello_at:
                return None
            self._hello_at = self._now + hello_interval(self.baud)
            return Hello(replace(self._own, nonce=self._nonce))
        for number, waiting in self._waiting.items():
            if waiting.cancel_at is not None and self._now >= waiting.cancel_at and not self._unsent(number):
                waiting.cancel_at = self._now + self._session.timing.alive()
                return Cancel(self._session.epoch, number)
        return None

    def _unsent(self, number: int) -> bool:
        """Whether the request is still on its way, so that the server could not know it."""
        message = None if self._session is None else self._session.sender.message
        return message is not None and message.number == number

    def _role_due(self) -> float | None:
        session = self._session
        if session is None:
            return self._hello_at
        times = [
            waiting.cancel_at
            for number, waiting in self._waiting.items()
            if waiting.cancel_at is not None and not self._unsent(number)
        ]
        if self._expects():
            times.append(max(self._heard_at, self._asked_at) + session.timing.alive())
        return min(times, default=None)

    def _role_tick(self) -> None:
        session = self._session
        if session is None or not self._expects():
            return
        if session.sender.silent:
            self._lose(None)
        elif self._now - max(self._heard_at, self._asked_at) >= session.timing.alive():
            if self._unheard >= UNHEARD:
                self._lose(None)
                return
            self._asked_at = self._now
            self._unheard += 1
            self._say(ask=True)

    def _expects(self) -> bool:
        return bool(self._waiting) or self.attentive

    def _cancelled(self, _: Cancel) -> None:
        """Only clients send it: a frame of our own direction never comes so far."""

    def _beyond(self, _: Data) -> None:
        """A server keeps to what it was granted; what does not is left to its time-outs."""

    def _credit_said(self, _: int) -> None:
        """A client always grants its window."""
