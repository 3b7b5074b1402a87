"""The interface that every TFLite runtime is put behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.manifest import Head

SIGNATURE = "serving_default"
INPUTS = ("ids", "positions")
"""both int32 [1, S]"""


class Backend(Protocol):
    """One network, ready to run. One call at a time; the engine sees to that."""

    name: str
    """litert-compiled, litert or tflite-runtime"""
    version: str
    weight_cache: Path | None
    """file that the packed weights are mapped from, if there is one"""

    def run(self, ids: NDArray[np.int32], positions: NDArray[np.int32]) -> list[NDArray[np.int8]]:
        """Run the network at the exact length of its inputs.

        Args:
            ids: rows of the word table, [S].
            positions: rows of the position table, [S].

        Returns:
            For each head, in the manifest's order, its values [rows, width].

        Raises:
            BackendError: the interpreter failed.
        """
        ...

    def close(self) -> None:
        """Free what the interpreter holds."""
        ...


def mismatch(
    inputs: Sequence[tuple[str, str]], outputs: Sequence[tuple[str, str, int]], heads: Sequence[Head]
) -> str | None:
    """What distinguishes a network's interface from the manifest's heads, or None if nothing does.

    Args:
        inputs: name and type of each input.
        outputs: name, type and last dimension of each output.
        heads: as the manifest has them.
    """
    if list(inputs) != [(name, "int32") for name in INPUTS]:
        return f"the network's inputs are {inputs}, not int32 ids and positions"
    wanted = [(head.name, "int8", head.width) for head in heads]
    if list(outputs) != wanted:
        return f"the network's outputs are {list(outputs)[:4]}, the manifest's heads {wanted[:4]}"
    return None
