"""What is signed: a small text that names one model file and says what it is.

    squeezebert-edge model 1
    name: assistant
    version: 7
    size: 5853184
    sha512: 6b1c…                       (128 hexadecimal digits, of the whole file)
    runtime: 0.1.0
    downgrade: no
    key: 3f5a…                          (16: the first 8 bytes of the public key's SHA-512)
    signature: 90ab…                    (128: Ed25519 of every byte before this line)

A model may come without a signature; the last two lines are then missing, and only a board that was told so takes it.

There is one way to write a statement down: what is read is written again and must be the same bytes. So no byte of it
is without meaning, and none of the file is, for the digest covers all of it. SHA-512, because it is quicker than
SHA-256 on 64-bit cores without instructions for either (Raspberry Pi 3 and 4).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import BinaryIO

from edge_runtime.manifest import MAX_VERSION, NAME
from edge_runtime.model_file import MAX_FILE_SIZE
from firmware_hooks.errors import Refused

HEADER = "squeezebert-edge model 1"
"""first line; also keeps a signature made for something else from being taken for one of a model"""
MAX_SIZE = 1024
"""bytes of a statement; the longest has some 600"""
SUFFIX = ".sig"
"""beside the model's file: `model.tflite.sig`"""

_LINES = re.compile(
    rf"{HEADER}\nname: (?P<name>[^\n]+)\nversion: (?P<version>[1-9]\d{{0,9}})\nsize: (?P<size>[1-9]\d{{0,9}})\n"
    r"sha512: (?P<sha512>[0-9a-f]{128})\nruntime: (?P<runtime>\d{1,6}\.\d{1,6}\.\d{1,6})\n"
    r"downgrade: (?P<downgrade>yes|no)\n"
    r"(?:key: (?P<key>[0-9a-f]{16})\nsignature: (?P<signature>[0-9a-f]{128})\n)?",
    re.ASCII,
)
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Statement:
    """About one model file."""

    name: str
    """the model's, as in its manifest"""
    version: int
    """rises with every release"""
    size: int
    """bytes"""
    sha512: str
    runtime: str
    """lowest version of the runtime that can use it"""
    downgrade: bool
    """whether boards may be told to put it in the place of a newer one"""
    key: str | None = None
    signature: str | None = None

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is of."""
        lines = [
            HEADER,
            f"name: {self.name}",
            f"version: {self.version}",
            f"size: {self.size}",
            f"sha512: {self.sha512}",
            f"runtime: {self.runtime}",
            f"downgrade: {'yes' if self.downgrade else 'no'}",
        ]
        if self.key is not None:
            lines.append(f"key: {self.key}")
        return "".join(f"{line}\n" for line in lines).encode("ascii")

    def encoded(self) -> bytes:
        """The whole text."""
        return self.signed + (b"" if self.signature is None else f"signature: {self.signature}\n".encode("ascii"))

    def with_signature(self, signature: bytes) -> Statement:
        return replace(self, signature=signature.hex())


def parse(data: bytes) -> Statement:
    """The statement in a file.

    Raises:
        Refused: it is none, or not written the one way.
    """
    try:
        found = _LINES.fullmatch(data.decode("ascii")) if len(data) <= MAX_SIZE else None
    except UnicodeDecodeError:
        found = None
    if found is None or not NAME.fullmatch(found["name"]):
        raise Refused("the signature file is damaged or none; make it with `edge-flash model sign`")
    statement = Statement(
        name=found["name"],
        version=int(found["version"]),
        size=int(found["size"]),
        sha512=found["sha512"],
        runtime=found["runtime"],
        downgrade=found["downgrade"] == "yes",
        key=found["key"],
        signature=found["signature"],
    )
    if statement.encoded() != data or statement.version > MAX_VERSION or statement.size > MAX_FILE_SIZE:
        raise Refused("the signature file says what no model can be; make it with `edge-flash model sign`")
    return statement


def digest(file: BinaryIO) -> tuple[int, str]:
    """Size in bytes and SHA-512 of what is left of an open file."""
    hashed, size = hashlib.sha512(), 0
    while block := file.read(_BLOCK):
        hashed.update(block)
        size += len(block)
    return size, hashed.hexdigest()
