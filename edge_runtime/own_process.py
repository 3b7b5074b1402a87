"""What a process that is all ours does before it loads anything heavy. An application's process is its own affair."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Collection

BLAS_THREADS = "OPENBLAS_NUM_THREADS"
OBJECTS = 100_000
"""more of them than before have the garbage collector look for some; Python's own number is 700"""
_USUAL = gc.get_threshold()


def start_lean() -> None:
    """Start without what a start does for nothing.

    - NumPy's OpenBLAS starts a thread for each further core, and each waits a tenth of a second for work by spinning.
      Nothing here multiplies matrices with NumPy. (It is heeded while NumPy is not imported; a number that is set
      stays.)
    - The garbage collector goes through all that is being imported, again and again, and nothing of it is garbage: it
      looks seldom, until `loaded`.
    """
    if "numpy" not in sys.modules:
        os.environ.setdefault(BLAS_THREADS, "1")
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])


def loaded() -> None:
    """What is there now stays: the collector need not look at it again, but at what comes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_USUAL)


def keep_to(cores: Collection[int]) -> bool:
    """Keep this process, and the threads that it will start, to some cores; where none of them is there, to all."""
    try:
        os.sched_setaffinity(0, cores)
    except OSError:
        return False
    return True
