"""The server's log: one line per event on standard error, as text or JSON, for a terminal, a file or the journal.

    configure("info", "text")
    log = EventLog("edge_runtime.server")
    log.warning("line skipped", peer=address, reason=reason)

What a peer sent cannot break a line, fake another, or fill the disk: every value is cleaned and cut, and of each kind
of event only `BURST` lines and then one a second are written. The kind is the event's text: make it a constant, and put
what varies into fields.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import PurePath
from types import TracebackType
from typing import IO, Literal

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
"""what `--log-level` takes"""

MAX_VALUE = 200
"""characters of a value in a line; enough to recognise a message, a path or a key by"""
MAX_EVENT = 500
"""characters of the event's own text, which is ours or a library's"""
MAX_FRAMES = 6
"""places of a traceback, innermost first"""
BURST = 10
"""lines of one kind that are written at once, so that a start or a stop is told in full"""
LINES_PER_SECOND = 1.0
"""of one kind once the burst is used up"""
MAX_KINDS = 256
"""kinds that are told apart. Ours are fewer than a hundred; what comes from a library may hold anything"""

_FIELDS = "edge_fields"
_OVERALL = "events of other kinds"

# sd-daemon(3): syslog's numbers
_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG = 7


class EventLog:
    """Writes events, each with its fields, to a logger of the standard library."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, /, **fields: object) -> None:
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        self._log(logging.ERROR, event, fields)

    def exception(self, event: str, error: BaseException, /, **fields: object) -> None:
        """An error that nobody foresaw, with the places it came through."""
        self._log(logging.ERROR, event, fields, error)

    def _log(self, level: int, event: str, fields: dict[str, object], error: BaseException | None = None) -> None:
        if self._logger.isEnabledFor(level):
            # %: the text is no template
            self._logger.log(level, "%s", event, extra={_FIELDS: fields}, exc_info=error)


def configure(level: str, form: Literal["text", "json"], stream: IO[str] | None = None) -> logging.Handler:
    """Send everything that is logged in this process to `stream` (standard error), instead of where it went before."""
    stream = sys.stderr if stream is None else stream
    handler = _Lines(stream)
    to_journal = is_journal(stream)
    formatter = JsonFormatter(priority=to_journal) if form == "json" else TextFormatter(priority=to_journal)
    handler.setFormatter(formatter)
    handler.addFilter(RateLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    logging.captureWarnings(True)
    return handler


def is_journal(stream: IO[str]) -> bool:
    """Whether the stream goes to journald: $JOURNAL_STREAM names its device and inode (systemd.exec(5))."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        state = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(state.st_dev), str(state.st_ino))


def cleaned(text: str, limit: int = MAX_VALUE) -> str:
    """At most `limit` characters of what a peer sent, fit for a log, with a mark where more was cut off.

    What is not printed (control characters, line ends, bidirectional marks, surrogates) is escaped as in a Python
    string, and so is the backslash.
    """
    left_out = len(text) - limit
    text = text[:limit]
    if not text.isprintable() or "\\" in text:
        text = "".join(map(_escaped, text))
    return f"{text}…(+{left_out})" if left_out > 0 else text


class TextFormatter(logging.Formatter):
    """For people: time, level, event, `field=value`. The journal has time and level of its own."""

    def __init__(self, priority: bool) -> None:
        super().__init__()
        self._priority = priority

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={_quoted(value)}" for name, value in _fields(record).items())
        line = f"{_event(record)}  {fields}" if fields else _event(record)
        if self._priority:
            return f"<{priority(record.levelno)}>{line}"
        return f"{_time(record)} {record.levelname.lower():7} {line}"


class JsonFormatter(logging.Formatter):
    """For programs: an object a line, `time`, `level` and `event` first; ASCII only, so that nothing can be misread."""

    def __init__(self, priority: bool) -> None:
        super().__init__()
        self._priority = priority

    def format(self, record: logging.LogRecord) -> str:
        own = {"time": _time(record), "level": record.levelname.lower(), "event": _event(record)}
        line = json.dumps(own | {name: value for name, value in _fields(record).items() if name not in own})
        return f"<{priority(record.levelno)}>{line}" if self._priority else line


class RateLimit(logging.Filter):
    """Lets `BURST` lines of a kind pass, then `LINES_PER_SECOND`; the next that passes says how many were left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[str, _Allowance] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this one may pass."""
        with self._lock:
            now = self._clock()
            kind = record.getMessage()[:MAX_EVENT]
            if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
                kind = _OVERALL
            allowance = self._kinds.setdefault(kind, _Allowance(now))
            left_out = allowance.take(now)
            if left_out is None:
                return False
        if left_out:
            setattr(record, _FIELDS, {**getattr(record, _FIELDS, {}), "left_out": left_out})
        return True


class _Allowance:
    """A token bucket."""

    __slots__ = ("_left_out", "_since", "_tokens")

    def __init__(self, now: float) -> None:
        self._tokens = float(BURST)
        self._since = now
        self._left_out = 0

    def take(self, now: float) -> int | None:
        """How many were left out before this one; None if this one must be, too."""
        self._tokens = min(BURST, self._tokens + (now - self._since) * LINES_PER_SECOND)
        self._since = now
        if self._tokens < 1:
            self._left_out += 1
            return None
        self._tokens -= 1
        left_out, self._left_out = self._left_out, 0
        return left_out


class _Lines(logging.StreamHandler[IO[str]]):
    """A line that cannot be written is lost: a full disk or a reader that went away must not stop the server."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        pass


def priority(level: int) -> int:
    """Syslog's number for a level of `logging`."""
    return next((number for least, number in _PRIORITIES if level >= least), _DEBUG)


def _event(record: logging.LogRecord) -> str:
    return cleaned(record.getMessage(), MAX_EVENT)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, str | float | None]:
    fields = {name: _value(value) for name, value in getattr(record, _FIELDS, {}).items()}
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        fields["error"] = f"{type(error).__name__}: {cleaned(str(error), MAX_EVENT)}"
        fields["at"] = _places(record.exc_info[2])
    return fields


def _value(value: object) -> str | float | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        value = value[:MAX_VALUE].decode("utf-8", "backslashreplace")
    return cleaned(str(value))


def _quoted(value: str | float | None) -> str:
    if isinstance(value, str) and (not value or not {" ", '"', "="}.isdisjoint(value)):
        return '"' + value.replace('"', '\\"') + '"'
    return "-" if value is None else str(value)


def _places(trace: TracebackType | None) -> str:
    places: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{PurePath(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return " < ".join(places[::-1][:MAX_FRAMES])


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    return character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode("ascii")
