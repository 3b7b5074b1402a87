"""SqueezeBERT checkpoints with random weights, saved by transformers itself, for what is measured and tested here.

    python -m tests.checkpoints base FOLDER [--vocabulary FILE]      SqueezeBERT-base's true configuration
    python -m tests.checkpoints tiny FOLDER                          two layers of 32

The published weights of SqueezeBERT are on the Hugging Face hub; speed, size and memory follow from the configuration.
"""

from __future__ import annotations

import argparse
import string
from pathlib import Path

import torch
import transformers

SHARED_VOCABULARY = Path(__file__).resolve().parents[2] / "shared/data/vocab/bert_base_uncased_vocab.txt"
"""the 30,522 pieces that SqueezeBERT and BERT share"""

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SEED = 20_200_619
"""the date of the SqueezeBERT paper (arXiv:2006.11316)"""


def base(folder: Path, vocabulary: Path = SHARED_VOCABULARY) -> None:
    """Save SqueezeBertModel of `SqueezeBertConfig()`, which is squeezebert-uncased's, to `folder`."""
    _save(folder, transformers.SqueezeBertConfig(), vocabulary.read_text(encoding="utf-8").split())


def tiny(folder: Path) -> None:
    """Save a SqueezeBertModel that converts in a second, with a vocabulary of letters, to `folder`."""
    characters = string.ascii_lowercase + string.digits + string.punctuation
    pieces = [*SPECIAL, *characters, *(f"##{character}" for character in string.ascii_lowercase + string.digits)]
    config = transformers.SqueezeBertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        embedding_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    _save(folder, config, pieces)


def _save(folder: Path, config: transformers.SqueezeBertConfig, pieces: list[str]) -> None:
    torch.manual_seed(SEED)
    transformers.SqueezeBertModel(config).eval().save_pretrained(folder)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    settings = '{"do_lower_case": true, "model_max_length": %d, "tokenizer_class": "SqueezeBertTokenizer"}\n'
    (folder / "tokenizer_config.json").write_text(settings % config.max_position_embeddings)


def main() -> None:
    parser = argparse.ArgumentParser(description="save a SqueezeBERT with random weights")
    parser.add_argument("size", choices=("base", "tiny"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vocabulary", type=Path, default=SHARED_VOCABULARY, help="a piece a line (base)")
    arguments = parser.parse_args()
    if arguments.size == "base":
        base(arguments.folder, arguments.vocabulary)
    else:
        tiny(arguments.folder)
    print(f"{arguments.folder}: saved")


if __name__ == "__main__":
    main()
