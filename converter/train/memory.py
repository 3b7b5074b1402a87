"""Memory that one training step gives back stays with the process for the next."""

from __future__ import annotations

import ctypes

# numbers of <malloc.h>
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT = 1 << 30
"""bytes"""
LARGEST_PIECE = 1 << 25
"""that glibc before 2.35 lets MMAP_THRESHOLD be"""


def keep_freed() -> None:
    """Every step needs the same few hundred pieces of some megabytes again; by default glibc asks the system for each
    and returns it, and the system clears its pages: a sixth of a step's time in quantisation-aware training. Does
    nothing where the C library is another.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    if not mallopt(MMAP_THRESHOLD, KEPT):
        mallopt(MMAP_THRESHOLD, LARGEST_PIECE)
    mallopt(TRIM_THRESHOLD, 2 * KEPT - 1)
