"""The workstation's programs that make an image."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from firmware_hooks.errors import HookError

PACKAGES = {
    "apt-cache": "apt",
    "apt-get": "apt",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "mcopy": "mtools",
    "mkfs.vfat": "dosfstools",
    "mksquashfs": "squashfs-tools",
    "sfdisk": "fdisk",
    "tar": "tar",
}
"""program → Debian's package with it"""
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""some of them are not on an ordinary user's path"""
LAST_LINES = 8
"""of what a program said that failed"""


def check() -> None:
    """Look whether all programs are there.

    Raises:
        HookError: with the packages that are missing.
    """
    missing = sorted({package for tool, package in PACKAGES.items() if shutil.which(tool, path=PATH) is None})
    if missing:
        raise HookError(f"programs are missing here; on Debian: apt install {' '.join(missing)}")


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    stdin: str | None = None,
    check: bool = True,
) -> str:
    """Run a program and return what it printed.

    Raises:
        HookError: it failed (where that matters), with its last words.
    """
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        cwd=folder,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "LC_ALL": "C", "PATH": PATH, "TZ": "UTC", **(environment or {})},
        input=stdin,
        umask=0o022,
    )
    if done.returncode and check:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:])
        raise HookError(f"{command[0]} failed with status {done.returncode}: {said}")
    return done.stdout
