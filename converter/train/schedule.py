"""How long, how fast and on how much at a time a model is trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    epochs: int = 20
    patience: int = 6
    """epochs without a better validation score before training ends early"""
    batch: int = 64
    """most examples of a step"""
    batch_tokens: int = 2048
    """most tokens of a step; an example that alone has more makes a step of its own"""
    rate: float = 1e-3
    """highest learning rate: reached by `warm_up`, then falls linearly to 0"""
    warm_up: float = 0.06
    """share of the whole training"""
    decay: float = 0.01
    """weight decay, of all matrices but the embeddings"""
    smoothing: float = 0.05
    """of the labels of whole texts"""
    dropout: float = 0.1
    alpha: float = 0.5
    """weight of what the teacher says; the examples' own targets have the rest"""
    temperature: float = 2.0
    """by which teacher's and student's logits are divided before they are compared"""
    bfloat16: bool = False
    integer_epochs: int = 3
    """last ones, where the training ends in integers (`tuning`)"""
    seed: int = 1
    save_every: float = 60.0
    """seconds between two states that a killed training goes on from"""

    def factor(self, share: float) -> float:
        """Of the highest rate, when `share` of the training, 0 to 1, is done."""
        if share < self.warm_up:
            return share / self.warm_up
        return max(0.0, (1 - share) / (1 - self.warm_up))
