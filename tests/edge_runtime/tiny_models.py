"""The tiny checkpoints, converted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.converted import once
from tests.edge_runtime import tiny_checkpoint

SENTENCES = (
    "turn off the kitchen lights",
    "play the light in paris and berlin",
    "hello, o'clock and 42!",
    "turn on the lights in the kitchen; play o in berlin.",
)
OTHER = "other"


def convert_all(folder: Path) -> Mapping[str, Path]:
    """A model file for each checkpoint of `tiny_checkpoint.CONFIGS`, and `OTHER`: `assistant` with other weights."""
    return {name: convert_one(folder, name) for name in (*tiny_checkpoint.CONFIGS, OTHER)}


def convert_one(folder: Path, name: str) -> Path:
    """One of them, converted as `edge-converter convert` does it unless told otherwise, calibrated on `SENTENCES`."""

    def make(work: Path, file: Path) -> None:
        from converter import convert

        texts = work / "calibration.txt"
        texts.write_text("".join(f"{sentence}\n" for sentence in SENTENCES * 4))
        kind, seed = ("assistant", 1) if name == OTHER else (name, 0)
        tiny_checkpoint.write(work / name, kind, seed)
        convert(work / name, file, calibration=texts, name=name)

    return once(f"tiny-{name}", make, folder / f"{name}.tflite")
