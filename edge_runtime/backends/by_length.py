"""Several copies of a network, each laid out for another length of text.

An interpreter lays out its tensors anew where a text is longer or shorter than the one before. For commands of a few
words that takes nearly as long as running them; a copy that has just this length needs not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_runtime.errors import EdgeError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.backends.backend import Backend

MAX_LENGTHS = 64
"""copies of a network that a process may keep"""


class ByLength:
    """A backend that keeps up to `most` copies of one, made as lengths turn up; the one used longest ago gives way."""

    def __init__(self, first: Backend, another: Callable[[], Backend], most: int) -> None:
        self.name = first.name
        self.version = first.version
        self.weight_cache: Path | None = first.weight_cache
        self._unused: list[Backend] = [first]
        self._another = another
        self._most = most
        self._copies: OrderedDict[int, Backend] = OrderedDict()
        """by the length that each ran last; the one used longest ago is first"""

    def run(self, ids: NDArray[np.int32], positions: NDArray[np.int32]) -> list[NDArray[np.int8]]:
        """See `backend.Backend.run`."""
        length = len(ids)
        if length not in self._copies:
            self._copies[length] = self._free()
        self._copies.move_to_end(length)
        return self._copies[length].run(ids, positions)

    def _free(self) -> Backend:
        if self._unused:
            return self._unused.pop()
        if len(self._copies) < self._most:
            try:
                return self._another()
            except (EdgeError, MemoryError):
                # those that are there do as well, only slower
                self._most = len(self._copies)
        return self._copies.popitem(last=False)[1]

    def close(self) -> None:
        """See `backend.Backend.close`."""
        for backend in (*self._unused, *self._copies.values()):
            backend.close()
        self._unused, self._copies = [], OrderedDict()
