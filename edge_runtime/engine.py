"""Token ids → float32 logits: checks, the position table's rows, one call at a time, dequantisation."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.errors import BackendError, InputError, TooLong

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.backends.backend import Backend
    from edge_runtime.manifest import Manifest

Tokens = Sequence[int] | Any
"""a list, tuple or one-dimensional array of integers"""


class Engine:
    """Runs one network. Threads may share it: an interpreter serves one call at a time, and a lock sees to that."""

    def __init__(self, backend: Backend, manifest: Manifest) -> None:
        self._backend: Backend | None = backend
        self._manifest = manifest
        self._lock = threading.Lock()
        self.seconds = 0.0
        """spent in the network since loading"""

    def run(self, ids: Tokens, types: Tokens | None = None) -> dict[str, NDArray[np.float32]]:
        """Run the network at exactly the length of `ids`.

        Args:
            ids: rows of the word table, special tokens included, [S].
            types: token type of each, [S]; all 0 if left out.

        Returns:
            Logits by head: [S, width] for heads per token, [1, width] for heads per text.

        Raises:
            InputError: no ids, ids or types out of range, or lengths that differ.
            TooLong: more ids than the model's `max_length`.
            BackendError: the interpreter failed, or the model is closed.
        """
        manifest = self._manifest
        rows = _integers("ids", ids, manifest.vocabulary)
        length = len(rows)
        if length == 0:
            raise InputError("ids is empty; a sequence has at least one token")
        if length > manifest.max_length:
            raise TooLong(f"ids has {length} tokens and the model takes {manifest.max_length}")
        positions = np.arange(length, dtype=np.int32)
        if types is not None:
            kinds = _integers("types", types, manifest.token_types)
            if len(kinds) != length:
                raise InputError(f"types has {len(kinds)} entries and ids {length}")
            positions += kinds * np.int32(manifest.positions_per_type)
        with self._lock:
            if self._backend is None:
                raise BackendError("the model is closed; load it again")
            began = time.perf_counter()
            values = self._backend.run(rows, positions)
            self.seconds += time.perf_counter() - began
        return {
            head.name: (quantised.astype(np.float32) - np.float32(head.zero_point)) * np.float32(head.scale)
            for head, quantised in zip(manifest.heads, values, strict=True)
        }

    def close(self) -> None:
        """Free the interpreter; later calls raise `BackendError`. A call that is under way ends first."""
        with self._lock:
            if self._backend is not None:
                self._backend.close()
                self._backend = None


def _integers(name: str, values: Tokens, limit: int) -> NDArray[np.int32]:
    """A one-dimensional int32 array of values within [0, limit)."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"{name} must be a list or array of integers") from None
    if array.size == 0 and array.ndim == 1:
        return np.zeros(0, np.int32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"{name} must be a list or array of integers in one dimension")
    wrong = (array < 0) | (array >= limit)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise InputError(f"{name}[{place}] is {int(array[place])}; the model takes 0 to {limit - 1}")
    return array.astype(np.int32)
