"""What an example is to the network: token ids, and whatever a task needs to judge what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

IGNORED = -100
"""the target of what the loss passes over (PyTorch's own default)"""


@dataclass(frozen=True)
class Tokens:
    """One sequence that the network reads, special tokens included."""

    ids: tuple[int, ...]
    types: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Taught:
    """What a teacher said of a text in one head."""

    logits: NDArray[np.float16]
    """[rows, width]"""
    places: NDArray[np.int32] | None = None
    """the token of each row, counted within the text; None: the row is for the whole text"""


@dataclass(frozen=True, kw_only=True)
class Features:
    """One example, or one window of it. Each task adds what it learns from."""

    texts: tuple[Tokens, ...]
    """one sequence, or several that are read each on its own"""
    example: int
    """which of the examples it was made of"""
    taught: Mapping[str, Taught] = field(default_factory=dict)
    """by head; empty without a teacher"""

    @property
    def tokens(self) -> int:
        return sum(len(text) for text in self.texts)


F = TypeVar("F", bound=Features)

Outputs = Mapping[str, Any]
"""by head: of a text [texts, width], of tokens [N, width], texts one after the other in the order given"""


def pack_features(batch: Sequence[Features]) -> Any:
    """All texts of a batch as `packing.Packed`."""
    from converter.train.packing import pack

    texts = [text for each in batch for text in each.texts]
    return pack([text.ids for text in texts], [text.types for text in texts])


def starts(batch: Sequence[Features]) -> list[int]:
    """Of each of the batch's examples the row in which its first token stands."""
    result, row = [], 0
    for each in batch:
        result.append(row)
        row += each.tokens
    return result
