"""The statement of a model's file, before anybody signs it."""

from __future__ import annotations

import json
import mmap
from pathlib import Path

from edge_runtime.archive import open_archive
from edge_runtime.errors import EdgeError
from edge_runtime.manifest import MAX_VERSION
from edge_runtime.model_file import MAX_MANIFEST_SIZE, open_model_file
from firmware_hooks.errors import HookError
from firmware_hooks.slots.statement import Statement, digest


def describe(model: Path, version: int | None, *, downgrade: bool = False, key: str | None = None) -> Statement:
    """What there is to say about a model.

    Args:
        model: its file.
        version: of the model; left out: the `version` in its manifest.
        downgrade: let boards that are told so put it in the place of a newer one.
        key: identifier of the one that will sign it.

    Raises:
        HookError: it is no model, or has no version.
    """
    try:
        opened = open_model_file(model, None)
        opened.close()
        with model.open("rb") as file:
            own = manifest(model).get("version")
            size, sha512 = digest(file)
    except (EdgeError, OSError) as error:
        raise HookError(str(error)) from None
    if own is not None and version not in (None, own):
        raise HookError(f"{model} says of itself that it is version {own!r}, not {version}")
    number = own if version is None else version
    if number is None:
        raise HookError(f"{model} has no version in its manifest; give --version N, higher than that of its forerunner")
    if type(number) is not int or not 1 <= number <= MAX_VERSION:
        raise HookError(f"a version is a number from 1 to {MAX_VERSION}, not {number!r}")
    return Statement(opened.manifest.name, number, size, sha512, opened.manifest.minimum_runtime, downgrade, key)


def manifest(model: Path) -> dict[str, object]:
    """manifest.json of a model's file, with the fields that the runtime leaves alone too.

    Raises:
        EdgeError: it has none.
        OSError: it cannot be read.
    """
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        with memoryview(mapped) as data:
            found: dict[str, object] = json.loads(open_archive(data).read("manifest.json", MAX_MANIFEST_SIZE))
        return found
