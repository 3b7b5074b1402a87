"""What a process takes, and what of a file is in the page cache."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

_ROLLUP = Path("/proc/self/smaps_rollup")
_FIELDS = {
    # proc(5), /proc/pid/smaps
    "Rss": "resident_kb",
    "Pss": "proportional_kb",
    "Shared_Clean": "shared_clean_kb",
    "Shared_Dirty": "shared_dirty_kb",
    "Private_Clean": "private_clean_kb",
    "Private_Dirty": "private_dirty_kb",
    "Anonymous": "anonymous_kb",
    "Swap": "swap_kb",
}


def of_this_process() -> dict[str, int]:
    """kB, by the names of `_FIELDS`; empty where the kernel was built without smaps_rollup (before 4.14)."""
    found: dict[str, int] = {}
    try:
        lines = _ROLLUP.read_text("ascii", "replace").splitlines()
    except OSError:
        return found
    for line in lines:
        name, _, rest = line.partition(":")
        if name in _FIELDS:
            found[_FIELDS[name]] = int(rest.split()[0])
    return found


def cached(path: Path) -> tuple[int, int]:
    """Bytes of a file that are in the page cache, and all of them (mincore(2)).

    mincore tells only what this user may know: without write access or ownership of the file, pages of it may count as
    present (since Linux 5.2).

    Raises:
        OSError: the file cannot be mapped.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            return 0, 0
        pages = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE
        # Private and writable, for ctypes takes an address only of what may be written; nothing is.
        with mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as view:
            start = ctypes.c_char.from_buffer(view)
            present = (ctypes.c_ubyte * pages)()
            libc = ctypes.CDLL(None, use_errno=True)
            failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), present)
            error = ctypes.get_errno()
            # the view cannot be closed as long as something points into it
            del start
            if failed:
                raise OSError(error, os.strerror(error))
    return min(sum(each & 1 for each in present) * mmap.PAGESIZE, size), size


def forget(path: Path) -> None:
    """Ask the kernel to drop a file's clean pages that nobody has mapped (posix_fadvise(2)).

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
