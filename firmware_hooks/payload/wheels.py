"""Wheels: fetched by pip for another machine than this one, kept in a folder, found there by their hash."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from firmware_hooks.errors import HookError
from firmware_hooks.payload.pins import Pin, normalised
from firmware_hooks.payload.target import Target

CACHE = "EDGE_FLASH_CACHE"
"""environment variable with the folder that wheels are kept in"""


def cache() -> Path:
    """Where wheels are kept from one build to the next."""
    if CACHE in os.environ:
        return Path(os.environ[CACHE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "squeezebert-edge" / "wheels"


def named(path: Path) -> tuple[str, str]:
    """A wheel's distribution and version, from its file's name."""
    name, version, *_ = path.stem.split("-")
    return name, version


def gather(target: Target, pins: Sequence[Pin], folder: Path | None) -> dict[str, Path]:
    """The wheels of a lock: from the cache, and what is missing there from pip's index.

    Args:
        target: whose lock it is.
        pins: what it holds.
        folder: take them from here, and nothing from the network.

    Returns:
        Distribution → file.

    Raises:
        HookError: one cannot be had, or is another than the lock says.
    """
    if folder is not None:
        found = _found(folder, pins)
        missing = [f"{pin.name}=={pin.version}" for pin in pins if pin.name not in found]
        if missing:
            raise HookError(
                f"{folder} lacks {', '.join(missing)} for {target} with the hashes in {target.lock.name}; fill it with "
                "`edge-flash payload fetch` where there is a network"
            )
        return found
    kept = cache()
    found = _found(kept, pins)
    if len(found) < len(pins):
        fetch(target, [pin for pin in pins if pin.name not in found], kept)
        found = _found(kept, pins)
    return found


def fetch(target: Target, pins: Sequence[Pin], folder: Path) -> None:
    """Let pip put the wheels of a lock into a folder; each is held against its hash by pip.

    Raises:
        HookError: pip cannot; what it says is on standard error.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as arriving:
            lines = [f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}\n" for pin in pins]
            requirements = Path(arriving) / "requirements.txt"
            requirements.write_text("".join(lines), encoding="utf-8")
            wheels = Path(arriving) / "wheels"
            download(target, ["--require-hashes", "-r", str(requirements)], wheels)
            for path in wheels.iterdir():
                path.replace(folder / path.name)
    except OSError as error:
        raise HookError(f"{error.filename} cannot be written: {error.strerror}") from None


def download(target: Target, arguments: Sequence[str], folder: Path) -> None:
    """`pip download` for a target.

    Raises:
        HookError: it ended with an error, which it printed.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", target.python]
    for tag in target.platforms:
        command += ["--platform", tag]
    done = subprocess.run([*command, "--dest", str(folder), *arguments], check=False, stdout=sys.stderr)
    if done.returncode:
        raise HookError(
            f"pip could not fetch the wheels for {target}; what it says is above. Without a network, name a folder "
            "with them: --wheels DIR"
        )


def _found(folder: Path, pins: Sequence[Pin]) -> dict[str, Path]:
    by_name: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.glob("*.whl")) if folder.is_dir() else ():
        name, version = named(path)
        by_name.setdefault((normalised(name), version), []).append(path)
    found = {}
    for pin in pins:
        for path in by_name.get((pin.name, pin.version), ()):
            if hashlib.sha256(path.read_bytes()).hexdigest() == pin.sha256:
                found[pin.name] = path
    return found
