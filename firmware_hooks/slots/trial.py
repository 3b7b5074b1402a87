"""Whether a model on trial is good, as far as a running server can tell.

It is good when it has answered enough requests, or has been served long enough, without what makes it bad: workers
that end, requests that fail inside the server, or no worker at all for a while. A model that brings the whole server
down is not seen from here: `Slots.start` counts the server's starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from firmware_hooks.slots.serving import Reading


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a model on trial."""

    requests: int = 20
    """answered well, after which it is good"""
    seconds: float = 600.0
    """served, after which it is good though nobody asked: the server's own self-tests, two a minute, found nothing"""
    ends: int = 3
    """of workers, at which it is bad: one may be the kernel's, short of memory for other reasons"""
    failures: int = 3
    """of requests, at which it is bad: a client that is unlucky twice says little"""
    missing: float = 60.0
    """seconds without a worker, at which it is bad: by then four were started in vain"""


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: Literal["good", "bad", "open"]
    reason: str = ""


class Trial:
    """One model's trial, reading by reading."""

    def __init__(self, digest: str, terms: Terms) -> None:
        """`digest`: SHA-256 of the manifest of the model that is meant."""
        self.digest = digest
        self._terms = terms
        self._last: Reading | None = None
        self._served_since = self._worker_at = 0.0
        self._answered = self._failed = self._ends = 0.0

    def judge(self, reading: Reading | None, now: float) -> Verdict:
        """What to make of the model after one more reading, taken at `now` (seconds on any steady clock)."""
        if reading is None or reading.digest != self.digest:
            # nobody serves it, so nothing is learnt of it; the clock begins anew
            self._last = None
            return Verdict("open", "no server serves it")
        if self._last is None:
            self._served_since = self._worker_at = now
        else:
            before = self._last if self._last.started == reading.started else None
            self._answered += reading.answered - (before.answered if before else 0)
            self._failed += reading.failed - (before.failed if before else 0)
            self._ends += reading.ends - (before.ends if before else 0)
        self._last = reading
        if reading.workers:
            self._worker_at = now
        return self._verdict(now)

    def _verdict(self, now: float) -> Verdict:
        terms = self._terms
        if self._ends >= terms.ends:
            return Verdict("bad", f"{self._ends:.0f} of its workers ended")
        if self._failed >= terms.failures:
            return Verdict("bad", f"the server failed at {self._failed:.0f} requests")
        if now - self._worker_at >= terms.missing:
            return Verdict("bad", f"no worker was ready for {terms.missing:g} s")
        if self._answered >= terms.requests:
            return Verdict("good", f"it answered {self._answered:.0f} requests")
        if now - self._served_since >= terms.seconds:
            return Verdict("good", f"it was served for {terms.seconds:g} s")
        return Verdict("open", f"{self._answered:.0f} of {terms.requests} requests answered")
