"""How much of their time workers may compute: less where the board is too hot for more (`slow_down`).

Whoever slows the server down must say so again and again: what was said holds for a time and is then forgotten, so that
a program that died, or was stopped, leaves a server at full speed behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_runtime.protocol.limits import FULL_DUTY

LONGEST_REST = 10.0
"""seconds between two jobs of a worker, however long the first one took: what waits has deadlines of seconds"""


class Pace:
    """A duty cycle for all workers, and until when it holds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.reason = ""
        """why it is below full speed"""
        self._clock = clock
        self._duty = FULL_DUTY
        self._until = 0.0

    @property
    def duty(self) -> float:
        """The share of its time that each worker may compute, 1 for all of it."""
        return self._duty if self._until > self._clock() else FULL_DUTY

    @property
    def slowed(self) -> bool:
        return self.duty < FULL_DUTY

    @property
    def seconds_left(self) -> float:
        """Until it is forgotten."""
        return max(0.0, self._until - self._clock())

    def set(self, duty: float, seconds: float, reason: str) -> None:
        """Hold a duty cycle for so long; 1 ends what was held before."""
        self._duty, self.reason = duty, reason
        self._until = self._clock() + (seconds if duty < FULL_DUTY else 0.0)

    def rest(self, busy: float) -> float:
        """Seconds that a worker rests after it computed for `busy` seconds."""
        return min(busy * (1 / self.duty - 1), LONGEST_REST)
