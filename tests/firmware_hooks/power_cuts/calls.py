"""The log of a process that `interpose.c` watched."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

_HEAD = struct.Struct("=4I2Q")
_SOURCE = Path(__file__).with_name("interpose.c")


class Call(IntEnum):
    OPEN = 1
    WRITE = 2
    SYNC = 3
    RENAME = 4
    UNLINK = 5
    MKDIR = 6
    RMDIR = 7
    SYMLINK = 8
    TRUNCATE = 9


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was made."""

    call: Call
    flags: int
    inode: int
    offset: int
    first: bytes
    """a path, or the bytes written"""
    second: bytes
    """where a rename led to, or a symbolic link leads to"""

    @property
    def path(self) -> Path:
        return Path(self.first.decode())


def read(log: Path) -> Iterator[Made]:
    """The calls in a log, in their order."""
    data = log.read_bytes()
    place = 0
    while place < len(data):
        call, first, second, flags, inode, offset = _HEAD.unpack_from(data, place)
        place += _HEAD.size
        middle = place + first
        yield Made(Call(call), flags, inode, offset, data[place:middle], data[middle : middle + second])
        place = middle + second


def build(folder: Path) -> Path:
    """Compile `interpose.c` → the library to preload."""
    library = folder / "interpose.so"
    options = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *options, "-o", library, _SOURCE], check=True)
    return library
