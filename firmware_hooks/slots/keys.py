"""The public keys that a board trusts: files `*.pub` in one folder, as OpenSSL writes them.

Several may be there, so that keys can be changed: put the new one beside the old, release with the new, remove the old.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from firmware_hooks.errors import HookError, Refused
from firmware_hooks.slots import ed25519
from firmware_hooks.slots.statement import Statement

FOLDER = Path("/etc/edge-runtime/keys")
SUFFIX = ".pub"
UNSIGNED_ALLOWED = "unsigned-allowed"
"""a file of this name in the folder lets models in that nobody signed"""

_BEGIN, _END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
_PEM = re.compile(rf"\s*{_BEGIN}([A-Za-z0-9+/=\s]+){_END}\s*")
_PREFIX = bytes.fromhex("302a300506032b6570032100")
"""what stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410, section 10.1)"""
_MAX_FILE = 4096
"""bytes; a key's file has 113"""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom a board believes."""

    keys: Mapping[str, bytes]
    """by identifier"""
    unsigned: bool = False
    """whether models without a signature are taken too"""
    unusable: tuple[str, ...] = ()
    """what is wrong with files that hold no usable key; they are left out, which lets nothing in"""

    def check(self, statement: Statement) -> None:
        """Nothing, if the statement can be believed.

        Raises:
            Refused: it is not signed, by a key that is not trusted, or not by the key that it names.
        """
        if statement.key is None or statement.signature is None:
            if not self.unsigned:
                raise Refused(
                    "the model is not signed, and only signed ones are taken here; sign it with `edge-flash model sign`"
                )
            return
        key = self.keys.get(statement.key)
        if key is None:
            known = ", ".join(sorted(self.keys)) or "none"
            wrong = "".join(f"; {reason}" for reason in self.unusable)
            raise Refused(
                f"the model is signed with the key {statement.key}, which is not trusted here (trusted: {known}{wrong})"
            )
        if not ed25519.verify(key, statement.signed, bytes.fromhex(statement.signature)):
            raise Refused(
                f"the signature is not one of the key {statement.key}: the signature file was changed or damaged"
            )


def identifier(key: bytes) -> str:
    """Sixteen hexadecimal digits that stand for a public key; it is looked up by them, never trusted for them."""
    return hashlib.sha512(key).hexdigest()[:16]


def encode(key: bytes) -> str:
    """The text of a public key's file."""
    return f"{_BEGIN}\n{base64.b64encode(_PREFIX + key).decode('ascii')}\n{_END}\n"


def decode(text: str) -> bytes:
    """The 32 bytes in a public key's file.

    Raises:
        HookError: it holds no Ed25519 key, or one that cannot be used.
    """
    found = _PEM.fullmatch(text)
    if found is None:
        raise HookError("it is no public key in PEM")
    try:
        content = base64.b64decode("".join(found[1].split()), validate=True)
    except binascii.Error:
        raise HookError("it is no public key in PEM") from None
    if not content.startswith(_PREFIX) or not ed25519.is_usable_key(content[len(_PREFIX) :]):
        raise HookError("it is no usable Ed25519 key")
    return content[len(_PREFIX) :]


def read(path: Path) -> bytes:
    """The public key in a file.

    Raises:
        HookError: it cannot be read, or holds none.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE).decode("utf-8", "replace")
    except OSError as error:
        raise HookError(f"the key {path} cannot be read: {error.strerror}") from None
    try:
        return decode(text)
    except HookError as error:
        raise HookError(f"the key {path} cannot be used: {error}") from None


def trusted(folder: Path) -> Trust:
    """The keys in a folder; none where there is no folder."""
    keys, unusable = {}, []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            key = read(path)
        except HookError as error:
            unusable.append(str(error))
        else:
            keys[identifier(key)] = key
    return Trust(keys, (folder / UNSIGNED_ALLOWED).exists(), tuple(unusable))
