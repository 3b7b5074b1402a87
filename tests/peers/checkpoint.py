"""SqueezeBERT-base with random weights: the true configuration, saved by transformers' own classes.

    python -m tests.peers.checkpoint FOLDER [--vocabulary FILE]

The published weights are on the Hugging Face hub; speed, size and memory follow from the configuration.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import transformers

SHARED_VOCABULARY = Path(__file__).resolve().parents[3] / "shared/data/vocab/bert_base_uncased_vocab.txt"
"""the 30,522 pieces that SqueezeBERT and BERT share"""
SEED = 20_200_619
"""the date of the SqueezeBERT paper (arXiv:2006.11316)"""


def save(folder: Path, vocabulary: Path = SHARED_VOCABULARY) -> None:
    """Save SqueezeBertModel of `SqueezeBertConfig()`, whose defaults are squeezebert-uncased's, to `folder`."""
    torch.manual_seed(SEED)
    config = transformers.SqueezeBertConfig()
    transformers.SqueezeBertModel(config).eval().save_pretrained(folder)
    _add_tokenizer(folder, vocabulary, config, "SqueezeBertTokenizer")


def save_bert(folder: Path, vocabulary: Path = SHARED_VOCABULARY) -> None:
    """Save BertModel of `BertConfig()`, whose defaults are bert-base-uncased's, without a pooler to `folder`."""
    torch.manual_seed(SEED)
    config = transformers.BertConfig()
    transformers.BertModel(config, add_pooling_layer=False).eval().save_pretrained(folder)
    _add_tokenizer(folder, vocabulary, config, "BertTokenizer")


def _add_tokenizer(folder: Path, vocabulary: Path, config: Any, name: str) -> None:
    (folder / "vocab.txt").write_bytes(vocabulary.read_bytes())
    settings = {"do_lower_case": True, "model_max_length": config.max_position_embeddings, "tokenizer_class": name}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def main() -> None:
    parser = argparse.ArgumentParser(description="save SqueezeBERT-base with random weights")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vocabulary", type=Path, default=SHARED_VOCABULARY, help="a piece a line")
    arguments = parser.parse_args()
    save(arguments.folder, arguments.vocabulary)
    print(f"{arguments.folder}: saved")


if __name__ == "__main__":
    main()
