"""Keys and signatures, on a workstation: needs the package `cryptography` (the extra `flash`).

Private keys are files as OpenSSL reads and writes them (PKCS #8 in PEM), encrypted if a passphrase is given.
"""

from __future__ import annotations

import os
from pathlib import Path

from firmware_hooks.errors import HookError
from firmware_hooks.slots import keys
from firmware_hooks.slots.description import describe
from firmware_hooks.slots.statement import Statement

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
except ImportError:
    raise HookError(
        "signing needs the package cryptography: pip install 'squeezebert-edge[flash]' on the workstation"
    ) from None

PASSPHRASE = "EDGE_FLASH_PASSPHRASE"  # noqa: S105  the name of it
"""environment variable with a private key's passphrase"""


def new(path: Path, passphrase: str | None) -> bytes:
    """Make a private key at `path` and its public key beside it (`.pub`) → the public key.

    Raises:
        HookError: one of the files is there already or cannot be written.
    """
    public = path.with_name(path.name + keys.SUFFIX)
    key = Ed25519PrivateKey.generate()
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    raw = key.public_key().public_bytes_raw()
    for file, content, mode in ((path, secret, 0o600), (public, keys.encode(raw).encode("ascii"), 0o644)):
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
                opened.write(content)
        except OSError as error:
            raise HookError(f"{file} cannot be made: {error.strerror}") from None
    return raw


def read(path: Path, passphrase: str | None) -> Ed25519PrivateKey:
    """The private key in a file.

    Raises:
        HookError: it cannot be read, is another kind of key, or the passphrase is wrong.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase.encode() if passphrase else None)
    except OSError as error:
        raise HookError(f"the key {path} cannot be read: {error.strerror}") from None
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise HookError(f"the key {path} cannot be used: {error}; a passphrase is taken from ${PASSPHRASE}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise HookError(f"the key {path} is no Ed25519 key; make one with `edge-flash key new`")
    return key


def sign(model: Path, key: Ed25519PrivateKey, version: int | None, *, downgrade: bool = False) -> Statement:
    """A signed statement about a model's file.

    Args:
        model: the file.
        key: private.
        version: of the model; left out: the `version` of its manifest.
        downgrade: let boards that are told so put it in the place of a newer one.

    Raises:
        HookError: it is no model, or has no version.
    """
    identifier = keys.identifier(key.public_key().public_bytes_raw())
    unsigned = describe(model, version, downgrade=downgrade, key=identifier)
    return unsigned.with_signature(key.sign(unsigned.signed))
