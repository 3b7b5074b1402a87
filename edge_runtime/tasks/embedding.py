"""Pooled outputs of a text → its vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def unit(pooled: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same direction, [hidden], at length 1. All zeros have no direction and stay as they are."""
    vector = pooled.astype(np.float64)
    scaled: NDArray[np.float32] = (vector / (float(np.linalg.norm(vector)) or 1.0)).astype(np.float32)
    return scaled
