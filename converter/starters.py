"""Checkpoints that come with the converter, to start trainings from where none is at hand."""

from __future__ import annotations

from pathlib import Path

from converter.errors import CheckpointError

FOLDER = Path(__file__).parent / "data" / "starters"


def names() -> list[str]:
    """Of the checkpoints that come with the converter."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def find(name_or_path: str) -> Path:
    """The folder of a checkpoint: one that came with the converter by its name, or the folder itself.

    Raises:
        CheckpointError: neither is there; it names those that came with the converter.
    """
    if name_or_path in names():
        return FOLDER / name_or_path
    path = Path(name_or_path)
    if path.is_dir():
        return path
    known = ", ".join(names()) or "none"
    raise CheckpointError(f"{name_or_path} is no checkpoint folder, and none of this name came along; known: {known}")
