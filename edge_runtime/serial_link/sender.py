"""The sending half of a transfer: one message at a time, in fragments, repeated until it is acknowledged."""

from __future__ import annotations

from edge_runtime.serial_link.counters import Counters
from edge_runtime.serial_link.frames import DEFAULT_FRAME, Data, State, Terms, largest_fragment
from edge_runtime.serial_link.messages import Message
from edge_runtime.serial_link.timing import LONGEST_BACKOFF, Timing

LEAST_FRAME = 32
"""bytes on the wire: below it the 11 around a fragment weigh more than what noise costs"""
GOOD_RUN = 8
"""fragments acknowledged without damage after which they grow"""
FIRST_FLIGHT, LARGEST_FLIGHT = 2, 8
"""fragments sent beyond what is acknowledged: a UART holds one or two, an adapter a few more, and everything behind a
hole is sent again"""
PATIENCE = 8
"""time-outs in a row after which the sender waits for a sign of life"""


class Sender:
    """Of one session. Times are seconds of any clock that only goes forward."""

    def __init__(self, peer: Terms, timing: Timing, counters: Counters) -> None:
        self._timing = timing
        self._counters = counters
        self._largest = peer.frame
        self._window = peer.window
        self._frame = min(DEFAULT_FRAME, peer.frame)
        self._run = 0
        """bytes acknowledged since the size of fragments changed"""
        self._message: Message | None = None
        self._flight = FIRST_FLIGHT
        self._first_credit = peer.window
        """with which the next message begins"""
        self._base = self._next = self._limit = self._asked = 0
        self._sent_at = 0.0
        self._timeouts = 0

    @property
    def message(self) -> Message | None:
        """The one that is not acknowledged yet."""
        return self._message

    @property
    def ready(self) -> bool:
        """Whether a message may begin."""
        return self._message is None and self._first_credit > 0

    @property
    def starved(self) -> bool:
        """Whether there is no credit to go on with."""
        if self._message is None:
            return self._first_credit == 0
        return self._base >= self._limit

    @property
    def silent(self) -> bool:
        """Whether it has given the peer up until something is heard."""
        return self._timeouts >= PATIENCE

    def begin(self, message: Message) -> None:
        self._message = message
        self._flight = FIRST_FLIGHT
        self._base = self._next = self._asked = self._timeouts = 0
        self._limit = self._first_credit
        self._first_credit = self._window

    def finish(self) -> None:
        """The message is complete, or nobody wants it any more."""
        if self._message is not None:
            self._progress(len(self._message.data))
            self._message = None

    def abandon(self) -> None:
        """Nobody wants the message any more."""
        self._message = None

    def fragment(self, epoch: int, server: bool, now: float) -> Data | None:
        """The next to send, if one may be sent now."""
        message = self._message
        if message is None or self.silent:
            return None
        size = largest_fragment(self._frame)
        total = len(message.data)
        end = min(total, self._limit, self._base + self._flight * size)
        begin = self._next
        if begin >= end:
            return None
        self._next = place = min(begin + size, end)
        # half-way as well, so that the answer is there before the last fragment is out
        ask = place >= end or place - max(self._asked, self._base) >= max(1, self._flight // 2) * size
        if ask:
            self._asked = place
        self._sent_at = now
        last = place >= total
        return Data(epoch, message.number, begin, message.data[begin:place], server, last, ask, message.event)

    def state(self, state: State) -> None:
        """What the receiver says."""
        message = self._message
        if message is None:
            self._first_credit = state.credit
        elif (state.number, state.event) != (message.number, message.event):
            if self._base == 0 and state.done:
                self._limit = state.credit
            if state.gap:
                self._go_back(0)
        elif state.done:
            self.finish()
            self._first_credit = state.credit
        else:
            have = min(state.have, len(message.data))
            if state.gap:
                self._progress(have)
                self._go_back(have)
            else:
                self._progress(have)
                self._next = max(self._next, self._base)
            self._limit = have + state.credit

    def heard(self) -> None:
        """A good frame of the session came: the peer is there."""
        if self.silent:
            self._timeouts = 0
            self._next = self._base

    def due(self) -> float | None:
        """When `tick` has something to do."""
        if self._message is None or self.silent or self._next <= self._base:
            return None
        return self._sent_at + self._patience()

    def tick(self, now: float) -> None:
        due = self.due()
        if due is not None and now >= due:
            self._timeouts += 1
            self._counters.error("timeout")
            self._counters.error("retry")
            self._next = self._asked = self._base
            self._shrink()

    def _patience(self) -> float:
        size = largest_fragment(self._frame)
        pending = self._next - self._base
        first = self._timing.acknowledgement(pending + -(-pending // size) * (self._frame - size))
        return min(first * (1 << self._timeouts), max(LONGEST_BACKOFF, first))

    def _progress(self, have: int) -> None:
        if have <= self._base:
            return
        self._run += have - self._base
        self._base = have
        self._timeouts = 0
        self._flight = min(self._flight + 1, LARGEST_FLIGHT)
        if self._run >= GOOD_RUN * largest_fragment(self._frame):
            self._frame = min(2 * self._frame, self._largest)
            self._run = 0

    def _go_back(self, have: int) -> None:
        went = self._next > have
        self._base = self._next = self._asked = have
        if went:
            self._counters.error("retry")
            self._shrink()

    def _shrink(self) -> None:
        self._flight = 1
        self._frame = max(self._frame // 2, LEAST_FRAME)
        self._run = 0
