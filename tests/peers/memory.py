"""What a process holds, as Linux counts it."""

from __future__ import annotations

from pathlib import Path

KIB = 1024


def anonymous() -> int:
    """Bytes of this process's private memory that no file stands behind (RssAnon in proc(5))."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * KIB
    raise RuntimeError("/proc/self/status has no RssAnon: not Linux 4.5 or later")
