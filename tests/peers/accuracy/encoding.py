"""Examples as transformers' models read them: token ids and tag numbers, in padded batches."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from converter.data_sets import Spoken
from converter.data_sets.bio import OUTSIDE

IGNORED = -100
"""the tag of tokens that the loss passes over (PyTorch's own default)"""


@dataclass(frozen=True)
class Encoded:
    """One example as numbers."""

    ids: tuple[int, ...]
    """with special tokens"""
    label: int
    tags: tuple[int, ...] | None
    """one a token; `IGNORED` for special tokens and for all but a word's first"""
    word_tokens: tuple[int, ...]
    """the first token of each word of seq.in; -1 where it has none or was cut off"""


@dataclass(frozen=True)
class Labels:
    """The names of both classifiers' outputs."""

    intents: tuple[str, ...]
    slots: tuple[str, ...]
    """O first, then B- and I- of every slot; empty where there are none"""

    @property
    def intent_numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.intents)}

    @property
    def slot_numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.slots)}


def collect_labels(examples: Sequence[Spoken]) -> Labels:
    """All labels and slots of `examples`, sorted."""
    intents = sorted({example.label for example in examples})
    slots = sorted({tag[2:] for example in examples for tag in example.tags or () if tag != OUTSIDE})
    names = (OUTSIDE, *(f"{position}-{slot}" for slot in slots for position in "BI"))
    return Labels(tuple(intents), names if any(example.tags for example in examples) else ())


def encode(
    tokenizer: Any,
    example: Spoken,
    intents: Mapping[str, int],
    slots: Mapping[str, int],
    longest: int,
) -> Encoded:
    """Tokenises an example as a whole text, the way it will be asked, and lays its tags on the tokens.

    The tokenizer may cut a word of seq.in in several of its own ("what's" into three): the first piece of each gets a
    tag, and those after the first one continue the slot. What is longer than `longest` tokens is cut off.
    """
    encoding = tokenizer.encode(example.text)
    ends: list[int] = []
    place = 0
    for word in example.words:
        place += len(word) + 1
        ends.append(place)
    tags = [IGNORED] * len(encoding.ids)
    first_tokens: dict[int, int] = {}
    at = 0
    previous = None
    for token, (own, (start, end)) in enumerate(zip(encoding.word_ids, encoding.offsets, strict=True)):
        if own is None or start == end:
            continue
        while start >= ends[at]:
            at += 1
        begins = at not in first_tokens
        first_tokens.setdefault(at, token)
        if example.tags is not None and own != previous and slots:
            tag = example.tags[at]
            # A slot that only validation data knows cannot be learnt, and counts as missed in the scores.
            tags[token] = slots.get(tag if begins or tag == OUTSIDE else f"I-{tag[2:]}", IGNORED)
        previous = own
    ids = tuple(encoding.ids)
    if len(ids) > longest:
        ids = (*ids[: longest - 1], ids[-1])
    return Encoded(
        ids=ids,
        label=intents[example.label],
        tags=(*tags[: len(ids) - 1], IGNORED) if example.tags is not None and slots else None,
        word_tokens=tuple(
            token if (token := first_tokens.get(i, -1)) < len(ids) - 1 else -1 for i in range(len(example.words))
        ),
    )


def batches(encoded: Sequence[Encoded], size: int, generator: random.Random | None) -> Iterator[list[Encoded]]:
    """Batches of similar length, so that little is padded.

    With a generator in a random order and with random neighbours among those of nearly the same length (for training),
    without one in the order of length.
    """
    if generator is None:
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i].ids))
        groups = [order[i : i + size] for i in range(0, len(order), size)]
    else:
        # A length noisy by up to two tokens mixes the batches anew in every epoch.
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i].ids) + generator.uniform(-2, 2))
        groups = [order[i : i + size] for i in range(0, len(order), size)]
        generator.shuffle(groups)
    for group in groups:
        yield [encoded[i] for i in group]


def padded(batch: Sequence[Encoded]) -> tuple[Tensor, Tensor]:
    """Ids and mask, both [batch, longest]; 0 stands where a text has ended."""
    longest = max(len(each.ids) for each in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros(len(batch), longest, dtype=torch.long)
    for row, each in enumerate(batch):
        ids[row, : len(each.ids)] = torch.tensor(each.ids)
        mask[row, : len(each.ids)] = 1
    return ids, mask
