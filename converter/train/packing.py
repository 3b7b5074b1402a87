"""Batches without padding: texts of one length lie side by side, and all tokens of a batch in one row.

A product needs no more than the tokens that there are, and attention, done length by length, needs no mask. It is what
the board does too: a text is run at its own length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Segment:
    """The texts of one length, one after the other."""

    start: int
    """of its first token"""
    texts: int
    length: int

    @property
    def stop(self) -> int:
        return self.start + self.texts * self.length


@dataclass(frozen=True)
class Packed:
    """A batch of N tokens."""

    ids: Tensor
    """[N]"""
    positions: Tensor
    """[N]"""
    types: Tensor
    """[N]"""
    segments: tuple[Segment, ...]
    order: tuple[int, ...]
    """of every text in the pack, in turn: which one it was of those given"""

    def __len__(self) -> int:
        return len(self.order)

    @cached_property
    def places(self) -> Tensor:
        """Where each text, in the order given, begins and ends in the row: [texts, 2]."""
        import torch

        result = torch.empty(len(self.order), 2, dtype=torch.long)
        text = 0
        for segment in self.segments:
            for start in range(segment.start, segment.stop, segment.length):
                result[self.order[text], 0] = start
                result[self.order[text], 1] = start + segment.length
                text += 1
        return result

    def first(self, states: Tensor) -> Tensor:
        """Of states [N, H] those of every text's first token, [texts, H] in the order given."""
        return states[self.places[:, 0]]

    def mean(self, states: Tensor) -> Tensor:
        """The means of states [N, H] over every text's tokens, [texts, H] in the order given, in float32."""
        import torch

        width = states.shape[-1]
        means = [states[s.start : s.stop].view(s.texts, s.length, width).float().mean(1) for s in self.segments]
        result: Tensor = torch.cat(means)[self.returned]
        return result

    def tokens(self) -> Tensor:
        """The places [N] that put the texts' tokens one after the other in the order given."""
        import torch

        return torch.cat([torch.arange(start, stop) for start, stop in self.places.tolist()])

    @cached_property
    def returned(self) -> Tensor:
        """Of each text, in the order given, its place in the pack: [texts]."""
        import torch

        return torch.argsort(torch.tensor(self.order))


def pack(texts: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None) -> Packed:
    """Packs token ids, one sequence a text.

    Args:
        texts: at least one, none of them empty.
        types: token types, as long as the texts; all 0 without them.
    """
    import torch

    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    segments: list[Segment] = []
    start = 0
    for i in order:
        length = len(texts[i])
        if segments and segments[-1].length == length:
            last = segments[-1]
            segments[-1] = Segment(last.start, last.texts + 1, length)
        else:
            segments.append(Segment(start, 1, length))
        start += length
    ids = torch.tensor([token for i in order for token in texts[i]], dtype=torch.long)
    positions = torch.cat([torch.arange(s.length).repeat(s.texts) for s in segments])
    if types is None:
        kinds = torch.zeros_like(ids)
    else:
        kinds = torch.tensor([kind for i in order for kind in types[i]], dtype=torch.long)
    return Packed(ids, positions, kinds, tuple(segments), tuple(order))


def by_tokens(lengths: Sequence[int], order: Sequence[int], budget: int) -> list[list[int]]:
    """Cuts `order`, numbers of texts, into batches of at most `budget` tokens (more where one text alone has more)."""
    batches: list[list[int]] = []
    room = 0
    for i in order:
        if not batches or lengths[i] > room:
            batches.append([])
            room = budget
        batches[-1].append(i)
        room -= lengths[i]
    return batches
