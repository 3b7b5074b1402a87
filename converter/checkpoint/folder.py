"""Reads a checkpoint folder: configuration, weights, tokenizer and heads, in this order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from converter.checkpoint.configuration import Configuration, read_configuration
from converter.checkpoint.encoder import encoder_prefix, read_encoder
from converter.checkpoint.heads import read_heads
from converter.checkpoint.tokenizer import read_tokenizer
from converter.checkpoint.weights import open_weights
from converter.errors import CheckpointError
from converter.network import Network

# What the card repeats of a checkpoint's own config.json, beside the fields that become part of the network.
DETAILS = ("training",)


def read(folder: Path, heads: Sequence[str] | None = None) -> Network:
    """Reads a local Hugging Face folder of a SqueezeBERT or BERT checkpoint into float32 arrays.

    Args:
        folder: holds config.json; model.safetensors or pytorch_model.bin, sharded or not; tokenizer.json or
            vocab.txt.
        heads: names of the heads wanted, in the order of the outputs. A model without a task head has "embedding"
            (pooled sentence vector, the default), "hidden" ([S, H], the last hidden state) and "pooled" (pooler, tanh
            of the first token); these can be asked of a model with a task head, too, whose default is its own heads.

    Raises:
        CheckpointError: naming the file, field or weight that is missing, damaged or not supported.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; give the folder of a checkpoint that holds config.json")
    configuration = read_configuration(folder)
    weights = open_weights(folder)
    prefix = encoder_prefix(weights)
    encoder = read_encoder(configuration, weights, prefix)
    tokenizer, token_limit = read_tokenizer(folder, vocabulary=configuration.vocab_size)
    return Network(
        encoder=encoder,
        heads=read_heads(configuration, weights, prefix, encoder, heads),
        tokenizer=tokenizer,
        max_length=min(configuration.max_position_embeddings, token_limit or configuration.max_position_embeddings),
        family=configuration.family,
        source=configuration.name or folder.resolve().name,
        licence=_licence(folder, configuration),
        details={key: configuration.fields[key] for key in DETAILS if key in configuration.fields},
    )


def _licence(folder: Path, configuration: Configuration) -> str | None:
    """The checkpoint's licence: config.json's own field, or else the `license` of its card's front matter."""
    for key in ("licence", "license"):
        if isinstance(configuration.fields.get(key), str):
            return str(configuration.fields[key])
    card = folder / "README.md"
    if not card.is_file():
        return None
    front_matter = re.match(r"---\s*\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    found = front_matter and re.search(r"^licen[sc]e:\s*[\"']?([^\"'\n]+)", front_matter.group(1), re.MULTILINE)
    return found.group(1).strip() if found else None
