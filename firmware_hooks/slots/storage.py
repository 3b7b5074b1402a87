"""Files that survive a power cut: every change here is on the card before the next one begins.

A file system may lose whatever was not followed by fsync(2), in any order: data by the page, names by the directory.
So contents are written aside, synced, and only then given their name by rename(2), which is atomic; and a name counts
only once its directory is synced too (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014, section 2).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

ASIDE = ".new"
"""suffix of what does not count yet"""
FILE_MODE, FOLDER_MODE = 0o644, 0o755
"""models are no secret: the server may run as another user than the one who installs them"""


def sync_folder(folder: Path) -> None:
    """Let the names in a folder be on the card."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, if need be."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(FOLDER_MODE)
    sync_folder(folder.parent)


def append(path: Path, pieces: Iterable[bytes]) -> None:
    """Write behind what a file holds, making it if need be; the pieces are on the card when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
    finally:
        # also after an error, so that what arrived before it can be continued
        os.fsync(descriptor)
        os.close(descriptor)
    sync_folder(path.parent)


def write(path: Path, content: bytes) -> None:
    """Give a file a new content, all of it or none."""
    aside = path.with_name(path.name + ASIDE)
    remove(aside)
    append(aside, [content])
    move(aside, path)


def move(path: Path, target: Path) -> None:
    """Rename a synced file, over whatever is at the target."""
    path.rename(target)
    sync_folder(target.parent)
    if target.parent != path.parent:
        sync_folder(path.parent)


def point(link: Path, target: str) -> None:
    """Let a symbolic link lead to `target`, atomically."""
    aside = link.with_name(link.name + ASIDE)
    remove(aside)
    aside.symlink_to(target)
    move(aside, link)


def remove(path: Path) -> None:
    """Remove a file, if it is there. Not synced: nothing may depend on its absence."""
    path.unlink(missing_ok=True)


def free(folder: Path) -> int:
    """Bytes that this user may still write to the folder's file system."""
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize
