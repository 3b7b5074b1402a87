"""Checkpoints that come with the converter, to start trainings from where none is at hand."""

from __future__ import annotations

from pathlib import Path

from converter.errors import CheckpointError

FOLDER = Path(__file__).parent / "data" / "starters"


def names() -> list[str]:
    """Of the checkpoints that come with the converter."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def find(name_or_path: str) -> Path:
    """The folder of a checkpoint: the folder itself, or one that came with the converter by its name.

    A checkpoint of the user's own comes first: whoever trained one into a folder `reader` means that one.

    Raises:
        CheckpointError: neither is there; it names those that came with the converter.
    """
    path = Path(name_or_path)
    if name_or_path in names() and not (path / "config.json").is_file():
        return FOLDER / name_or_path
    if path.is_dir():
        return path
    known = ", ".join(names()) or "none"
    raise CheckpointError(f"{name_or_path} is no checkpoint folder, and none of this name came along; known: {known}")
