"""How the server does, as seen from outside: asked over its protocol, and by whether its unit has processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from boards.system import System
from edge_runtime.client import Client
from edge_runtime.errors import EdgeError, Forbidden
from firmware_hooks.care.settings import Server

TIMEOUT = 3.0
"""seconds for an answer; it is given at once, whatever else the server does"""
ABSENT_AFTER = 10.0
"""seconds without a server until that counts: it is being started anew, or the board has only just come up"""
SILENT_AFTER = 60.0
"""seconds that a server whose processes are there may be silent: it starts, and its models are verified before"""

STARTING, READY, DEGRADED, FAILED = "starting", "ready", "degraded", "failed"


@dataclass(frozen=True, slots=True)
class Seen:
    state: str
    """starting, ready, degraded or failed"""
    reasons: tuple[str, ...] = ()
    models: dict[str, str] = field(default_factory=dict)
    """name → digest, of what is served"""


class View:
    """Looks at the server, over one connection."""

    def __init__(self, settings: Server, system: System, now: float) -> None:
        self._unit = settings.unit
        self._system = system
        self._client = Client(settings.url, timeout=TIMEOUT)
        self._answered = now
        """when it last did; the beginning counts as an answer"""

    def look(self, now: float) -> Seen:
        """How it does now."""
        there = self._there()
        # connecting to the socket of a stopped service would start it
        health = None if there is False else self._health()
        if health is None:
            silent = now - self._answered
            if silent < (ABSENT_AFTER if there is False else SILENT_AFTER):
                return Seen(STARTING, ("no answer yet",))
            return Seen(FAILED, ("the server does not run" if there is False else "the server does not answer",))
        self._answered = now
        state = health["state"]
        models = {str(each["name"]): str(each["digest"]) for each in health["models"]}
        reasons = tuple(map(str, health["reasons"]))
        return Seen(state if state in (READY, DEGRADED) else STARTING, reasons, models)

    def slow_down(self, duty: float, seconds: float, reason: str) -> str | None:
        """Tell the server how fast it may be; what went wrong, if it was not told."""
        if self._there() is False:
            return "the server does not run"
        try:
            self._client.slow_down(duty, seconds, reason)
        except Forbidden:
            return "the server takes orders only from root and from its own user; run this as one of them"
        except EdgeError as error:
            return str(error)
        return None

    def close(self) -> None:
        self._client.close()

    def _health(self) -> dict[str, Any] | None:
        try:
            found = self._client.health()
        except EdgeError:
            return None
        return found if {"state", "reasons", "models"} <= set(found) else None

    def _there(self) -> bool | None:
        """Whether the unit has processes; None where no service manager runs it."""
        slice_ = self._system.path("/sys/fs/cgroup/system.slice")
        if not self._unit or not slice_.is_dir():
            return None
        return "populated 1" in self._system.read(f"/sys/fs/cgroup/system.slice/{self._unit}/cgroup.events")
