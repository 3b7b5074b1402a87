"""Tags of words: how they are laid on tokens, judged and taught. Of `tag`, and of `understand`'s slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.data_sets.bio import OUTSIDE
from converter.train.features import IGNORED, Features, Taught, starts
from converter.train.tasks.task import columns, divergence, half
from converter.train.tokenisation import Tokenisation, tokens, units

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class WordFeatures(Features):
    """A text of words."""

    tags: tuple[int, ...] | None
    """one for each of `places`; None where nothing is known about tags"""
    places: tuple[int, ...]
    """the first token of each word that the tokenizer finds"""
    begins: tuple[int, ...]
    """of each of these the first character in the text"""
    words: tuple[int, ...]
    """the first token of each of the data's words; −1 where it has none or was cut off"""
    label: int = IGNORED


def tag_names(tags: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """O, then B- and I- of everything that is tagged, sorted."""
    kinds = sorted({tag[2:] for each in tags for tag in each if tag != OUTSIDE})
    return (OUTSIDE, *(f"{position}-{kind}" for kind in kinds for position in "BI"))


def word_features(
    tokenisation: Tokenisation,
    example: int,
    words: Sequence[str],
    tags: Sequence[str] | None,
    numbers: Mapping[str, int],
    label: int = IGNORED,
) -> WordFeatures:
    """Lays tags on a text's tokens: the first piece of each word of the tokenizer's gets one.

    Those of one of the data's words behind its first continue what it began.
    """
    encoding = tokenisation.encode(" ".join(words))
    found = units(words, encoding)
    first = {unit.word: unit.token for unit in reversed(found)}
    laid = None
    if tags is not None:
        # What only validation data knows cannot be learnt, and counts as missed in the scores.
        named = [
            tag if unit.begins or tag == OUTSIDE else f"I-{tag[2:]}" for unit in found for tag in (tags[unit.word],)
        ]
        laid = tuple(numbers.get(tag, IGNORED) for tag in named)
    return WordFeatures(
        texts=(tokens(encoding),),
        example=example,
        tags=laid,
        places=tuple(unit.token for unit in found),
        begins=tuple(unit.start for unit in found),
        words=tuple(first.get(word, -1) for word in range(len(words))),
        label=label,
    )


def tag_loss(logits: Tensor, batch: Sequence[WordFeatures]) -> Tensor:
    """Cross-entropy of the words' tags, of logits [N, tags]; 0 where none is known."""
    import torch
    from torch.nn import functional

    rows: list[int] = []
    targets: list[int] = []
    for start, each in zip(starts(batch), batch, strict=True):
        for place, tag in zip(each.places, each.tags or (), strict=False):
            if tag != IGNORED:
                rows.append(start + place)
                targets.append(tag)
    if not rows:
        return logits.sum() * 0
    return functional.cross_entropy(logits[rows], torch.tensor(targets))


def tag_distance(head: str, logits: Tensor, batch: Sequence[WordFeatures], temperature: float) -> Tensor:
    """Divergence from the teacher's tags, mean over words."""
    import torch

    rows: list[int] = []
    targets = []
    for start, each in zip(starts(batch), batch, strict=True):
        said = each.taught.get(head)
        if said is not None and said.places is not None:
            rows += [start + int(place) for place in said.places]
            targets.append(said.logits)
    if not rows:
        return logits.sum() * 0
    return divergence(logits[rows], torch.from_numpy(np.concatenate(targets).astype(np.float32)), temperature)


def tags_taught(
    head: str, own: Sequence[str], teachers: Sequence[str], ours: WordFeatures, theirs: WordFeatures, output: Any
) -> Taught:
    """A teacher's logits at the words that both see: a word is known by its first character."""
    chosen = columns(head, own, teachers)
    at = dict(zip(theirs.begins, theirs.places, strict=True))
    both = [(place, at[start]) for place, start in zip(ours.places, ours.begins, strict=True) if start in at]
    logits = output[[there for _, there in both]][:, chosen] if both else np.zeros((0, len(chosen)))
    return Taught(half(logits), np.array([here for here, _ in both], np.int32))


def predicted_tags(labels: Sequence[str], each: WordFeatures, logits: Any) -> list[str]:
    """The tag of each of the data's words."""
    best = logits.argmax(axis=-1)
    return [labels[int(best[token])] if token >= 0 else OUTSIDE for token in each.words]
