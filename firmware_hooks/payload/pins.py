"""What a lock file holds: one wheel a line, of one version, with one hash."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from firmware_hooks.errors import HookError
from firmware_hooks.payload.target import Target

_LINE = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ]+) --hash=sha256:(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pin:
    """One wheel."""

    name: str
    """of the distribution, normalised (PEP 503)"""
    version: str
    sha256: str
    """of the wheel's file"""


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(target: Target) -> list[Pin]:
    """The wheels that a target gets.

    Raises:
        HookError: the lock file holds something else.
    """
    found = []
    for line in lines(target.lock):
        match = _LINE.fullmatch(line)
        if match is None:
            raise HookError(f"{target.lock} holds {line!r}; make it anew with python -m firmware_hooks.payload.lock")
        found.append(Pin(normalised(match["name"]), match["version"], match["sha256"]))
    return found


def lines(path: Path) -> list[str]:
    """Those of a file that say something.

    Raises:
        HookError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise HookError(f"{path} cannot be read: {error.strerror}") from None
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
