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
    seeds = {**dict.fromkeys(tiny_checkpoint.CONFIGS, 0), OTHER: 1}
    return {name: _convert(folder, name, seed) for name, seed in seeds.items()}


def _convert(folder: Path, name: str, seed: int) -> Path:
    def make(work: Path, file: Path) -> None:
        from converter import convert

        texts = work / "calibration.txt"
        texts.write_text("".join(f"{sentence}\n" for sentence in SENTENCES * 4))
        tiny_checkpoint.write(work / name, "assistant" if name == OTHER else name, seed)
        convert(work / name, file, calibration=texts, name=name)

    return once(f"tiny-{name}", make, folder / f"{name}.tflite")
