"""How a sentence-transformers folder makes one vector of a text; the mean of all tokens where it does not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from converter.checkpoint.json_file import read_json, read_object
from converter.errors import CheckpointError
from converter.network import Pooling

# sentence-transformers' names of the two ways that the network knows.
_MODES: dict[str, Pooling] = {"mean": "mean", "mean_tokens": "mean", "cls": "first", "cls_token": "first"}


def embedding_pooling(folder: Path) -> Pooling:
    """The pooling that `folder`'s 1_Pooling/config.json asks for, "mean" without one.

    Raises:
        CheckpointError: it asks for another one or for several, or modules.json has steps other than pooling and
            normalising after the encoder.
    """
    modules = folder / "modules.json"
    if modules.is_file():
        _check_modules(modules)
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return "mean"
    modes = _active_modes(read_object(path))
    if len(modes) != 1 or modes[0] not in _MODES:
        raise CheckpointError(f"{path} asks for the pooling {' + '.join(modes) or 'none'}; supported are mean and cls")
    return _MODES[modes[0]]


def _active_modes(fields: dict[str, Any]) -> list[str]:
    named = fields.get("pooling_mode")
    if isinstance(named, str):
        return [named]
    if isinstance(named, list):
        return [str(mode) for mode in named]
    start = "pooling_mode_"
    return [name.removeprefix(start) for name, active in fields.items() if name.startswith(start) and active]


def _check_modules(path: Path) -> None:
    steps = read_json(path)
    for step in steps if isinstance(steps, list) else [steps]:
        kind = str(step.get("type", "")) if isinstance(step, dict) else ""
        if kind.rpartition(".")[2] not in ("Transformer", "Pooling", "Normalize"):
            raise CheckpointError(f"{path}: the step {kind!r} is not supported; Transformer, Pooling and Normalize are")
