"""A link at a port: frames go out no sooner than the wire can take them."""

from __future__ import annotations

from edge_runtime.serial_link.link import Link
from edge_runtime.serial_link.ports import Port
from edge_runtime.serial_link.timing import BITS_PER_BYTE

AHEAD = 512
"""bytes in the driver: two frames keep the wire busy, and what is there cannot be taken back when one before it is
lost"""
AT_ONCE = 1024
"""bytes handed over in one call"""


class Flow:
    """Whoever waits for the port calls `readable` and `pump`."""

    def __init__(self, port: Port, link: Link) -> None:
        self.port = port
        self._link = link
        self._rest = b""
        self.blocked = False
        """the driver takes no more for now: `pump` when it does"""

    def readable(self, now: float) -> None:
        """Something has come. Raises PortError."""
        data = self.port.read()
        if data:
            self._link.receive(data, now)

    def pump(self, now: float) -> float | None:
        """Send what may be sent → when to come again. Raises PortError."""
        self.blocked = False
        while True:
            room = AHEAD - self.port.backlog()
            if room <= 0:
                return now + max(-room, AHEAD // 4) * BITS_PER_BYTE / self._link.baud
            while len(self._rest) < AT_ONCE:
                frame = self._link.poll(now)
                if not frame:
                    break
                self._rest += frame
                room -= len(frame)
                if room <= 0:
                    break
            if not self._rest:
                return self._link.due(now)
            written = self.port.write(self._rest)
            self._rest = self._rest[written:]
            if self._rest:
                self.blocked = True
                return self._link.due(now)
