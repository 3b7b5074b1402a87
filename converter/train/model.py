"""An encoder with heads, under the names that a checkpoint gives their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from converter.train.encoder import DEVIATION

if TYPE_CHECKING:
    from converter.train.encoder import Encoder
    from converter.train.packing import Packed


@dataclass(frozen=True)
class HeadShape:
    """What stands on the encoder."""

    name: str
    """what the converter calls the head"""
    layer: str | None
    """what a checkpoint calls its fully-connected layer; None: there is none, the states themselves are asked for"""
    width: int
    over: Literal["tokens", "first", "mean", "pooler"]
    """what the layer reads: every token, the first one, their mean, or the pooler"""
    labels: tuple[str, ...] = ()


class Model(nn.Module):
    """Maps a packed batch to logits by head; its state dictionary is a checkpoint's."""

    def __init__(self, encoder: Encoder, heads: Sequence[HeadShape]) -> None:
        super().__init__()
        self.heads = tuple(heads)
        self.prefix = "transformer" if encoder.configuration.family == "squeezebert" else "bert"
        self.add_module(self.prefix, encoder)
        for head in self.heads:
            if head.layer is not None:
                layer = nn.Linear(encoder.config.hidden_size, head.width)
                nn.init.normal_(layer.weight, 0.0, DEVIATION)
                nn.init.zeros_(layer.bias)
                self.add_module(head.layer, layer)

    @property
    def encoder(self) -> Encoder:
        return self.get_submodule(self.prefix)  # type: ignore[return-value]

    def layer(self, head: HeadShape) -> nn.Linear:
        assert head.layer is not None
        return self.get_submodule(head.layer)  # type: ignore[return-value]

    def forward(self, batch: Packed, dtype: torch.dtype = torch.float32, dropout: float = 0.0) -> dict[str, Tensor]:
        """Logits in float32.

        Args:
            batch: N tokens.
            dtype: of the encoder's products.
            dropout: in the encoder, and of what the heads read.

        Returns:
            by head's name [texts, width] in the order given, or [N, width], texts one after the other in that order.
        """
        states = self.encoder(batch, dtype, dropout)
        return {head.name: self._logits(head, states, batch, dropout) for head in self.heads}

    def _logits(self, head: HeadShape, states: Tensor, batch: Packed, dropout: float) -> Tensor:
        if head.over == "tokens":
            read = states[batch.tokens()].float()
        elif head.over == "mean":
            read = batch.mean(states)
        else:
            read = batch.first(states).float()
            if head.over == "pooler":
                read = self.encoder.pool(read)
        if head.layer is None:
            return read
        layer = self.layer(head)
        return functional.linear(functional.dropout(read, dropout, dropout > 0), layer.weight, layer.bias)
