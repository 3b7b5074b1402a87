"""Models with random weights for servers that are measured or reloaded."""

from __future__ import annotations

from pathlib import Path

from tests.converted import once
from tests.edge_runtime import tiny_checkpoint
from tests.serve.questions import texts

WIDTH = 256
VOCABULARY = 4096


def convert_random(folder: Path, layers: int, seed: int = 0, name: str = "random") -> Path:
    """Convert a SqueezeBERT classifier, `layers` deep and `WIDTH` wide, drawn from `seed` → its file."""

    def make_model(work: Path, file: Path) -> None:
        from tests.converter.random_checkpoint import make

        make(
            work / name,
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
        _vocabulary(work / name / "vocab.txt", sentences)
        _convert(work, sentences, name, file)

    return once(f"{name}-{layers}-{seed}", make_model, folder / f"{name}-{seed}.tflite")


def convert_tiny(folder: Path, seed: int, name: str = "tiny") -> Path:
    """Convert a tiny intent-and-slots model drawn from `seed` → its file; done in a second."""

    def make_model(work: Path, file: Path) -> None:
        tiny_checkpoint.write(work / name, "assistant", seed)
        _convert(work, texts(640), name, file)

    return once(f"{name}-served-{seed}", make_model, folder / f"{name}-{seed}.tflite")


def _convert(work: Path, sentences: list[str], name: str, file: Path) -> None:
    from converter import convert

    calibration = work / "calibration.txt"
    calibration.write_text("".join(f"{text}\n" for text in sentences[::20]), encoding="utf-8")
    convert(work / name, file, calibration=calibration, name=name)


def _vocabulary(file: Path, sentences: list[str]) -> None:
    """Words of the sentences and single characters, filled up to the size that the checkpoint has."""
    words = {word for sentence in sentences for word in sentence.split()}
    characters = {chr(code) for code in range(33, 127)}
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(words | characters)]
    pieces += [f"##{character}" for character in sorted(characters)]
    pieces += [f"[unused{number}]" for number in range(VOCABULARY - len(pieces))]
    file.write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
