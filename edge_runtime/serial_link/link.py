"""What both ends of a link share: frames in and out, acknowledgements, damage, one session at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import replace

from edge_runtime.serial_link.counters import Counters
from edge_runtime.serial_link.deframer import Deframer
from edge_runtime.serial_link.frames import (
    Cancel,
    Data,
    Frame,
    FrameError,
    Hello,
    Reset,
    State,
    Terms,
    Welcome,
    decode,
    encode,
    epoch,
)
from edge_runtime.serial_link.messages import Message
from edge_runtime.serial_link.receiver import Receiver, Taken
from edge_runtime.serial_link.sender import Sender
from edge_runtime.serial_link.timing import Timing

LEAST_DAMAGED = 4
"""bytes between two delimiters that may have been a frame of the session; less is a lost delimiter or a click"""
SOON = 0.004
"""seconds for which the acknowledgement of a whole request waits for its reply, which says the same"""


class LinkSession:
    """What is known of the session there is."""

    def __init__(self, number: int, own: Terms, peer: Terms, baud: int, counters: Counters) -> None:
        self.number = number
        self.epoch = epoch(number)
        self.peer = peer
        self.timing = Timing.of(baud, own, peer)
        self.sender = Sender(peer, self.timing, counters)
        self.receiver = Receiver(own.message, own.window, counters)
        self.outgoing: deque[Message] = deque()
        self.used = False
        """a DATA or STATE has come in it"""
        self.polled = -1e9
        """when the peer was last asked for credit"""


class Link(ABC):
    """One end. All times are seconds of one clock that only goes forward, given by the caller.

    `receive` takes bytes, `poll` gives frames to be written while there are any, and `due` says when to come again.
    """

    def __init__(self, server: bool, own: Terms, baud: int, counters: Counters) -> None:
        self.counters = counters
        self._server = server
        self._own = own
        self.baud = baud
        self._deframer = Deframer(own.frame)
        self._session: LinkSession | None = None
        self._now = 0.0
        self._states: State | None = None
        """about an older message, to be sent before that about the present one"""
        self._state_ask = self._state_gap = False
        self._state_at: float | None = None
        self._resets: Reset | None = None
        self.good_in_a_row = 0
        self.damaged_in_a_row = 0

    @property
    def open(self) -> bool:
        """Whether there is a session."""
        return self._session is not None

    def receive(self, data: bytes, now: float) -> None:
        """Bytes from the wire."""
        self._now = now
        self.counters.bytes_in += len(data)
        for coded in self._deframer.feed(data):
            if coded is None:
                self._damaged("overflow", LEAST_DAMAGED)
                continue
            try:
                frame = decode(coded, self._server)
            except FrameError as error:
                self._damaged(error.error, len(coded))
                continue
            self.counters.frames_in += 1
            self.damaged_in_a_row = 0
            self.good_in_a_row += 1
            self._take(frame)

    def poll(self, now: float) -> bytes:
        """The next frame to be written, or nothing."""
        self._now = now
        self._tick()
        frame = self._next_frame()
        if frame is None:
            return b""
        wire = encode(frame)
        self.counters.frames_out += 1
        self.counters.bytes_out += len(wire)
        return wire

    def due(self, now: float) -> float | None:
        """When `poll` is to be called again though nothing has come; None: not before something does."""
        self._now = now
        times = [self._state_at, self._role_due()]
        session = self._session
        if session is not None:
            times.append(session.sender.due())
            if self._wants_credit(session):
                times.append(session.polled + session.timing.alive())
        return min((time for time in times if time is not None), default=None)

    # what the roles do

    @abstractmethod
    def _take_handshake(self, frame: Hello | Welcome | Reset) -> None: ...

    @abstractmethod
    def _stranger(self, frame: Data | State | Cancel) -> None:
        """A frame of a session that is not there."""

    @abstractmethod
    def _is_new(self, frame: Data) -> bool:
        """Whether a message other than the present begins."""

    @abstractmethod
    def _check(self, data: bytearray) -> bool:
        """Whether the present message is right."""

    @abstractmethod
    def _whole(self, data: bytes) -> None:
        """A message has come, with its CRC-32."""

    @abstractmethod
    def _role_frame(self) -> Frame | None:
        """What goes out before everything else."""

    @abstractmethod
    def _role_due(self) -> float | None: ...

    @abstractmethod
    def _role_tick(self) -> None: ...

    @abstractmethod
    def _expects(self) -> bool:
        """Whether something is awaited from the peer."""

    def _next_message(self) -> Message | None:
        """What to send next."""
        session = self._session
        return session.outgoing.popleft() if session is not None and session.outgoing else None

    def _has_next(self) -> bool:
        return self._session is not None and bool(self._session.outgoing)

    def _credit(self) -> int:
        """For the peer's next message."""
        assert self._session is not None
        return self._session.receiver.window

    @abstractmethod
    def _cancelled(self, frame: Cancel) -> None:
        """The server's: the client takes a request back."""

    @abstractmethod
    def _beyond(self, frame: Data) -> None:
        """A fragment beyond the buffer or the credit."""

    # sessions

    def _begin(self, number: int, peer: Terms) -> LinkSession:
        self._session = LinkSession(number, self._own, peer, self.baud, self.counters)
        self._states, self._state_at = None, None
        self._state_ask = self._state_gap = False
        return self._session

    def _forget(self) -> None:
        self._session = None
        self._states, self._state_at = None, None

    # in

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Hello | Welcome | Reset):
            self._take_handshake(frame)
            return
        session = self._session
        if session is None or frame.epoch != session.epoch:
            self._stranger(frame)
            return
        self._heard(session)
        match frame:
            case Data():
                session.used = True
                self._data(session, frame)
            case State():
                session.used = True
                session.sender.state(frame)
                if frame.ask:
                    self._say()
            case Cancel():
                self._cancelled(frame)

    def _heard(self, session: LinkSession) -> None:
        session.sender.heard()

    def _data(self, session: LinkSession, frame: Data) -> None:
        receiver = session.receiver
        present = not receiver.done and (frame.number, frame.event) == (receiver.number, receiver.event)
        if not present:
            if not self._is_new(frame):
                self.counters.error("repeat")
                self._say_done(frame)
                return
            receiver.begin(frame)
        match receiver.take(frame):
            case Taken.MORE:
                if frame.ask:
                    self._say()
            case Taken.REPEATED:
                self._say()
            case Taken.MISSING:
                if receiver.gap():
                    self._say(gap=True)
                elif frame.ask:
                    self._say()
            case Taken.BEYOND:
                self._beyond(frame)
                if frame.ask:
                    self._say()
            case Taken.WHOLE if self._check(receiver.data):
                data = receiver.finish()
                self.counters.messages_in += 1
                self._say(later=self._server)
                self._whole(data)
            case Taken.WHOLE:
                receiver.spoil()
                self._say(gap=True)

    def _damaged(self, error: str, size: int) -> None:
        self.counters.error(error)
        if error not in ("crc", "cobs", "overflow"):
            return
        self.damaged_in_a_row += 1
        session = self._session
        if session is not None and size >= LEAST_DAMAGED:
            session.receiver.damaged()
            self._say(gap=True, ask=session.sender.message is not None or self._expects())

    # out

    def _say(self, *, gap: bool = False, ask: bool = False, later: bool = False) -> None:
        """Send a STATE about the present message, or the last."""
        if later and self._state_at is None:
            self._state_at = self._now + SOON
        elif not later:
            self._state_at = self._now
        self._states = None
        self._state_gap |= gap
        self._state_ask |= ask

    def _say_done(self, frame: Data) -> None:
        """Send a STATE about a message that is complete, or that nobody wants."""
        assert self._session is not None
        receiver = self._session.receiver
        have = frame.offset + len(frame.piece)
        if (receiver.number, receiver.event) == (frame.number, frame.event):
            have = max(have, receiver.have)
        self._state_at = self._now
        self._states = State(frame.epoch, frame.number, have, 0, self._server, done=True, event=frame.event)

    def _state(self, session: LinkSession) -> State:
        """The STATE that is to be sent."""
        receiver = session.receiver
        about, self._states = self._states, None
        if about is not None:
            if not self._state_gap and not self._state_ask:
                self._state_at = None
            self._credit_said(self._credit())
            return replace(about, credit=self._credit())
        ask, gap = self._state_ask, self._state_gap
        self._state_at, self._state_ask, self._state_gap = None, False, False
        credit = self._credit() if receiver.done else receiver.window
        done = receiver.done and receiver.begun
        self._credit_said(credit)
        return State(
            session.epoch, receiver.number, receiver.have, credit, self._server, done, ask, receiver.event, gap
        )

    @abstractmethod
    def _credit_said(self, credit: int) -> None:
        """What the peer was granted."""

    def _next_frame(self) -> Frame | None:
        frame = self._role_frame()
        session = self._session
        if frame is not None or session is None:
            return frame
        sender = session.sender
        if sender.ready and self._has_next():
            message = self._next_message()
            if message is not None:
                sender.begin(message)
                self.counters.messages_out += 1
        if self._state_at is not None and (self._state_at <= self._now or not self._credit()):
            # a reply would say that there is credit
            return self._state(session)
        fragment = sender.fragment(session.epoch, self._server, self._now)
        if fragment is not None and self._state_at is not None and self._reply_says_it(session):
            self._state_at = None
        return fragment

    def _reply_says_it(self, session: LinkSession) -> bool:
        """Whether the STATE that waits to be sent is said by the reply that is sent now."""
        message, receiver = session.sender.message, session.receiver
        return (
            message is not None
            and not message.event
            and message.number == receiver.number
            and self._credit() == receiver.window
        )

    def _wants_credit(self, session: LinkSession) -> bool:
        return session.sender.starved and (session.sender.message is not None or self._has_next())

    def _tick(self) -> None:
        self._role_tick()
        session = self._session
        if session is None:
            return
        session.sender.tick(self._now)
        if self._wants_credit(session) and self._now - session.polled >= session.timing.alive():
            session.polled = self._now
            self._say(ask=True)
