"""Whether a file is the model that a statement is about, and whether the statement can be believed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import EdgeError
from edge_runtime.model_file import open_model_file
from firmware_hooks.errors import Refused
from firmware_hooks.slots import statement as statements
from firmware_hooks.slots.keys import Trust
from firmware_hooks.slots.statement import Statement


@dataclass(frozen=True, slots=True)
class Verified:
    """A model that may be run."""

    statement: Statement
    manifest: str
    """SHA-256 of its manifest"""


def verify(model: Path, statement: Path, trust: Trust) -> Statement:
    """The statement of a model's file, believed and true: signature, size and digest.

    The file is read from the card, not from what the kernel remembers of writing it, as far as the kernel can be told.

    Raises:
        Refused: with what is wrong.
    """
    try:
        said = statements.parse(statement.read_bytes()[: statements.MAX_SIZE + 1])
        trust.check(said)
        with model.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            found = statements.digest(file)
    except OSError as error:
        raise Refused(f"{error.filename or model} cannot be read: {error.strerror}") from None
    if found != (said.size, said.sha512):
        raise Refused("the model's file is not the one that was signed: it was changed or damaged; push it again")
    return said


def examine(model: Path, statement: Path, trust: Trust) -> Verified:
    """`verify`, and all that a runtime checks before it loads a model.

    Raises:
        Refused: with what is wrong.
    """
    said = verify(model, statement, trust)
    try:
        file = open_model_file(model, None)
    except EdgeError as error:
        raise Refused(f"it is no model that this board can use: {error}") from None
    try:
        if file.manifest.name != said.name:
            raise Refused(f"the signature is for a model named {said.name}, and the file holds {file.manifest.name}")
        return Verified(said, file.digest)
    finally:
        file.close()
