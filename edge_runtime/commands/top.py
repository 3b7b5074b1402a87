"""`edge-runtime top`: what a running server is doing."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from edge_runtime.client import Client
from edge_runtime.commands import terminal
from edge_runtime.commands.call import Place
from edge_runtime.commands.reading import Look, Outcome, Reading, Served, between
from edge_runtime.errors import EdgeError

_MODELS, _OUTCOMES = 5, 10
"""rows of each table; with the rest they fill the 24 lines of a small terminal"""
_COLUMNS = 79
"""of an error that takes several lines"""
_NAME = 24
"""characters of a model's name"""


def watch(server: Place, interval: float, once: bool, dump: Callable[[Any], str] | None) -> None:
    """Show a server's readings until the user leaves, or one.

    Args:
        server: where it is.
        interval: seconds between two readings.
        once: only one reading, of all the time since the server was started.
        dump: writes JSON; None for people.

    Raises:
        EdgeError: the first reading cannot be taken. Later ones are tried until they can.
    """
    with server.client() as client, suppress(KeyboardInterrupt):
        first = Look.take(client, time.monotonic())
        if once:
            reading = between(None, first)
            lines = [terminal.printable(each.removeprefix("\t")) for each in page(server.url, reading)]
            print(dump(reading.to_json()) if dump else "\n".join(lines))
        elif dump is None and terminal.is_terminal():
            _fill_screen(client, server.url, first, interval)
        else:
            _print_lines(client, first, interval, dump)


def page(url: str, reading: Reading) -> list[str]:
    """A reading as lines of about 80 characters; headings begin with a tab."""
    over = f"{reading.seconds:.1f} s" if reading.seconds < reading.uptime_s else "since its start"
    rates = f"windows {_rate(reading.windows_per_s)}  ({over})"
    connected = f"connections {reading.connections} (new {_rate(reading.connections_per_s)})"
    memory = f"memory {_number(reading.resident_mb)} MB, private {_number(reading.private_mb)} MB"
    warm = "".join(f"  {zone} {degrees:.0f} °C" for zone, degrees in reading.temperatures.items())
    return [
        f"{reading.state}  up {_duration(reading.uptime_s)}  {url}",
        "; ".join([*reading.reasons, *_slowed(reading)]),
        f"requests {_rate(reading.requests_per_s)}  failed {_rate(reading.failures_per_s)}  {rates}",
        f"queue {reading.queued}  {connected}  streams {reading.streams}",
        f"cpu {_number(reading.cpu_percent)} %  {memory}{warm}",
        "",
        f"\t{'model':<{_NAME}}{'req/s':>8}{'p50 ms':>8}{'p95 ms':>8}{'p99 ms':>8}{'queued':>8}{'infer ms':>9}",
        *map(_served, reading.models[:_MODELS]),
        "",
        f"\t{'model':<{_NAME}}{'operation':<16}{'outcome':<18}{'per s':>8}{'total':>12}",
        *map(_outcome, reading.outcomes[:_OUTCOMES]),
    ]


def line(reading: Reading) -> str:
    """A reading in one line."""
    busiest = max(reading.models, key=lambda each: each.requests_per_s, default=None)
    latency = [busiest.p50_ms, busiest.p95_ms, busiest.p99_ms] if busiest else [None] * 3
    warm = "".join(f"  {degrees:.0f} °C" for degrees in reading.temperatures.values())
    slowed = f"  pace {reading.pace:.0%}" if reading.pace < 1 else ""
    return (
        f"{time.strftime('%H:%M:%S')}  {reading.state}  {_rate(reading.requests_per_s)}  "
        f"failed {_rate(reading.failures_per_s)}  p50 p95 p99 {' '.join(map(_number, latency))} ms  "
        f"queue {reading.queued}  connections {reading.connections}  streams {reading.streams}  "
        f"cpu {_number(reading.cpu_percent)} %  {_number(reading.resident_mb)} MB{warm}{slowed}"
    )


def _fill_screen(client: Client, url: str, first: Look, interval: float) -> None:
    with terminal.full_screen() as screen:
        shown: Sequence[str] = page(url, between(None, first))
        screen.draw(shown)
        readings = _readings(client, first)
        while screen.wait(interval):
            reading = next(readings)
            if isinstance(reading, EdgeError):
                # the last reading stays below what is the matter now
                screen.draw([f"no answer  {url}", *textwrap.wrap(str(reading), _COLUMNS), *shown[1:]])
            else:
                shown = page(url, reading)
                screen.draw(shown)


def _print_lines(client: Client, first: Look, interval: float, dump: Callable[[Any], str] | None) -> None:
    for reading in _readings(client, first):
        if isinstance(reading, EdgeError):
            print(dump({"error": str(reading)}) if dump else f"{time.strftime('%H:%M:%S')}  {reading}", flush=True)
        else:
            print(dump(reading.to_json()) if dump else terminal.printable(line(reading)), flush=True)
        time.sleep(interval)


def _readings(client: Client, first: Look) -> Iterator[Reading | EdgeError]:
    """A reading each time it is asked for one, or why there is none."""
    before = first
    while True:
        try:
            now = Look.take(client, time.monotonic())
            yield between(before, now)
            before = now
        except EdgeError as error:
            yield error


def _slowed(reading: Reading) -> list[str]:
    why = f" ({reading.slowed_for})" if reading.slowed_for else ""
    return [f"at a pace of {reading.pace:.0%}{why}"] if reading.pace < 1 else []


def _served(each: Served) -> str:
    times = "".join(f"{_number(value):>8}" for value in (each.p50_ms, each.p95_ms, each.p99_ms))
    name = f"{each.model[: _NAME - 1]:<{_NAME}}"
    return f"{name}{each.requests_per_s:>8.1f}{times}{each.queued:>8}{_number(each.infer_ms):>9}"


def _outcome(each: Outcome) -> str:
    name = f"{each.model[: _NAME - 1]:<{_NAME}}"
    return f"{name}{each.op[:15]:<16}{each.outcome[:17]:<18}{each.per_s:>8.1f}{each.total:>12}"


def _rate(value: float) -> str:
    return f"{value:.1f}/s"


def _number(value: float | None) -> str:
    """With as many digits as say something."""
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _duration(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours:02}:{minutes:02}:{left:02}"
