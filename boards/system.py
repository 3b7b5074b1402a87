"""What the kernel tells of this machine, in /proc and /sys, under a root folder that tests may choose."""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MAX_SIZE = 1 << 20
"""bytes; nothing that is read here is a tenth as long"""


@dataclass(frozen=True, slots=True)
class System:
    """A machine's files, and what uname(2) says of it."""

    root: Path = Path("/")
    machine: str = field(default_factory=platform.machine)
    word: int = struct.calcsize("P")
    """bytes of this process's pointers: 4 in a 32-bit system, whatever the kernel is"""

    def path(self, place: str) -> Path:
        """Where `place`, which begins with a slash, is under the root."""
        return self.root / place.lstrip("/")

    def read(self, place: str) -> str:
        """What a file says, without its end of line or end of string; nothing if it cannot be read."""
        return self.text(self.path(place))

    def number(self, place: str) -> int | None:
        """The whole number in a file, decimal; None where there is none."""
        return as_number(self.read(place))

    def glob(self, pattern: str) -> Iterator[Path]:
        """The files that are there, sorted."""
        yield from sorted(self.root.glob(pattern.lstrip("/")))

    @staticmethod
    def text(path: Path) -> str:
        """As `read`, of a path that `glob` gave."""
        try:
            with path.open("rb") as file:
                return file.read(MAX_SIZE).decode("utf-8", "replace").strip("\0\n ")
        except OSError:
            return ""

    @property
    def model(self) -> str:
        """The device tree's model, or nothing."""
        return self.read("/proc/device-tree/model")

    @property
    def compatible(self) -> tuple[str, ...]:
        """The device tree's root compatible strings, most particular first."""
        return tuple(each for each in self.read("/proc/device-tree/compatible").split("\0") if each)

    @property
    def memory_kb(self) -> int | None:
        """MemTotal."""
        for line in self.read("/proc/meminfo").splitlines():
            if line.startswith("MemTotal:"):
                return as_number(line.split()[1])
        return None

    @property
    def command_line(self) -> tuple[str, ...]:
        """The kernel's."""
        return tuple(self.read("/proc/cmdline").split())


def as_number(text: str) -> int | None:
    """A decimal number, or None."""
    try:
        return int(text)
    except ValueError:
        return None
