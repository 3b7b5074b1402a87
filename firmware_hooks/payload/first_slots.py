"""Slots with a first model in them, as a device has them before it ever ran."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from edge_runtime.errors import EdgeError
from edge_runtime.model_file import find
from firmware_hooks.errors import HookError
from firmware_hooks.flash import describing
from firmware_hooks.slots import record as records
from firmware_hooks.slots import slots, statement, verification
from firmware_hooks.slots.description import describe, manifest
from firmware_hooks.slots.keys import Trust
from firmware_hooks.slots.record import Record, Slot
from firmware_hooks.slots.statement import Statement

FIRST_VERSION = 1
"""of a model that says none of itself"""


def write(models: Path, model: str | os.PathLike[str], key: Path | None, trust: Trust) -> Statement:
    """Put a model into slot a of its slots, as one that has proven itself.

    Args:
        models: folder with a folder of slots for each model.
        model: a bundled model's name, or a path; a signature beside it is taken as it is.
        key: private, to sign it with where no signature lies beside it.
        trust: what the device will believe.

    Returns:
        What is said of it.

    Raises:
        HookError: it is no model, or the device would not believe its signature.
    """
    try:
        path = find(model)
        own = manifest(path).get("version")
    except EdgeError as error:
        raise HookError(str(error)) from None
    stated = _statement(path, key, None if own is not None else FIRST_VERSION)
    folder = models / stated.name
    if folder.exists():
        raise HookError(f"two of the models are named {stated.name}")
    slot = folder / records.SLOTS[0]
    slot.mkdir(parents=True)
    shutil.copyfile(path, slot / slots.MODEL)
    (slot / slots.STATEMENT).write_bytes(stated.encoded())
    found = verification.examine(slot / slots.MODEL, slot / slots.STATEMENT, trust)
    good = Slot("good", stated.version, stated.sha512, found.manifest)
    records.write(folder, Record(active=slot.name, floor=stated.version).changed(slot.name, good))
    (folder / slots.CURRENT).symlink_to(slot.name)
    return stated


def _statement(path: Path, key: Path | None, version: int | None) -> Statement:
    beside = describing.beside(path)
    if beside.exists():
        return describing.statement(path, beside, None, None, False)
    if key is None:
        return describe(path, version)
    return describing.signed(path, key, version, False)


def signed(model: str | os.PathLike[str]) -> bool:
    """Whether a signature lies beside a model."""
    try:
        path = describing.beside(find(model))
        return path.exists() and statement.parse(path.read_bytes()).key is not None
    except (EdgeError, OSError) as error:
        raise HookError(str(error)) from None
