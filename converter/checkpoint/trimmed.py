"""A checkpoint with a smaller vocabulary: tokenizer, word embeddings and what else has a row for each token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converter import trained
from converter.checkpoint.beside import copy_beside
from converter.checkpoint.configuration import read_configuration
from converter.checkpoint.json_file import read_object
from converter.checkpoint.tokenizer import read_tokenizer
from converter.checkpoint.weights import open_weights
from converter.errors import CheckpointError
from converter.trimming import Trimmed, count, trim

# Rows by token: the word embeddings, and the masked language model's output, in BERT's and SqueezeBERT's names.
BY_TOKEN = (
    "embeddings.word_embeddings.weight",
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
    "cls.predictions.bias",
)
# What says how vectors are pooled, whose the checkpoint is and so on; no weights and vocabularies in other forms.
BESIDE = (
    "1_Pooling",
    "2_Normalize",
    "README.md",
    "calibration.txt",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
)


def trim_checkpoint(checkpoint: Path, output: Path, size: int, texts: Sequence[str]) -> Trimmed:
    """Writes `checkpoint` to the folder `output` with the `size` tokens that matter for `texts` (`trimming.trim`).

    Weights are written as float32. Texts whose wordpieces are kept give the same results as before, to the bit.

    Raises:
        CheckpointError: the checkpoint cannot be read or trimmed so far, or the folder cannot be written.
        CalibrationError: what it was trained with is damaged.
    """
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer

    if output.resolve() == checkpoint.resolve():
        raise CheckpointError(f"{output} is the checkpoint itself; give another folder to write")
    configuration = read_configuration(checkpoint)
    weights = open_weights(checkpoint)
    before, _ = read_tokenizer(checkpoint, configuration.vocab_size)
    old = Tokenizer.from_str(before)
    counts = count(old, texts)
    if not counts:
        raise CheckpointError("the texts to trim by are empty")
    after, kept = trim(before, counts, size)
    stored = {}
    parameters = 0
    for name in weights.floats():
        values = weights.take(name, *weights.shape(name))
        parameters += values.size
        stored[name] = values[kept] if name.endswith(BY_TOKEN) else values
    try:
        output.mkdir(parents=True, exist_ok=True)
        copy_beside(checkpoint, output, BESIDE)
        _write(output / "config.json", _renumbered(configuration.fields, kept) | {"vocab_size": len(kept)})
        (output / "tokenizer.json").write_text(after, encoding="utf-8")
        if (checkpoint / "tokenizer_config.json").is_file():
            _write(output / "tokenizer_config.json", _settings(checkpoint, after))
        # Of an earlier checkpoint in this folder: they would disagree with what is written now.
        for stale in ("vocab.txt", "added_tokens.json"):
            (output / stale).unlink(missing_ok=True)
        save_file(stored, output / "model.safetensors", metadata={"format": "pt"})
        trained.carry_over(checkpoint, output)
    except OSError as error:
        raise CheckpointError(f"cannot write {output}: {error.strerror}") from error
    return Trimmed(
        vocabulary_before=old.get_vocab_size(),
        vocabulary=len(kept),
        parameters_before=parameters,
        parameters=sum(values.size for values in stored.values()),
        texts=len(texts),
        tokens_before=counts.total(),
        tokens=count(Tokenizer.from_str(after), texts).total(),
    )


def _renumbered(fields: dict[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """config.json's ids of special tokens (pad_token_id …) as they are now; one that is gone is left out."""
    new = {old: place for place, old in enumerate(kept)}
    result = {}
    for name, value in fields.items():
        if name.endswith("_token_id") and value is not None:
            if value in new:
                result[name] = new[value]
        else:
            result[name] = value
    return result


def _settings(checkpoint: Path, tokenizer: str) -> dict[str, Any]:
    """tokenizer_config.json, with the ids of its added tokens as tokenizer.json now has them."""
    settings = read_object(checkpoint / "tokenizer_config.json")
    if isinstance(settings.get("added_tokens_decoder"), dict):
        ids = {token["content"]: token["id"] for token in json.loads(tokenizer)["added_tokens"]}
        settings["added_tokens_decoder"] = {
            str(ids[token["content"]]): token
            for token in settings["added_tokens_decoder"].values()
            if token.get("content") in ids
        }
    return settings


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
