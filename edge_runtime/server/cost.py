"""How long a request will take, from how long the last ones took."""

from __future__ import annotations

_MEMORY = 0.98
"""weight of what was known before, at each new observation: the last fifty or so count"""
_FIRST_GUESS = 0.01
"""seconds, before anything was observed"""


class Cost:
    """Seconds of a request by its characters: a straight line, fitted by least squares whose weights fade."""

    def __init__(self) -> None:
        self._weight = self._x = self._y = self._xx = self._xy = 0.0
        self._base, self._slope = _FIRST_GUESS, 0.0
        self.mean = _FIRST_GUESS
        """seconds of a typical request"""

    def observe(self, characters: int, seconds: float) -> None:
        """A request of so many characters took so long."""
        self._weight = _MEMORY * self._weight + 1
        self._x = _MEMORY * self._x + characters
        self._y = _MEMORY * self._y + seconds
        self._xx = _MEMORY * self._xx + characters * characters
        self._xy = _MEMORY * self._xy + characters * seconds
        mean_x, self.mean = self._x / self._weight, self._y / self._weight
        variance = self._xx / self._weight - mean_x * mean_x
        covariance = self._xy / self._weight - mean_x * self.mean
        # a longer text never costs less, and no text less than nothing
        slope = covariance / variance if variance > 1.0 else 0.0
        self._slope = min(max(slope, 0.0), self.mean / mean_x if mean_x > 0 else 0.0)
        self._base = self.mean - self._slope * mean_x

    def estimate(self, characters: int) -> float:
        """Seconds."""
        return self._base + self._slope * characters
