"""The statement that goes with a model: read from beside it, or made now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from firmware_hooks.errors import HookError
from firmware_hooks.flash.transfer import BLOCK
from firmware_hooks.slots import statement as statements
from firmware_hooks.slots.description import describe
from firmware_hooks.slots.slots import Source
from firmware_hooks.slots.statement import Statement


def statement(model: Path, signature: Path | None, key: Path | None, version: int | None, downgrade: bool) -> Statement:
    """What to say of a model that is pushed: what its signature file says, or what is signed now, or unsigned.

    Raises:
        HookError: it cannot be read or made, or it is about another file.
    """
    if key is not None:
        if signature is not None:
            raise HookError("give --signature or --key, not both")
        return signed(model, key, version, downgrade)
    if signature is None and beside(model).exists():
        signature = beside(model)
    if signature is None:
        return describe(model, version, downgrade=downgrade)
    try:
        found = statements.parse(signature.read_bytes())
        with model.open("rb") as file:
            same = statements.digest(file) == (found.size, found.sha512)
    except OSError as error:
        raise HookError(f"{error.filename} cannot be read: {error.strerror}") from None
    if not same:
        raise HookError(
            f"{signature} was made for another file than {model}, or one of them was changed; sign it again"
        )
    if version not in (None, found.version):
        raise HookError(f"{signature} says version {found.version}, not {version}")
    return found


def signed(model: Path, key: Path, version: int | None, downgrade: bool) -> Statement:
    """A statement signed now with the private key in a file."""
    from firmware_hooks.flash import signing

    secret = signing.read(key, os.environ.get(signing.PASSPHRASE))
    return signing.sign(model, secret, version, downgrade=downgrade)


def beside(model: Path) -> Path:
    """Where a model's signature is looked for."""
    return model.with_name(model.name + statements.SUFFIX)


def pieces(model: Path) -> Source:
    """A model's bytes, from an offset on.

    Raises:
        HookError: while they are read, where the file cannot be.
    """

    def source(offset: int) -> Iterator[bytes]:
        try:
            with model.open("rb") as file:
                file.seek(offset)
                while block := file.read(BLOCK):
                    yield block
        except OSError as error:
            raise HookError(f"{model} cannot be read: {error.strerror}") from None

    return source
