"""What PyTorch's exporters are given of a checkpoint, so that every peer gets the same network."""

from __future__ import annotations

import torch

INPUT = "ids"
TRACED_LENGTH = 16
MOST_TEXTS = 64
"""in one batch"""


class MeanPooled(torch.nn.Module):
    """A base model and the mean of its tokens: what the converted file's head `embedding` computes."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """[B, S] int64 → [B, hidden]. All ones is the mask of unpadded sentences."""
        hidden: torch.Tensor = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        return hidden.mean(dim=1)
