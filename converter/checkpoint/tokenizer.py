"""The tokenizer of a checkpoint as tokenizer.json's text, built from vocab.txt where there is no such file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from converter.checkpoint.json_file import read_object
from converter.errors import CheckpointError

# BERT's own names, used where tokenizer_config.json and special_tokens_map.json name no others.
SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
# A longer word becomes the unknown token (BERT's reference tokenizer, and the default of transformers' one).
LONGEST_WORD = 100


def read_tokenizer(folder: Path, vocabulary: int) -> tuple[str, int | None]:
    """Reads tokenizer.json, or builds it from vocab.txt and tokenizer_config.json.

    Padding and truncation are taken out: a sequence is run at its exact length, and what happens to a text that is too
    long is the runtime's policy.

    Args:
        folder: the checkpoint's.
        vocabulary: rows of the word embeddings; no token may have an id beyond them.

    Returns:
        tokenizer.json's text, and tokenizer_config.json's `model_max_length` in tokens if it says one.

    Raises:
        CheckpointError: neither file is there, one is damaged, a special token is missing, or an id is too large.
    """
    settings = _settings(folder)
    if (folder / "tokenizer.json").is_file():
        path = folder / "tokenizer.json"
        content = {**read_object(path), "truncation": None, "padding": None}
        text = json.dumps(content, ensure_ascii=False)
    elif (folder / "vocab.txt").is_file():
        path = folder / "vocab.txt"
        text = wordpiece(path, settings)
    else:
        raise CheckpointError(f"{folder} has no tokenizer: neither tokenizer.json nor vocab.txt")
    _check(path, text, vocabulary)
    limit = settings.get("model_max_length")
    # transformers writes 1e30 where it knows no limit, which the caller's own limit undercuts.
    return text, int(limit) if isinstance(limit, int | float) and limit >= 1 else None


def wordpiece(vocabulary: Path, settings: dict[str, Any]) -> str:
    """tokenizer.json's text for BERT's WordPiece pipeline over a vocab.txt (one token a line).

    Args:
        vocabulary: the vocab.txt.
        settings: as in tokenizer_config.json: do_lower_case, tokenize_chinese_chars, strip_accents, special tokens.

    Raises:
        CheckpointError: the vocabulary cannot be read or lacks a special token.
    """
    from tokenizers import Tokenizer
    from tokenizers.decoders import WordPiece as WordPieceDecoder
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing

    ids = read_vocabulary(vocabulary)
    tokens = {name: _special(settings, name) for name in SPECIAL_TOKENS}
    for name in ("unk_token", "cls_token", "sep_token"):
        if tokens[name] not in ids:
            raise CheckpointError(f"{vocabulary} lacks the token {tokens[name]} ({name})")
    tokenizer = Tokenizer(WordPiece(ids, unk_token=tokens["unk_token"], max_input_chars_per_word=LONGEST_WORD))
    tokenizer.normalizer = BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(settings.get("tokenize_chinese_chars", True)),
        strip_accents=settings.get("strip_accents"),
        lowercase=bool(settings.get("do_lower_case", True)),
    )
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.decoder = WordPieceDecoder()
    cls, sep = tokens["cls_token"], tokens["sep_token"]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, ids[cls]), (sep, ids[sep])],
    )
    tokenizer.add_special_tokens([token for token in tokens.values() if token in ids])
    return str(tokenizer.to_str())


def read_vocabulary(path: Path) -> dict[str, int]:
    """Token to id of a vocab.txt: one token a line, its id is its line counted from 0.

    Raises:
        CheckpointError: the file cannot be read, is empty or not UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise CheckpointError(f"{path} is empty")
    return {line.rstrip("\r"): number for number, line in enumerate(lines)}


def _settings(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            settings.update(read_object(folder / name))
    return settings


def _special(settings: dict[str, Any], name: str) -> str:
    """A special token's text, which transformers writes as a name or as an object with `content`."""
    value = settings.get(name)
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else SPECIAL_TOKENS[name]


def _check(path: Path, text: str, vocabulary: int) -> None:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises plain Exception
        raise CheckpointError(f"{path} is not a tokenizer: {error}") from error
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest < 0:
        raise CheckpointError(f"{path} holds no tokens")
    if largest >= vocabulary:
        raise CheckpointError(
            f"{path} has a token of id {largest}, but the checkpoint has {vocabulary} word embeddings"
        )
