"""How a process and its board are doing, as proc(5) and the kernel's thermal sysfs tell it.

Every figure may be missing (None, or left out): files vanish when a process ends, and drivers say nonsense.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
THERMAL = Path("/sys/class/thermal")

MAX_ZONES = 32
"""thermal zones that are read; boards have 1 to 12"""
MAX_FILE = 1 << 20
"""bytes of a file of /proc or /sys that are read; /proc/stat has the most, ten for each possible interrupt"""
COLDEST, HOTTEST = -60.0, 200.0
"""°C between which a reading is believed; drivers report -273 or 2³¹ where there is no sensor"""

_KIB = 1024
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """What a process uses; None where the kernel does not say."""

    resident_bytes: int | None
    """memory, shared with others or not (VmRSS)"""
    private_bytes: int | None
    """memory that no file stands behind (RssAnon): what the process takes from the others"""
    cpu_seconds: float | None
    """user and system time of all threads"""
    open_descriptors: int | None
    """files, sockets and so on"""
    started: float | None
    """Unix time, seconds"""


def process(pid: int | str = "self", proc: Path = PROC) -> Process:
    """What a process uses; all None once it has ended."""
    folder = proc / str(pid)
    status = _fields(folder / "status")
    # the name, in parentheses, may hold spaces and parentheses of its own; state, the third field, follows it
    stat = _read(folder / "stat").rpartition(")")[2].split()
    user, system, since_boot = (_ticks(stat, place) for place in (14, 15, 22))
    booted = _match(r"^btime (\d{1,18})$", _read(proc / "stat"))
    return Process(
        resident_bytes=_kib(status.get("VmRSS")),
        private_bytes=_kib(status.get("RssAnon")),
        cpu_seconds=None if user is None or system is None else user + system,
        open_descriptors=_entries(folder / "fd"),
        started=None if since_boot is None or booted is None else booted + since_boot,
    )


def temperatures(folder: Path = THERMAL) -> dict[str, float]:
    """°C by the zone's type, with the zone's name behind it where several are of one type."""
    found: dict[str, float] = {}
    for zone in _zones(folder):
        degrees = _match(r"\A\s*(-?\d{1,18})\s*\Z", _read(zone / "temp"))
        if degrees is None or not COLDEST <= degrees / 1000 <= HOTTEST:
            continue
        name = "".join(character for character in _read(zone / "type").strip()[:32] if character.isprintable())
        name = name or zone.name
        found[f"{name} ({zone.name})" if name in found else name] = degrees / 1000
    return found


def _zones(folder: Path) -> Iterator[Path]:
    try:
        names = [name for name in os.listdir(folder) if re.fullmatch(r"thermal_zone\d{1,6}", name)]  # noqa: PTH208
    except OSError:
        return
    yield from (folder / name for name in sorted(names, key=lambda name: int(name[12:]))[:MAX_ZONES])


def _read(file: Path) -> str:
    """The file's text, or nothing where it cannot be read (gone, no permission, a sensor that fails with EIO)."""
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_FILE).decode("utf-8", "replace")
    except OSError:
        return ""


def _fields(file: Path) -> dict[str, str]:
    pairs = (line.partition(":") for line in _read(file).splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _kib(value: str | None) -> int | None:
    found = _match(r"^(\d{1,18}) kB$", value or "")
    return None if found is None else found * _KIB


def _ticks(stat: list[str], field: int) -> float | None:
    """Seconds in a field of /proc/PID/stat, numbered as in proc(5); `stat` begins with the third."""
    text = stat[field - 3] if len(stat) > field - 3 else ""
    found = _match(r"^(\d{1,18})$", text)
    return None if found is None else found / _CLOCK_TICKS


def _entries(folder: Path) -> int | None:
    try:
        # less the one that listing it takes
        return len(os.listdir(folder)) - (folder.parent.name in {"self", str(os.getpid())})  # noqa: PTH208
    except OSError:
        return None


def _match(pattern: str, text: str) -> int | None:
    found = re.search(pattern, text, re.MULTILINE)
    return int(found[1]) if found else None
