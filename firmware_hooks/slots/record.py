"""What is known of a model's two slots: which one is active, what each holds, how its trial goes.

Two files take turns, `record-0` and `record-1`; the one with the higher number inside counts. Each begins with a
checksum of the rest. A record that a power cut tore is thus no record, and the other one, which was not touched, says
how things were just before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from firmware_hooks.slots import storage

SLOTS = ("a", "b")
FORMAT = 1
MAX_SIZE = 65536
"""bytes of a record; they have some 800"""

State = Literal["empty", "written", "trial", "good", "bad"]
"""
empty: nothing in it that counts
written: a verified model that was never active
trial: active, and not yet known to work
good: has proven itself
bad: was tried and given up, for the reason beside it
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """What one slot holds."""

    state: State = "empty"
    version: int = 0
    sha512: str = ""
    """of the model's file"""
    manifest: str = ""
    """SHA-256 of its manifest: what a server calls the model's digest"""
    starts: int = 0
    """of the board, or of its server, while on trial"""
    reason: str = ""
    """why it is bad"""


@dataclass(frozen=True, slots=True)
class Record:
    """The state of one model's slots."""

    sequence: int = 0
    """rises with each change"""
    active: str = ""
    """a, b, or nothing yet"""
    slots: Mapping[str, Slot] = field(default_factory=lambda: dict.fromkeys(SLOTS, Slot()))
    floor: int = 0
    """version of the last model that proved itself: older ones are refused"""

    @property
    def current(self) -> Slot:
        """The active slot; an empty one if none is."""
        return self.slots.get(self.active, Slot())

    @property
    def spare(self) -> str:
        """The slot that is not active."""
        return SLOTS[1] if self.active == SLOTS[0] else SLOTS[0]

    def changed(self, name: str, slot: Slot, **values: Any) -> Record:
        """The record with another slot, and perhaps other `active` or `floor`."""
        return replace(self, slots={**self.slots, name: slot}, **values)


def read(folder: Path) -> Record | None:
    """The record that counts; None if neither file holds one."""
    found = [record for place in range(2) if (record := _read(folder / f"record-{place}")) is not None]
    return max(found, key=lambda record: record.sequence, default=None)


def write(folder: Path, record: Record) -> Record:
    """Put a record in the place of the older of the two, and return it with its number."""
    record = replace(record, sequence=record.sequence + 1)
    storage.write(folder / f"record-{record.sequence % 2}", _encode(record))
    return record


def _encode(record: Record) -> bytes:
    body = json.dumps({"format": FORMAT, **asdict(record)}, sort_keys=True).encode("ascii")
    return hashlib.sha256(body).hexdigest().encode("ascii") + b"\n" + body + b"\n"


def _read(path: Path) -> Record | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SIZE)
    except OSError:
        return None
    checksum, _, body = content.removesuffix(b"\n").partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode("ascii") != checksum:
        return None
    try:
        return _decode(json.loads(body))
    except (ValueError, KeyError, TypeError):
        # whole, but written by another version of this program
        return None


def _decode(values: dict[str, Any]) -> Record:
    if values.pop("format") != FORMAT or set(values["slots"]) != set(SLOTS) or values["active"] not in ("", *SLOTS):
        raise ValueError("format")
    slots = {name: Slot(**slot) for name, slot in values.pop("slots").items()}
    if any(slot.state not in get_args(State) for slot in slots.values()):
        raise ValueError("state")
    return Record(**values, slots=slots)
