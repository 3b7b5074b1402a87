"""How long things take on the wire; docs/serial.md, Transfer."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.serial_link.frames import Terms

BITS_PER_BYTE = 10
"""8N1: a start bit, eight of data, a stop bit"""
HELLO_SIZE = 34
STATE_SIZE = 13
"""bytes on the wire"""
LEAST_HELLO_INTERVAL = 0.3
ALIVE = 1.0
"""seconds of silence after which a waiting client asks"""
LONGEST_BACKOFF = 2.0
"""seconds"""


@dataclass(frozen=True, slots=True)
class Timing:
    """Of one side of a session."""

    byte: float
    """seconds that a byte takes"""
    frame: int
    """bytes of the largest frame that may come: the peer may have begun one just before it is asked"""
    pauses: float
    """seconds, both sides' together"""

    @classmethod
    def of(cls, baud: int, own: Terms, peer: Terms) -> Timing:
        return cls(BITS_PER_BYTE / baud, own.frame, (own.pause + peer.pause) / 1e3)

    def acknowledgement(self, on_wire: int) -> float:
        """Seconds by which so many bytes must have been acknowledged."""
        return self.byte * (on_wire + self.frame + STATE_SIZE) + self.pauses

    def alive(self) -> float:
        """Seconds of silence after which a side that waits asks whether the other is there."""
        return max(ALIVE, 4 * self.acknowledgement(self.frame))


def hello_interval(baud: int) -> float:
    """Seconds between two HELLOs."""
    return max(LEAST_HELLO_INTERVAL, 4 * HELLO_SIZE * BITS_PER_BYTE / baud)
