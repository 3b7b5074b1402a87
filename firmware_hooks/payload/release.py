"""A release: what one install consists of, file by file, in `release.json`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firmware_hooks.errors import HookError

FORMAT = 1
FILE = "release.json"
HOME = "opt/edge-runtime"
"""where releases lie on a device, from its root on"""
RELEASES, CURRENT = f"{HOME}/releases", f"{HOME}/current"
DIGITS = 12
"""of the digest in a release's name: 48 bits tell releases of one version apart"""


@dataclass(frozen=True, slots=True)
class Release:
    """What was built."""

    name: str
    """version and beginning of the digest"""
    version: str
    """of squeezebert-edge"""
    machine: str
    python: str
    runtime: str
    digest: str
    """SHA-256 of the list of files"""
    files: Mapping[str, str] = field(repr=False)
    """path within the release → SHA-256; of a link, "-> " and where it leads"""
    distributions: Mapping[str, str] = field(default_factory=dict)
    """name → version of what is in `packages`"""
    needs: Mapping[str, str] = field(default_factory=dict)
    """distribution → Debian package that the device's system must have"""
    models: Sequence[str] = ()
    """that were put into slots"""
    byte_code: bool = True
    """whether it is compiled already"""
    size: int = 0
    """bytes of the files, each rounded up to blocks of 4 KiB; without models"""

    @property
    def folder(self) -> str:
        """Where it lies on a device, from its root on."""
        return f"{RELEASES}/{self.name}"

    def to_json(self) -> str:
        """The text of release.json."""
        values = {each: getattr(self, each) for each in self.__slots__}
        return json.dumps({"format": FORMAT, **values}, indent=1, sort_keys=True, default=dict) + "\n"


def listed(folder: Path) -> dict[str, str]:
    """The files of a release, and their digests; release.json itself is not among them."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"  # noqa: PTH115  its text, not a path
        elif path.is_file() and name != FILE:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def digest(files: Mapping[str, str]) -> str:
    """SHA-256 of a list of files."""
    return hashlib.sha256("".join(f"{files[path]}  {path}\n" for path in sorted(files)).encode()).hexdigest()


def read(folder: Path) -> Release:
    """The release in a folder.

    Raises:
        HookError: it holds none.
    """
    try:
        values: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if values.pop("format") == FORMAT:
            return Release(**values)
        error: Exception = ValueError("it has another format")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as caught:
        error = caught
    raise HookError(f"{folder} holds no release that can be read: {error}")
