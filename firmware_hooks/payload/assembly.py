"""Builds the tree: every file of it, with fixed names, modes and times, so that the same inputs give the same bytes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_runtime import __version__
from firmware_hooks import system
from firmware_hooks.errors import HookError
from firmware_hooks.payload import byte_code, first_slots, packages, wheels
from firmware_hooks.payload import pins as locked
from firmware_hooks.payload import release as releases
from firmware_hooks.payload.release import Release
from firmware_hooks.payload.target import Target
from firmware_hooks.slots import keys
from firmware_hooks.slots.keys import Trust
from firmware_hooks.slots.slots import CURRENT, MODEL

COMMANDS = {
    "edge-runtime": "edge_runtime.cli",
    "edge-flash": "firmware_hooks.flash.cli",
    "edge-boards": "boards.cli",
}
"""command → module with its `main`"""
MODELS, KEYS = "var/lib/edge-runtime/models", "etc/edge-runtime/keys"
LAUNCHER = Path(__file__).with_name("launcher.py.txt")

BLOCK = 4096
"""bytes that file systems of cards allocate at a time"""
MOMENT = 1577836800
"""2020-01-01, when everything in the tree was changed last: no time of building is told"""


def build(
    target: Target,
    into: Path,
    *,
    models: Sequence[str | os.PathLike[str]] = ("assistant",),
    key: Path | None = None,
    trusted: Sequence[Path] = (),
    wheels_folder: Path | None = None,
    board: str | None = None,
    serial: Sequence[str] = (),
) -> Release:
    """Write what a device gets into a folder, laid out as its root file system.

        opt/edge-runtime/releases/RELEASE/    packages, bin, release.json
        opt/edge-runtime/current              leads there
        usr/local/bin/edge-…                  lead to current/bin
        usr/lib/…, etc/systemd/…              units and the like, enabled
        etc/edge-runtime/keys/                whose models are taken
        var/lib/edge-runtime/models/NAME/     slots

    Args:
        target: the device.
        into: the folder; an empty one, or none yet.
        models: bundled models' names or files; with `FILE.sig` beside a file that signature is taken.
        key: private key (`edge-flash key new`) that the others are signed with; without it they are not signed, and
            the device is told to take unsigned ones.
        trusted: public keys that the device believes beside that one.
        wheels_folder: with the wheels of the lock; nothing is fetched then.
        board: a profile's name: its watchdog and LED are used.
        serial: URLs of ports that the server answers at.

    Raises:
        HookError: there is something in the folder, a wheel or a model cannot be had, or the device would not believe
            a model's signature.
    """
    if into.exists() and any(into.iterdir()):
        raise HookError(f"{into} is not empty; name a folder that is, or a new one")
    if not models:
        raise HookError("no model is named; a server needs one")
    pins = locked.read(target)
    found = wheels.gather(target, pins, wheels_folder)
    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into) as scratch:
            made = Path(scratch) / "release"
            packages.write(made / "packages", packages.own())
            for pin in pins:
                packages.write(made / "packages", packages.unpack(pin, found[pin.name]))
            packages.write(made / "bin", _launchers(target))
            names = _slots(into, models, key, trusted)
            _link_models(made, names)
            compiled = byte_code.compile_all(made / "packages", target.python)
            release = _described(target, made, {pin.name: pin.version for pin in pins}, names, compiled)
            (made / releases.FILE).write_text(release.to_json(), encoding="utf-8")
            folder = into / release.folder
            folder.parent.mkdir(parents=True)
            made.rename(folder)
        (into / releases.CURRENT).symlink_to(f"releases/{release.name}")
        commands = into / "usr/local/bin"
        commands.mkdir(parents=True)
        for command in COMMANDS:
            (commands / command).symlink_to(f"/{releases.CURRENT}/bin/{command}")
        for file in system.files(board, serial=serial):
            file.write(into)
        _still(into)
    except OSError as error:
        raise HookError(f"{error.filename or into} cannot be written: {error.strerror}") from None
    return release


def _launchers(target: Target) -> dict[str, bytes]:
    text = LAUNCHER.read_text(encoding="utf-8")
    version = f"({target.python.replace('.', ', ')})"
    return {
        command: text.replace("@COMMAND@", command).replace("@MODULE@", module).replace("@PYTHON@", version).encode()
        for command, module in COMMANDS.items()
    }


def _slots(
    into: Path, models: Sequence[str | os.PathLike[str]], key: Path | None, trusted: Sequence[Path]
) -> list[str]:
    """Models in their slots, and the keys that they are believed for → their names."""
    public = {path.name: keys.encode(keys.read(path)) for path in trusted}
    if key is not None:
        from firmware_hooks.flash import signing

        secret = signing.read(key, os.environ.get(signing.PASSPHRASE))
        public[f"{key.name}{keys.SUFFIX}"] = keys.encode(secret.public_key().public_bytes_raw())
    unsigned = key is None and not all(first_slots.signed(model) for model in models)
    folder = into / KEYS
    folder.mkdir(parents=True)
    for name, text in public.items():
        (folder / Path(name).with_suffix(keys.SUFFIX).name).write_text(text, encoding="ascii")
    if unsigned:
        (folder / keys.UNSIGNED_ALLOWED).touch()
    known = [keys.decode(text) for text in public.values()]
    trust = Trust({keys.identifier(raw): raw for raw in known}, unsigned)
    return sorted(first_slots.write(into / MODELS, model, key, trust).name for model in models)


def _link_models(made: Path, names: Sequence[str]) -> None:
    """Let `edge-runtime ask --model NAME` find the model that is active."""
    folder = made / "packages/edge_runtime/models"
    folder.mkdir()
    # relative, so that the tree works before it is anybody's root: models edge_runtime packages RELEASE releases
    # edge-runtime opt
    up = "../" * 7
    for name in names:
        (folder / f"{name}.tflite").symlink_to(f"{up}{MODELS}/{name}/{CURRENT}/{MODEL}")


def _described(
    target: Target, made: Path, distributions: Mapping[str, str], names: Sequence[str], compiled: bool
) -> Release:
    files = releases.listed(made)
    digest = releases.digest(files)
    return Release(
        name=f"{__version__}-{digest[: releases.DIGITS]}",
        version=__version__,
        machine=target.machine,
        python=target.python,
        runtime=target.runtime,
        digest=digest,
        files=files,
        distributions=distributions,
        needs=target.from_system,
        models=names,
        byte_code=compiled,
        size=occupied(made),
    )


def occupied(folder: Path) -> int:
    """Bytes of the files in a folder, each rounded up to blocks; links and folders count one block."""
    sizes = [0 if path.is_symlink() or path.is_dir() else path.stat().st_size for path in folder.rglob("*")]
    return sum(max(1, -(-size // BLOCK)) * BLOCK for size in sizes)


def _still(folder: Path) -> None:
    """Take away what tells when and how it was built."""
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (MOMENT, MOMENT), follow_symlinks=False)
