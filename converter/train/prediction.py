"""What a model says of examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from converter.train.features import Features, pack_features, starts
from converter.train.packing import by_tokens

if TYPE_CHECKING:
    from torch import nn

TOKENS = 4096
"""of a batch: more is no faster on a CPU"""


def predict(
    model: nn.Module, features: Sequence[Features], dtype: torch.dtype = torch.float32, heads: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Of each example by head: of its texts [texts, width] or of their tokens [tokens, width], float32 NumPy arrays.

    Args:
        model: a `Model`, or a simulation of one.
        features: in any order.
        dtype: of the products.
        heads: those that are wanted; none: all.
    """
    lengths = [each.tokens for each in features]
    order = sorted(range(len(features)), key=lambda i: lengths[i])
    found: list[dict[str, Any]] = [{} for _ in features]
    with torch.inference_mode():
        for numbers in by_tokens(lengths, order, TOKENS):
            batch = [features[i] for i in numbers]
            packed = pack_features(batch)
            texts = len(packed)
            for name, value in model(packed, dtype).items():
                if heads and name not in heads:
                    continue
                rows = value.float().numpy()
                # A head of whole texts gives a row for each; one of tokens gives more, special tokens being among them.
                counts = [len(each.texts) for each in batch] if len(rows) == texts else [each.tokens for each in batch]
                begins = _begins(counts) if len(rows) == texts else starts(batch)
                for i, begin, count in zip(numbers, begins, counts, strict=True):
                    found[i][name] = rows[begin : begin + count].copy()
    return found


def _begins(counts: Sequence[int]) -> list[int]:
    result, row = [], 0
    for count in counts:
        result.append(row)
        row += count
    return result
