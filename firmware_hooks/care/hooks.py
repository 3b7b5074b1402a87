"""Users' own programs, run when something happens: /etc/edge-runtime/hooks.d/EVENT/*, in the order of their names.

One runs at a time, in a session of its own; what it prints goes where this process prints, to the journal. One that
takes too long is ended with all that it started. Nothing that a hook does reaches the server but through the server's
own protocol.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from edge_runtime.server.logs import EventLog

EVENTS = ("on-ready", "on-degraded", "on-model-switch")
MAX_WAITING = 32
"""hooks; where more are due than can be run, the oldest are left out"""
GRACE = 2.0
"""seconds between SIGTERM and SIGKILL"""
POLL = 0.25
"""seconds between two looks at a hook that runs"""
OUT_OF_MEMORY_PREFERENCE = 800
"""added to its chances when the kernel must end a process for memory"""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LEFT = re.compile(r".*(\.dpkg-[a-z]+|\.bak|\.orig|\.rej|~)")
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME")
"""variables that a hook gets from here: neither Python's nor systemd's"""

log = EventLog(__name__)


class Hooks:
    """The hooks of a folder. `tick` is due every `POLL` while one runs."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._waiting: deque[tuple[Path, dict[str, str]]] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        self._name = ""
        self._end = 0.0
        self._told_to_end = False

    @property
    def busy(self) -> bool:
        return self._process is not None or bool(self._waiting)

    def fire(self, event: str, variables: Mapping[str, str]) -> None:
        """Let the hooks of one of `EVENTS` run after those that are due already."""
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {"EDGE_EVENT": event, **variables}
        for hook in self.of(event):
            if len(self._waiting) >= MAX_WAITING:
                left_out, _ = self._waiting.popleft()
                log.warning("too many hooks are due; one is left out", hook=str(left_out))
            self._waiting.append((hook, environment))

    def of(self, event: str) -> list[Path]:
        """Executable files whose names are made of letters, digits, `.`, `_` and `-`, but for what editors leave."""
        try:
            found = sorted((self._folder / event).iterdir())
        except OSError:
            return []
        return [
            each
            for each in found
            if _NAME.fullmatch(each.name)
            and not _LEFT.fullmatch(each.name)
            and each.is_file()
            and os.access(each, os.X_OK)
        ]

    def tick(self, now: float) -> None:
        """See to the one that runs, and start the next."""
        if self._process is not None and not self._over(now):
            return
        while self._process is None and self._waiting:
            hook, environment = self._waiting.popleft()
            self._start(hook, environment, now)

    def close(self) -> None:
        """End the one that runs, and start no other."""
        self._waiting.clear()
        if self._process is not None:
            self._signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _start(self, hook: Path, environment: dict[str, str], now: float) -> None:
        self._name = f"{hook.parent.name}/{hook.name}"
        try:
            self._process = subprocess.Popen(
                [str(hook)], stdin=subprocess.DEVNULL, env=environment, start_new_session=True, cwd="/"
            )
        except OSError as error:
            log.warning("a hook cannot be run", hook=self._name, reason=error.strerror)
            return
        log.info("hook started", hook=self._name, pid=self._process.pid)
        with suppress(OSError):
            place = Path(f"/proc/{self._process.pid}/oom_score_adj")
            place.write_text(str(OUT_OF_MEMORY_PREFERENCE), encoding="ascii")
        self._end, self._told_to_end = now + self._seconds, False

    def _over(self, now: float) -> bool:
        """Whether it has ended; where its time is up it is told to, and then made to."""
        assert self._process is not None
        status = self._process.poll()
        if status is None:
            if now >= self._end:
                log.warning("a hook takes too long and is ended", hook=self._name, seconds=self._seconds)
                self._signal(signal.SIGKILL if self._told_to_end else signal.SIGTERM)
                self._told_to_end, self._end = True, now + GRACE
            return False
        # what it left behind in its session, and only that
        self._signal(signal.SIGKILL)
        self._process = None
        if status:
            how = f"signal {-status}" if status < 0 else f"status {status}"
            log.warning("a hook failed", hook=self._name, ended=how)
        return True

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with suppress(OSError):
            os.killpg(self._process.pid, number)
