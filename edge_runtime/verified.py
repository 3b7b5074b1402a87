"""A private folder on this board: where it is, and which files have been verified since boot.

Hashing a model of 50 MB takes longer than everything else that loading it needs. So a file whose digest was found
right leaves a stamp here, an empty file whose name is a hash of the digest and of everything that would change if the
file did: device, inode, size, times of modification and of change, and the boot. Only a file with exactly such a
stamp is not hashed again. The change time cannot be set by a program, only by changing the file.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MAX_STAMPS = 256
"""stamps of one boot; beyond it they are dropped, and files are hashed once more"""

_FINE_TICK = 100_000_000
_COARSE_TICK = 3_000_000_000
"""nanoseconds. A file changed less than this long ago gets no stamp: a later change could fall into the same tick of
the file system's clock (compare "racy git" in git's technical documentation). Linux counts in jiffies of at most 10
ms, FAT in units of 2 s; a time that is a whole multiple of 10 ms is taken for coarse."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def cache_folder() -> Path | None:
    """$EDGE_RUNTIME_CACHE, else systemd's $CACHE_DIRECTORY, else the user's own cache folder; None without any."""
    if named := os.environ.get("EDGE_RUNTIME_CACHE"):
        return Path(named)
    if from_systemd := os.environ.get("CACHE_DIRECTORY"):
        # systemd.exec(5): several folders are separated by colons
        return Path(from_systemd.split(":")[0])
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "edge-runtime"
    try:
        return Path.home() / ".cache" / "edge-runtime"
    except RuntimeError:
        return None


def private_folder(folder: Path | None) -> str | None:
    """Make `folder`, for us alone, if need be, and say why it cannot be trusted; None if it can.

    A folder that was there before is taken as it is if it is ours and nobody else's to write (systemd makes it 0755).
    """
    if folder is None:
        return "there is no home folder; set EDGE_RUNTIME_CACHE to a folder of your own"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
        if state.st_uid != os.geteuid():
            return f"{folder} belongs to another user; set EDGE_RUNTIME_CACHE to a folder of your own"
        if stat.S_IMODE(state.st_mode) & 0o022:
            return f"{folder} can be written by other users; set EDGE_RUNTIME_CACHE to a folder of your own"
    except OSError as error:
        return f"{folder} cannot be used: {error.strerror}; set EDGE_RUNTIME_CACHE to a folder that can be written"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{folder} is not writable; set EDGE_RUNTIME_CACHE to a folder that can be written"
    return None


def verify(descriptor: int, digest: str, hashed: Callable[[], str], folder: Path | None) -> bool:
    """Whether the open file has this digest, which `hashed` computes unless a stamp in `folder` says so already.

    A folder that cannot be read or written only means that the file is hashed every time.
    """
    before = os.fstat(descriptor)
    stamp = _stamp(before, digest, folder)
    if stamp is not None and _is_ours(stamp):
        return True
    started = time.time_ns()
    if hashed() != digest:
        return False
    after = os.fstat(descriptor)
    if stamp is not None and _identity(before) == _identity(after) and _settled(before) < started:
        with suppress(OSError):
            _leave(stamp)
    return (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)


def let_settle(file: Path) -> None:
    """Wait a tenth of a second at most, so that a file just written can get its stamp at once."""
    remaining = (_settled(file.stat()) - time.time_ns()) / 1e9
    time.sleep(min(max(remaining, 0.0), _FINE_TICK / 1e9))


def _settled(state: os.stat_result) -> int:
    """The time, in nanoseconds, from which on a change would give the file other times than it has."""
    latest = max(state.st_ctime_ns, state.st_mtime_ns)
    return latest + (_FINE_TICK if latest % 10_000_000 else _COARSE_TICK)


def _identity(state: os.stat_result) -> tuple[int, ...]:
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def _stamp(state: os.stat_result, digest: str, folder: Path | None) -> Path | None:
    if folder is None:
        return None
    try:
        boot = _BOOT_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    name = hashlib.sha256(repr((_identity(state), digest, boot)).encode()).hexdigest()
    return folder / f"verified-{boot}" / name


def _is_ours(stamp: Path) -> bool:
    try:
        return stamp.lstat().st_uid == os.geteuid()
    except OSError:
        return False


def _leave(stamp: Path) -> None:
    boot = stamp.parent
    for old in boot.parent.glob("verified-*"):
        if old != boot:
            _drop(old)
            old.rmdir()
    boot.mkdir(mode=0o700, exist_ok=True)
    if len(list(boot.iterdir())) >= MAX_STAMPS:
        _drop(boot)
    os.close(os.open(stamp, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def _drop(folder: Path) -> None:
    for stamp in folder.iterdir():
        stamp.unlink(missing_ok=True)
