"""The backends that this machine can load models with, so that tests of them run on every board."""

from __future__ import annotations

from contextlib import suppress

from edge_runtime.backends.selection import NAMES, select
from edge_runtime.errors import BackendError


def _usable() -> tuple[str, ...]:
    found = []
    for name in NAMES:
        with suppress(BackendError):
            found.append(select(name).name)
    return tuple(found)


USABLE = _usable()
BEST = USABLE[0]
"""what is chosen unless told otherwise; which that is on which core, `tests.arm.test_boards` says"""
LAST = USABLE[-1]
"""the classic interpreter, which every board has; another than `BEST` where there is a choice"""
