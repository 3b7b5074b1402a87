"""A smaller vocabulary: without wordpieces that texts of a kind hardly have, whose rows are most of a small model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from converter.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

COUNTED_AT_ONCE = 1024
"""texts given to the tokenizer in one call: enough to keep it busy, few enough to hold their tokens"""
PRINTABLE = frozenset(map(chr, range(0x21, 0x7F)))
"""ASCII: kept whether the texts have it or not, for names, codes and numbers are spelt with it"""


@dataclass(frozen=True)
class Trimmed:
    """What trimming did."""

    vocabulary_before: int
    vocabulary: int
    parameters_before: int
    parameters: int
    texts: int
    tokens_before: int
    """of all texts, special ones left out"""
    tokens: int
    without_self_test: bool = False
    """a model file's questions were left out; it may answer them otherwise"""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def count(tokenizer: Tokenizer, texts: Iterable[str]) -> Counter[int]:
    """How often each token occurs in texts, special ones that the tokenizer adds left out."""
    from tokenizers import Tokenizer as Whole

    whole = Whole.from_str(tokenizer.to_str())
    whole.no_truncation()
    whole.no_padding()
    counts: Counter[int] = Counter()
    remaining = iter(texts)
    while some := list(islice(remaining, COUNTED_AT_ONCE)):
        for encoding in whole.encode_batch_fast(some, add_special_tokens=False):
            counts.update(encoding.ids)
    return counts


def trim(tokenizer_json: str, counts: Mapping[int, int], size: int) -> tuple[str, list[int]]:
    """Keep the wordpieces that matter, under ids in their old order.

    Kept are: special tokens; every character that counted tokens are made of, and all of ASCII, alone and inside a word
    (`x`, `##x`), so that no text made of them becomes unknown; then the most frequent wordpieces, the earlier of
    equally frequent ones first (BERT's vocabulary begins with the frequent ones). A text whose wordpieces are all kept
    is tokenised as before, for the longest piece that fits is still the longest.

    Args:
        tokenizer_json: of a WordPiece tokenizer.
        counts: how often a token occurs, by id; ids left out do not.
        size: tokens to keep at most.

    Returns:
        The new tokenizer.json, and the old id of each new one.

    Raises:
        CheckpointError: the tokenizer is not WordPiece, `size` leaves no room for what has to be kept, or is not less
            than the vocabulary has.
    """
    content = json.loads(tokenizer_json)
    model = content.get("model") or {}
    if model.get("type") != "WordPiece":
        raise CheckpointError(
            f"only a WordPiece vocabulary can be trimmed, and this tokenizer is of the type {model.get('type')}"
        )
    vocabulary: dict[str, int] = model["vocab"]
    added = {token["content"]: int(token["id"]) for token in content.get("added_tokens") or ()}
    ids = {**vocabulary, **added}
    if size >= len(ids):
        raise CheckpointError(f"the vocabulary has {len(ids)} tokens already; {size} is not fewer")
    kept = _needed(content, ids, counts)
    if len(kept) > size:
        raise CheckpointError(
            f"a vocabulary of {size} has no room for the special tokens and characters of these texts: "
            f"give {len(kept)} or more"
        )
    rest = sorted((old for old in ids.values() if old not in kept), key=_order(ids, counts))
    order = sorted(kept | set(rest[: size - len(kept)]))
    renumbered = {old: new for new, old in enumerate(order)}
    model["vocab"] = {token: renumbered[old] for token, old in vocabulary.items() if old in renumbered}
    for token in content.get("added_tokens") or ():
        token["id"] = renumbered[token["id"]]
    if isinstance(content.get("padding"), dict):
        content["padding"]["pad_id"] = renumbered[content["padding"]["pad_id"]]
    for processor in _processors(content.get("post_processor")):
        _renumber(processor, renumbered)
    return json.dumps(content, ensure_ascii=False), order


def _needed(content: Mapping[str, Any], ids: Mapping[str, int], counts: Mapping[int, int]) -> set[int]:
    """Ids that stay whatever `size` is."""
    model = content["model"]
    prefix = model["continuing_subword_prefix"]
    special = {int(token["id"]) for token in content.get("added_tokens") or ()} | {ids[model["unk_token"]]}
    special |= {token for processor in _processors(content.get("post_processor")) for token in _tokens(processor)}
    characters = set(PRINTABLE)
    for token, old in ids.items():
        if counts.get(old) and old not in special:
            characters.update(token.removeprefix(prefix))
    return special | {ids[form] for character in characters for form in (character, prefix + character) if form in ids}


def _order(ids: Mapping[str, int], counts: Mapping[int, int]) -> Any:
    """Sorts ids by what they are worth. BERT's places for tokens to come ([unused7]) are worth nothing."""
    vacant = {old for token, old in ids.items() if token.startswith("[unused")}
    return lambda old: (-counts.get(old, 0), old in vacant, old)


def _processors(processor: Any) -> Iterator[dict[str, Any]]:
    """The steps that put special tokens around a text."""
    if isinstance(processor, dict):
        if processor.get("type") == "Sequence":
            for step in processor["processors"]:
                yield from _processors(step)
        else:
            yield processor


def _tokens(processor: Mapping[str, Any]) -> list[int]:
    if processor.get("type") == "TemplateProcessing":
        return [old for token in processor["special_tokens"].values() for old in token["ids"]]
    # BertProcessing and RobertaProcessing: "sep": ["[SEP]", 102]
    return [int(processor[name][1]) for name in ("sep", "cls") if name in processor]


def _renumber(processor: dict[str, Any], renumbered: Mapping[int, int]) -> None:
    if processor.get("type") == "TemplateProcessing":
        for token in processor["special_tokens"].values():
            token["ids"] = [renumbered[old] for old in token["ids"]]
    else:
        for name in ("sep", "cls"):
            if name in processor:
                processor[name][1] = renumbered[processor[name][1]]
