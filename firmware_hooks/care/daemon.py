"""The daemon: looks at the board and the server every few seconds, and does what follows from it."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from boards.detection import detect
from boards.errors import BoardError
from boards.profiles import board as profile_of
from boards.schema import Board
from boards.system import System
from edge_runtime.server.logs import EventLog
from edge_runtime.server.notify import Notifier
from firmware_hooks.care import governor as governing
from firmware_hooks.care.governor import Governor
from firmware_hooks.care.hooks import POLL, Hooks
from firmware_hooks.care.led import Led
from firmware_hooks.care.led import find as find_led
from firmware_hooks.care.power import SUPPLY, Power
from firmware_hooks.care.settings import AUTO, OFF, Settings
from firmware_hooks.care.trials import Trials
from firmware_hooks.care.view import DEGRADED, FAILED, READY, STARTING, Seen, View

ORDER_SECONDS = 15.0
"""that an order to slow down holds; it is repeated every `RENEWAL`, and forgotten if this process ends"""
RENEWAL = 5.0
HEAT_PERIOD, COOL_PERIOD = 1.0, 5.0
"""seconds between two readings of the temperature: near the limit, and elsewhere"""
NEAR = 15.0
"""°C below where slowing begins that count as near: what a small SoC rises by in seconds under full load"""
LOOK_PERIOD, STEADY_PERIOD = 1.0, 5.0
"""seconds between two looks at the server: while it is not ready, and when it is"""
POWER_PERIOD = 5.0
SETTLED = 5.0
"""seconds that a state must last before hooks are told of it"""

log = EventLog(__name__)


class Care:
    """Everything that is looked after, each thing when it is due."""

    def __init__(self, settings: Settings, system: System, board: Board | None, run: Path | None) -> None:
        """Look for what is there.

        Args:
            settings: what to do.
            system: whose /sys and /proc.
            board: its profile, if there is one.
            run: a folder for what must not be forgotten when this process is started anew.
        """
        now = time.monotonic()
        self._settings = settings
        self._system = system
        self._board = board
        self._view = View(settings.server, system, now)
        self._hooks = Hooks(Path(settings.hooks.folder), settings.hooks.seconds)
        self._power = Power(system, board) if settings.power.enabled else None
        self._governor = self._make_governor()
        self._led = self._take_led(run)
        self._trials = Trials(settings.models, settings.server.url) if settings.models.watch else None
        self._due: dict[Callable[[float], float | None], float] = {self._look: now}
        if self._power is not None:
            self._due[self._look_at_power] = now
        if self._governor is not None:
            self._due[self._govern] = now
        self._seen = Seen(STARTING)
        self._state = self._told_state = ""
        self._since = now
        self._models: dict[str, str] | None = None
        self._degrees: float | None = None
        self._ordered, self._ordered_at = 1.0, 0.0
        self._order_failed = ""
        self._was_blind = False

    def start(self) -> None:
        """What runs beside."""
        if self._trials is not None:
            self._trials.start()

    def step(self, now: float) -> float:
        """Do what is due → when to come again."""
        for what, when in list(self._due.items()):
            if when <= now:
                again = None
                try:
                    again = what(now)
                except Exception as error:  # one thing that fails must not keep the others from being done
                    log.exception("care failed", error, at=what.__name__)
                self._due[what] = now + (COOL_PERIOD if again is None else again)
        self._judge(now)
        self._hooks.tick(now)
        nexts = [*self._due.values()]
        if self._hooks.busy:
            nexts.append(now + POLL)
        if self._led is not None:
            try:
                blink = self._led.tick(now)
            except OSError as error:
                log.warning("the LED is lost", reason=error.strerror)
                self._led = None
            else:
                nexts += [] if blink is None else [blink]
        return min(nexts)

    def status(self) -> str:
        """One line for `systemctl status`."""
        heat = "" if self._degrees is None else f"; {self._degrees:.0f} °C"
        pace = "" if self._ordered == 1 else f"; slowed to {self._ordered:.0%}"
        reasons = f" ({'; '.join(self._reasons())})" if self._state in (DEGRADED, FAILED) else ""
        return f"the server is {self._state}{reasons}{heat}{pace}"

    def close(self) -> None:
        """Let the server go at full speed, the LED have its trigger again, and no hook live on."""
        if self._trials is not None:
            self._trials.stop()
        self._hooks.close()
        if self._ordered < 1:
            self._view.slow_down(1.0, ORDER_SECONDS, "care has ended")
        if self._led is not None:
            self._led.close()
        self._view.close()

    def _make_governor(self) -> Governor | None:
        settings, profile = self._settings.thermal, self._board.thermal if self._board else None
        if not settings.enabled:
            return None
        limit = governing.limit(self._system, profile, settings)
        if limit is None or governing.hottest(self._system, profile) is None:
            missing = "no sensor" if limit is not None else "no limit"
            log.info("the temperature is not governed", reason=f"{missing} is known; [thermal] limit sets one")
            return None
        governor = Governor(settings, limit)
        log.info("the temperature is governed", from_celsius=governor.begins, limit_celsius=limit)
        return governor

    def _take_led(self, run: Path | None) -> Led | None:
        name = self._settings.led.name
        if name == AUTO:
            name = self._board.led.name if self._board and self._board.led else OFF
        if name == OFF:
            return None
        folder = find_led(self._system, name)
        if folder is None:
            log.warning("there is no such LED", name=name)
            return None
        try:
            return Led(folder, run / "led-trigger" if run is not None else None)
        except OSError as error:
            log.warning("the LED cannot be used", name=name, reason=error.strerror)
            return None

    def _look(self, now: float) -> float:
        self._seen = self._view.look(now)
        models = self._seen.models
        if self._seen.state in (READY, DEGRADED) and models:
            for name, digest in models.items():
                before = None if self._models is None else self._models.get(name)
                if before not in (None, digest):
                    log.info("another model is served", model=name, digest=digest)
                    self._hooks.fire(
                        "on-model-switch",
                        {
                            "EDGE_URL": self._settings.server.url,
                            "EDGE_MODEL": name,
                            "EDGE_DIGEST": digest,
                            "EDGE_PREVIOUS_DIGEST": before or "",
                        },
                    )
            self._models = models
        return STEADY_PERIOD if self._seen.state == READY == self._state else LOOK_PERIOD

    def _look_at_power(self, _: float) -> float:
        assert self._power is not None
        for change in self._power.look():
            if change.began:
                log.warning("the CPU is slowed down or in danger", what=change.what, cause=change.cause)
            elif change.cause:
                log.warning("since boot it happened", what=change.what, cause=change.cause)
            else:
                log.info("it is over", what=change.what)
        return POWER_PERIOD

    def _govern(self, now: float) -> float:
        governor = self._governor
        assert governor is not None
        self._degrees = governing.hottest(self._system, self._board.thermal if self._board else None)
        duty = governor.read(self._degrees, now)
        blind = governor.blind(now)
        if blind != self._was_blind:
            self._was_blind = blind
            if blind:
                log.warning("the temperature sensor does not answer; the server is slowed down to be safe", duty=duty)
            else:
                log.info("the temperature sensor answers again")
        reason = "the temperature sensor does not answer" if blind else f"{self._degrees or 0:.0f} °C"
        if duty != self._ordered or (duty < 1 and now - self._ordered_at >= RENEWAL):
            self._order(duty, reason, now)
        if self._degrees is None or duty < 1 or self._degrees > governor.begins - NEAR:
            return HEAT_PERIOD
        return COOL_PERIOD

    def _order(self, duty: float, reason: str, now: float) -> None:
        failed = self._view.slow_down(duty, ORDER_SECONDS, reason)
        if failed is not None:
            if failed != self._order_failed:
                log.warning("the server was not told how fast it may be", reason=failed)
            self._order_failed = failed
            return
        self._order_failed = ""
        if duty < self._ordered == 1:
            log.warning("the server is slowed down", duty=duty, reason=reason)
        elif duty == 1:
            log.info("the server goes at full speed again", reason=reason)
        self._ordered, self._ordered_at = duty, now

    def _reasons(self) -> list[str]:
        found = list(self._seen.reasons)
        if self._ordered < 1:
            found.append(f"slowed to {self._ordered:.0%} for its temperature")
        if self._power is not None and self._power.starved:
            found.append(SUPPLY)
        return found

    def _judge(self, now: float) -> None:
        """What state the service is in, for the LED at once and for hooks when it has lasted."""
        state = self._seen.state
        if state == READY and self._reasons():
            state = DEGRADED
        if state != self._state:
            self._state, self._since = state, now
            if self._led is not None:
                with suppress(OSError):
                    self._led.show(state, now)
        if state == self._told_state or state == STARTING or (state != READY and now - self._since < SETTLED):
            return
        before, self._told_state = self._told_state, state
        reasons = "; ".join(self._reasons())
        (log.info if state == READY else log.warning)("the service is", state=state, reasons=reasons)
        if before == state:
            return
        self._hooks.fire(
            "on-ready" if state == READY else "on-degraded",
            {
                "EDGE_URL": self._settings.server.url,
                "EDGE_STATE": state,
                "EDGE_PREVIOUS_STATE": before or STARTING,
                "EDGE_REASONS": reasons,
            },
        )


def run(settings: Settings, system: System, board: str | None = None) -> None:
    """Care until a signal says to stop.

    Args:
        settings: what to do.
        system: whose /sys and /proc.
        board: a profile's name; found by itself if left out.
    """
    notifier = Notifier.from_environment()
    care = Care(settings, system, _profile(system, board), _folder())
    woken, wake = socket.socketpair()
    with woken, wake:
        for end in (woken, wake):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        poll = select.poll()
        poll.register(woken, select.POLLIN)
        status, fed = "", 0.0
        most = min(COOL_PERIOD, notifier.watchdog_interval or COOL_PERIOD)
        try:
            care.start()
            while True:
                now = time.monotonic()
                again = care.step(now)
                if care.status() != status:
                    status = care.status()
                    notifier.ready(status)
                if now - fed >= (notifier.watchdog_interval or COOL_PERIOD) / 2:
                    notifier.watchdog()
                    fed = now
                if poll.poll(1e3 * min(max(0.0, again - time.monotonic()), most)):
                    return
        finally:
            notifier.stopping()
            care.close()
            notifier.close()
            signal.set_wakeup_fd(-1)


def _profile(system: System, identity: str | None) -> Board | None:
    try:
        found = profile_of(identity) if identity is not None else detect(system).board
    except BoardError as error:
        log.warning("no profile of this board", reason=str(error))
        return None
    log.info("board", name=found.name)
    return found


def _folder() -> Path | None:
    """What the service manager made for us."""
    named = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(named) if named else None
