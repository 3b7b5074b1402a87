"""A checkpoint with its matrices in eight bits a weight: a quarter of the size, to be passed on and trained further."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converter.checkpoint.beside import copy_beside
from converter.checkpoint.configuration import read_configuration
from converter.checkpoint.weights import SCALE, open_weights
from converter.errors import CheckpointError
from converter.network import Array

STEPS = 127


def compact(checkpoint: Path, output: Path) -> None:
    """Writes `checkpoint` to the folder `output`, each row of each matrix in steps of its largest weight / 127.

    It reads as any checkpoint does. The rounding moves a weight by half a step at most; a model that is trained further
    does not notice, one that is only converted loses what `convert` reports against the original.

    Raises:
        CheckpointError: the checkpoint cannot be read, or the folder cannot be made.
    """
    from safetensors.numpy import save_file

    read_configuration(checkpoint)
    weights = open_weights(checkpoint)
    stored: dict[str, NDArray[np.int8] | Array] = {}
    for name in weights.floats():
        values = weights.take(name, *weights.shape(name))
        if values.ndim == 1:
            stored[name] = values
        else:
            stored[name], stored[name + SCALE] = rounded(values)
    copy_beside(checkpoint, output)
    try:
        save_file(stored, output / "model.safetensors", metadata={"format": "pt"})
        # safetensors leaves it readable by its owner alone; this one is for passing on
        (output / "model.safetensors").chmod(0o644)
    except OSError as error:
        raise CheckpointError(f"cannot write {output}: {error.strerror}") from error


def rounded(values: Array) -> tuple[NDArray[np.int8], Array]:
    """Steps and, for each row (the first dimension), the size of one."""
    rows = values.reshape(len(values), -1)
    scales = (np.abs(rows).max(axis=1) / STEPS).astype(np.float32)
    scales[scales == 0] = 1
    steps: NDArray[np.int8] = np.rint(rows / scales[:, None]).astype(np.int8).reshape(values.shape)
    return steps, scales
