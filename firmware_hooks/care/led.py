"""A light that shows how the service does, through /sys/class/leds.

The kernel's own way (Documentation/leds/leds-class.rst) to blink makes new files, which only root may write to; so this
process switches `brightness` itself, and sleeps all the time where the light is steady.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from boards.system import System

PATTERNS: dict[str, tuple[float, ...]] = {
    "starting": (0.5, 0.5),
    "ready": (),
    "degraded": (0.15, 0.25, 0.15, 1.45),
    "failed": (0.1, 0.1),
}
"""state → seconds on, off, on, off …, over and over; nothing: steadily on"""


class Led:
    """One LED, taken from its trigger until `close`."""

    def __init__(self, folder: Path, remembered: Path | None = None) -> None:
        """Take it.

        Args:
            folder: in /sys/class/leds.
            remembered: file for its own trigger, so that it is not forgotten if this process is killed.

        Raises:
            OSError: it cannot be switched.
        """
        self._folder = folder
        self._remembered = remembered
        self._trigger = self._own_trigger()
        (folder / "trigger").write_text("none", encoding="ascii")
        self._state = ""
        self._place, self._next = 0, 0.0
        self._switch(False)

    def show(self, state: str, now: float) -> None:
        """Show one of `PATTERNS` from `now` on."""
        if state != self._state:
            self._state, self._place, self._next = state, 0, now
            self._switch(True)
            if pattern := PATTERNS[state]:
                self._next = now + pattern[0]

    def tick(self, now: float) -> float | None:
        """Switch it if it is time → when it will be time again; None for a steady light."""
        pattern = PATTERNS.get(self._state, ())
        if not pattern:
            return None
        while self._next <= now:
            self._place = (self._place + 1) % len(pattern)
            self._next += pattern[self._place]
            if self._next > now:
                self._switch(self._place % 2 == 0)
            elif now - self._next > sum(pattern):
                # the process was asleep for long
                self._next = now
        return self._next

    def close(self) -> None:
        """Give it back to its own trigger."""
        with suppress(OSError):
            self._switch(False)
            (self._folder / "trigger").write_text(self._trigger, encoding="ascii")
            if self._remembered is not None:
                self._remembered.unlink(missing_ok=True)

    def _own_trigger(self) -> str:
        """The one in brackets; or that of before a predecessor that could not give the LED back."""
        listed = (self._folder / "trigger").read_text(encoding="ascii")
        now = next((word[1:-1] for word in listed.split() if word.startswith("[")), "none")
        if self._remembered is None:
            return now
        with suppress(OSError):
            if now == "none":
                return self._remembered.read_text(encoding="ascii").strip() or now
        with suppress(OSError):
            self._remembered.write_text(now, encoding="ascii")
        return now

    def _switch(self, on: bool) -> None:
        (self._folder / "brightness").write_text("1" if on else "0", encoding="ascii")


def find(system: System, name: str) -> Path | None:
    """An LED's folder, if it is there."""
    folder = system.path(f"/sys/class/leds/{name}")
    return folder if (folder / "brightness").exists() else None
