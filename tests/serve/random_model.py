"""Models with random weights for servers that are measured or reloaded."""

from __future__ import annotations

import os
from pathlib import Path

from converter import convert
from tests.converter.random_checkpoint import make
from tests.edge_runtime import tiny_checkpoint
from tests.serve.questions import texts

WIDTH = 256
VOCABULARY = 4096


def convert_random(folder: Path, layers: int, seed: int = 0, name: str = "random") -> Path:
    """Convert a SqueezeBERT classifier, `layers` deep and `WIDTH` wide, drawn from `seed` → its file."""
    checkpoint = folder / f"{name}-{layers}-{seed}"
    make(
        checkpoint,
        "SqueezeBertForSequenceClassification",
        seed,
        hidden_size=WIDTH,
        embedding_size=WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=128,
        vocab_size=VOCABULARY,
        num_labels=5,
    )
    sentences = texts(640)
    _vocabulary(checkpoint / "vocab.txt", sentences)
    calibration = folder / "calibration.txt"
    calibration.write_text("".join(f"{text}\n" for text in sentences[::20]), encoding="utf-8")
    file = folder / f"{name}-{seed}.tflite"
    convert(os.fspath(checkpoint), file, calibration=calibration, name=name)
    return file


def _vocabulary(file: Path, sentences: list[str]) -> None:
    """Words of the sentences and single characters, filled up to the size that the checkpoint has."""
    words = {word for sentence in sentences for word in sentence.split()}
    characters = {chr(code) for code in range(33, 127)}
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(words | characters)]
    pieces += [f"##{character}" for character in sorted(characters)]
    pieces += [f"[unused{number}]" for number in range(VOCABULARY - len(pieces))]
    file.write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")


def convert_tiny(folder: Path, seed: int, name: str = "tiny") -> Path:
    """Convert a tiny intent-and-slots model drawn from `seed` → its file; done in a second."""
    checkpoint = folder / f"{name}-{seed}"
    tiny_checkpoint.write(checkpoint, "assistant", seed)
    calibration = folder / "calibration.txt"
    calibration.write_text("".join(f"{text}\n" for text in texts(640)[::20]), encoding="utf-8")
    file = folder / f"{name}-{seed}.tflite"
    convert(checkpoint, file, calibration=calibration, name=name)
    return file
