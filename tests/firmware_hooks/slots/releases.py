"""Small real models, a key pair, and signed releases of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_hooks.flash import signing
from firmware_hooks.slots import keys, statement
from firmware_hooks.slots.keys import Trust
from firmware_hooks.slots.slots import Source
from tests.converted import once
from tests.edge_runtime import tiny_checkpoint

NAME = "tiny"
VERSIONS = (1, 2, 3, 4)
"""that the tests put on boards"""
SENTENCES = ("turn off the kitchen lights", "play the light in paris and berlin", "hello, o'clock and 42!")


def make_models(folder: Path, seeds: Iterable[int]) -> dict[int, Path]:
    """A model named `NAME` for each seed: different weights, all else alike."""
    return {seed: _convert(folder, seed) for seed in seeds}


def _convert(folder: Path, seed: int) -> Path:
    def make(work: Path, file: Path) -> None:
        from converter import convert

        texts = work / "calibration.txt"
        texts.write_text("".join(f"{sentence}\n" for sentence in SENTENCES * 5))
        tiny_checkpoint.write(work / str(seed), "assistant", seed)
        convert(work / str(seed), file, calibration=texts, name=NAME, effort="fast")

    return once(f"release-{seed}", make, folder / f"{seed}.tflite")


@dataclass(frozen=True)
class Releases:
    """Models of versions 1, 2, 3 … in a folder, with their signatures, and whom to trust for them."""

    folder: Path
    models: dict[int, Path]
    key: Ed25519PrivateKey

    @property
    def trust(self) -> Trust:
        public = self.key.public_key().public_bytes_raw()
        return Trust({keys.identifier(public): public})

    @property
    def keys(self) -> Path:
        """A folder with the public key."""
        folder = self.folder / "keys"
        folder.mkdir(exist_ok=True)
        (folder / "test.pub").write_text(keys.encode(self.key.public_key().public_bytes_raw()))
        return folder

    def statement(self, version: int, *, downgrade: bool = False) -> bytes:
        return signing.sign(self.models[version], self.key, version, downgrade=downgrade).encoded()

    def signature(self, version: int, *, downgrade: bool = False) -> Path:
        """A signature file beside the model."""
        model = self.models[version]
        path = model.with_name(model.name + statement.SUFFIX)
        path.write_bytes(self.statement(version, downgrade=downgrade))
        return path

    def source(self, version: int) -> Source:
        content = self.models[version].read_bytes()
        return lambda offset: [content[offset:]]


def make(folder: Path, versions: Iterable[int] = (1, 2, 3)) -> Releases:
    """Releases of these versions, signed with a new key."""
    return Releases(folder, make_models(folder, versions), Ed25519PrivateKey.generate())
