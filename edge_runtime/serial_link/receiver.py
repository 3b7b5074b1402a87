"""The receiving half of a transfer: puts one message together at a time."""

from __future__ import annotations

from enum import Enum, auto

from edge_runtime.serial_link.counters import Counters
from edge_runtime.serial_link.frames import Data


class Taken(Enum):
    """What became of a fragment."""

    MORE = auto()
    """taken; the message goes on"""
    WHOLE = auto()
    """taken; the message's end is there, and its CRC-32 is to be checked"""
    REPEATED = auto()
    MISSING = auto()
    """something before it did not come"""
    BEYOND = auto()
    """beyond the buffer or the credit"""


class Receiver:
    """Of one session."""

    def __init__(self, largest: int, window: int, counters: Counters) -> None:
        """`largest`: bytes of a message; `window`: credit."""
        self._largest = largest
        self.window = window
        self._counters = counters
        self.number = 0
        self.event = False
        self.have = 0
        self.done = True
        """nothing is being put together"""
        self.begun = False
        """there has been a message in this session"""
        self.data = bytearray()
        self._gap_said = False

    def begin(self, frame: Data) -> None:
        """A new message; what was not complete is forgotten."""
        self.number, self.event = frame.number, frame.event
        self.begun = True
        self.have = 0
        self.done = False
        self.data = bytearray()
        self._gap_said = False

    def take(self, frame: Data) -> Taken:
        """A fragment of the message in progress."""
        if frame.offset < self.have:
            self._counters.error("repeat")
            return Taken.REPEATED
        if frame.offset > self.have:
            return Taken.MISSING
        end = self.have + len(frame.piece)
        if end > min(self._largest, self.have + self.window):
            return Taken.BEYOND
        self.data += frame.piece
        self.have = end
        self._gap_said = False
        return Taken.WHOLE if frame.last else Taken.MORE

    def finish(self) -> bytes:
        """It is right: the message."""
        self.done = True
        whole = bytes(self.data)
        self.data = bytearray()
        return whole

    def spoil(self) -> None:
        """It is wrong and has to come again, from its beginning."""
        self._counters.error("message")
        self.have = 0
        self.data = bytearray()

    def gap(self) -> bool:
        """Whether to say that something is missing; only once until something else arrives."""
        said, self._gap_said = self._gap_said, True
        return not said

    def damaged(self) -> None:
        """A damaged frame came, and that is being said."""
        self._gap_said = True
