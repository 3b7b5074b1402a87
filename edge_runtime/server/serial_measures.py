"""What serial ports count, as metrics; docs/serial.md, Counters."""

from __future__ import annotations

from edge_runtime.serial_link.counters import Counters
from edge_runtime.server.metrics import Registry


class SerialMeasures:
    """Of all ports of a server."""

    def __init__(self, registry: Registry) -> None:
        port, both = ("port",), ("port", "direction")
        self._bytes = registry.counter("edge_serial_bytes_total", "Bytes on the wire.", both)
        self._frames = registry.counter("edge_serial_frames_total", "Good frames in, frames out.", both)
        self._messages = registry.counter("edge_serial_messages_total", "Complete messages.", both)
        self._errors = registry.counter(
            "edge_serial_errors_total", "What went wrong on the wire, and was put right.", ("port", "error")
        )
        self._sessions = registry.counter("edge_serial_sessions_total", "HELLOs that began a session.", port)
        self._reopened = registry.counter(
            "edge_serial_reopened_total", "Times that the port was lost and found again.", port
        )
        self._up = registry.gauge("edge_serial_up", "1 while the port is open.", port)

    def follow(self, port: str, counters: Counters, up: bool) -> None:
        """Take over what a port has counted."""
        for family, inward, outward in (
            (self._bytes, counters.bytes_in, counters.bytes_out),
            (self._frames, counters.frames_in, counters.frames_out),
            (self._messages, counters.messages_in, counters.messages_out),
        ):
            family.labels(port, "in").follow(inward)
            family.labels(port, "out").follow(outward)
        for error, count in counters.errors.items():
            self._errors.labels(port, error).follow(count)
        self._sessions.labels(port).follow(counters.sessions)
        self._reopened.labels(port).follow(counters.reopened)
        self._up.labels(port).set(up)
