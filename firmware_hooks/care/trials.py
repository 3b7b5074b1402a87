"""Ends the trials of new models, in a thread: telling the server to go back takes as long as loading a model."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from edge_runtime.errors import EdgeError
from edge_runtime.server.logs import EventLog
from firmware_hooks.care.settings import Models
from firmware_hooks.errors import HookError

PAUSE = 5.0
"""seconds between two looks, as `edge-flash model watch` has them"""
STACK = 512 << 10
"""bytes; nothing here goes deep"""

log = EventLog(__name__)


class Trials(threading.Thread):
    """Looks until `stop`."""

    def __init__(self, settings: Models, url: str) -> None:
        threading.stack_size(STACK)
        super().__init__(name="trials", daemon=True)
        self._settings = settings
        self._url = url
        self._over = threading.Event()

    def stop(self) -> None:
        """End; a model that is being rolled back just now is not waited for."""
        self._over.set()

    def run(self) -> None:
        """Look, and sleep."""
        folder = Path(self._settings.folder)
        while not folder.is_dir():
            if self._over.wait(PAUSE):
                return
        # only now: a board without slots does without
        from firmware_hooks.flash.board import Board
        from firmware_hooks.slots.trial import Terms, Trial

        board = Board(folder, Path(self._settings.keys), self._url)
        terms = Terms(requests=self._settings.requests, seconds=self._settings.seconds)
        trials: dict[str, Trial] = {}
        told = ""
        while not self._over.wait(PAUSE):
            try:
                trials = board.trials(terms, trials)
                for name, trial in trials.items():
                    seen = board.judge(board.slots(name), trial, time.monotonic())
                    if seen["outcome"] != "open":
                        write = log.info if seen["outcome"] == "good" else log.warning
                        write("a trial is over", model=name, outcome=seen["outcome"], reason=seen["reason"])
                told = ""
            except (HookError, EdgeError, OSError) as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("trials cannot be watched", reason=told)
