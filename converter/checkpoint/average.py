"""The mean of several checkpoints' weights: a soup (Wortsman et al., 2022, https://arxiv.org/abs/2203.05482).

Trainings that start from one checkpoint, head included, and differ in their seeds end in the same valley; between them
lies a model that is as good as most of them or better, and hangs less on chance. It costs nothing where it runs. Heads
that began at random have nothing in common: their mean is none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter import trained
from converter.checkpoint.beside import copy_beside
from converter.checkpoint.configuration import read_configuration
from converter.checkpoint.weights import open_weights
from converter.errors import CheckpointError
from converter.network import Array

OWN = ("training", "_name_or_path", "licence", "license")
"""fields of config.json in which checkpoints may differ and be averaged all the same …"""
CONFIDENCE = ("_temperature", "_threshold", "_reliability")
"""… and ends of the names of those that say how far a head's answers can be believed"""
OF_ITS_WEIGHTS = ("validation", "best_epoch")
"""what `training` says of the weights that were averaged, not of the mean"""


def average(checkpoints: Sequence[Path], output: Path) -> None:
    """Writes the checkpoint whose weights are the mean of `checkpoints`' to the folder `output`.

    All else is the first one's: tokenizer, calibration texts, how far its answers can be believed, and the ranges that
    it was trained in if it was trained in integers.

    Raises:
        CheckpointError: there are fewer than two, they are not alike (sizes, labels, vocabulary), one of them cannot be
            read, or the folder cannot be made or is one of theirs.
        CalibrationError: the first one's ranges are damaged or of other weights.
    """
    from safetensors.numpy import save_file

    if len(checkpoints) < 2:
        raise CheckpointError("a mean takes two checkpoints or more")
    if output.resolve() in {checkpoint.resolve() for checkpoint in checkpoints}:
        raise CheckpointError(f"{output} is one of the checkpoints; give another folder for their mean")
    first, *others = checkpoints
    fields = read_configuration(first).fields
    for other in others:
        _compare(first, fields, other)
    opened = [open_weights(checkpoint) for checkpoint in checkpoints]
    means: dict[str, Array] = {}
    for name in opened[0].floats():
        shape = opened[0].shape(name)
        total: NDArray[np.float64] = np.zeros(shape)
        for checkpoint, weights in zip(checkpoints, opened, strict=True):
            if name not in weights or weights.shape(name) != shape:
                raise CheckpointError(f"{checkpoint} has no weight {name} of {list(shape)}, as {first} has")
            total += weights.take(name, *shape)
        means[name] = (total / len(opened)).astype(np.float32)
    config: dict[str, Any] = json.loads((first / "config.json").read_text(encoding="utf-8"))
    said = config.get("training", {})
    config["training"] = {
        **{key: value for key, value in said.items() if key not in OF_ITS_WEIGHTS},
        "averaged": [checkpoint.absolute().name for checkpoint in checkpoints],
    }
    copy_beside(first, output)
    try:
        (output / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        save_file(means, output / "model.safetensors", metadata={"format": "pt"})
        trained.carry_over(first, output)
    except OSError as error:
        raise CheckpointError(f"cannot write {output}: {error.strerror}") from error


def _compare(first: Path, fields: dict[str, Any], other: Path) -> None:
    """CheckpointError if the two are not of one kind."""
    theirs = read_configuration(other).fields
    names = (fields.keys() | theirs.keys()) - set(OWN)
    compared = (name for name in names if not name.endswith(CONFIDENCE))
    different = sorted(name for name in compared if fields.get(name) != theirs.get(name))
    if different:
        raise CheckpointError(f"{other} is not like {first}: {', '.join(different)} differ")
    for name in ("tokenizer.json", "vocab.txt"):
        texts = [(folder / name).read_bytes() if (folder / name).is_file() else None for folder in (first, other)]
        if texts[0] != texts[1]:
            raise CheckpointError(f"{other} is not like {first}: {name} differs")
