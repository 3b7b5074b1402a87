"""Serial ports as URLs: pyserial's own, with what the link wants to know beside it.

    /dev/ttyS0    serial:///dev/ttyUSB0?baud=9600    socket://board:5000    spy:///dev/ttyACM0?baud=auto&pause=5

`baud` is a rate or `auto`, `pause` milliseconds and `frame` bytes (docs/serial.md); everything else is pyserial's.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from edge_runtime.errors import InputError
from edge_runtime.serial_link.frames import DEFAULT_FRAME, LARGEST_FRAME, SMALLEST_FRAME

DEFAULT_BAUD = 115_200
DEFAULT_PAUSE = 20
"""milliseconds: what a USB adapter adds (FTDI's latency timer is 16)"""
LONGEST_PAUSE = 60_000
RATES = (115_200, 9_600, 57_600, 38_400, 19_200, 230_400, 460_800, 921_600, 1_000_000)
"""that `baud=auto` tries, in that order"""
_LOWEST_BAUD, _HIGHEST_BAUD = 50, 20_000_000


@dataclass(frozen=True, slots=True)
class SerialUrl:
    """A port, and how to talk there."""

    port: str
    """as pyserial takes it"""
    baud: int | None
    """None: to be found"""
    pause: int
    frame: int

    def __str__(self) -> str:
        return self.port

    @property
    def device(self) -> str | None:
        """The file of the device, where it has one."""
        path = self.port.removeprefix("spy://").partition("?")[0]
        return path if path.startswith("/") else None


def parse(url: str) -> SerialUrl:
    """A URL.

    Raises:
        InputError: it names no port, or a value cannot be used.
    """
    rest = url.removeprefix("serial://")
    port, _, query = rest.partition("?")
    if not port or "\0" in port:
        raise InputError(f"{url!r} names no port; a URL is like serial:///dev/ttyS0?baud=115200 or socket://HOST:PORT")
    ours: dict[str, str] = {}
    theirs: list[tuple[str, str]] = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in ("baud", "pause", "frame"):
            ours[name] = value
        else:
            theirs.append((name, value))
    baud = None if ours.get("baud") == "auto" else _number(url, ours, "baud", DEFAULT_BAUD, _LOWEST_BAUD, _HIGHEST_BAUD)
    pause = _number(url, ours, "pause", DEFAULT_PAUSE, 0, LONGEST_PAUSE)
    frame = _number(url, ours, "frame", DEFAULT_FRAME, SMALLEST_FRAME, LARGEST_FRAME)
    return SerialUrl(f"{port}?{urlencode(theirs)}" if theirs else port, baud, pause, frame)


def _number(url: str, given: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or not least <= int(text) <= most:
        also = " or auto" if name == "baud" else ""
        raise InputError(f"{name} in {url!r} must be {least} to {most}{also}, not {text!r}")
    return int(text)
