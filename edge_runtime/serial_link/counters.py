"""What a link counts; docs/serial.md, Counters."""

from __future__ import annotations

from dataclasses import dataclass, field

ERRORS = ("crc", "cobs", "overflow", "header", "echo", "epoch", "message", "repeat", "timeout", "retry")


@dataclass(slots=True)
class Counters:
    """Totals since they were made; a port that is opened again goes on with the same."""

    bytes_in: int = 0
    bytes_out: int = 0
    frames_in: int = 0
    frames_out: int = 0
    messages_in: int = 0
    messages_out: int = 0
    sessions: int = 0
    reopened: int = 0
    errors: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ERRORS, 0))

    def error(self, name: str) -> None:
        self.errors[name] += 1
