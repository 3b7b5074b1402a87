"""A full-screen view on a plain terminal, which is as it was when the view ends."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

_ENTER = "\x1b[?1049h\x1b[?25l"
"""alternate screen, no cursor (xterm's control sequences, which every terminal emulator and the Linux console take)"""
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"

_QUIT = b"qQ\x03\x04"
"""keys that end the view: q, Ctrl-C, Ctrl-D"""


class Screen:
    """The terminal, while `full_screen` lasts."""

    def draw(self, lines: Sequence[str]) -> None:
        """Show lines as far as they fit; the first, and those that begin with a tab (not shown), stand out."""
        columns, rows = shutil.get_terminal_size()
        shown = []
        for place, line in enumerate(lines[:rows]):
            text = printable(line.removeprefix("\t"))[:columns]
            shown.append(f"{_BOLD}{text}{_PLAIN}" if place == 0 or line.startswith("\t") else text)
        _write(_HOME + f"{_REST_OF_LINE}\n".join(shown) + _REST_OF_LINE + _REST_OF_SCREEN)

    def wait(self, seconds: float) -> bool:
        """Wait; false if the user wants to leave."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not select.select([sys.stdin], [], [], left)[0]:
                break
            keys = os.read(sys.stdin.fileno(), 64)
            if not keys or any(key in _QUIT for key in keys):
                return False
        return True


@contextlib.contextmanager
def full_screen() -> Iterator[Screen]:
    """Take the terminal, and give it back however the block ends: also by a signal, and while it is suspended.

    SIGTERM and SIGHUP end the process with 128 and their number as its status.
    """
    descriptor = sys.stdin.fileno()
    settings = termios.tcgetattr(descriptor)

    def enter() -> None:
        tty.setcbreak(descriptor)
        _write(_ENTER)

    def leave() -> None:
        _write(_LEAVE)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, settings)

    def ended(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    def suspended(_: int, __: FrameType | None) -> None:
        leave()
        # SIGSTOP does what SIGTSTP would have done; the next line runs when the process is continued
        os.kill(os.getpid(), signal.SIGSTOP)
        enter()

    with _handlers({signal.SIGTERM: ended, signal.SIGHUP: ended, signal.SIGTSTP: suspended}):
        enter()
        try:
            yield Screen()
        finally:
            leave()


def is_terminal() -> bool:
    """Whether there is a terminal to draw on and to take keys from."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def printable(text: str) -> str:
    """Text from elsewhere without anything that a terminal would obey."""
    return "".join(character if character.isprintable() else "�" for character in text)


@contextlib.contextmanager
def _handlers(wanted: dict[signal.Signals, Callable[[int, FrameType | None], Any]]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write(text: str) -> None:
    # A terminal that has gone takes nothing any more; the end of the process must not fail over it.
    with contextlib.suppress(OSError):
        sys.stdout.write(text)
        sys.stdout.flush()
