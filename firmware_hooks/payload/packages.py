"""The folder of packages: third parties' from their wheels, our own as they are installed here."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from importlib import util
from pathlib import Path, PurePosixPath

from edge_runtime import __version__
from firmware_hooks.errors import HookError
from firmware_hooks.payload import elf, pruning
from firmware_hooks.payload.pins import Pin

OWN = ("boards", "edge_runtime", "firmware_hooks")
"""what runs on a device; each is looked for where this Python would import it from"""
DISTRIBUTION = "squeezebert-edge"


def unpack(pin: Pin, wheel: Path) -> dict[str, bytes]:
    """What of a wheel goes onto a device → path, content.

    Raises:
        HookError: it is no wheel, or holds a path that leads elsewhere.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = {}
            for entry in archive.infolist():
                path = PurePosixPath(entry.filename)
                if path.is_absolute() or ".." in path.parts:
                    raise HookError(f"{wheel} holds {entry.filename!r}, which leads out of it")
                if entry.is_dir() or pruning.reason(pin.name, pin.version, str(path)) is not None:
                    continue
                found[str(path)] = elf.trimmed(archive.read(entry))
            return found
    except (OSError, zipfile.BadZipFile) as error:
        raise HookError(f"{wheel} cannot be unpacked: {error}") from None


def own() -> dict[str, bytes]:
    """Our own packages, as far as they run on a device → path, content.

    Raises:
        HookError: one of them is not installed as files.
    """
    found = {}
    for package in OWN:
        for path, file in _files(_folder(package), package):
            if pruning.reason(DISTRIBUTION, __version__, path) is None:
                found[path] = file.read_bytes()
    return found


def _folder(package: str) -> Path:
    spec = util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise HookError(f"the package {package} is not installed as a folder here; install squeezebert-edge with pip")
    return Path(next(iter(spec.submodule_search_locations)))


def _files(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if each != "__pycache__")
        for file in sorted(files):
            path = Path(parent) / file
            if path.is_file():
                yield str(PurePosixPath(name) / path.relative_to(folder)), path


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put files into a folder, scripts executable."""
    for path, content in sorted(files.items()):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        script = content.startswith(b"#!")
        target.chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH | (0o111 if script else 0))
