"""Which rearrangements the encoder's graph is built with: data, chosen by `planning` from calibration statistics.

None of them changes what the network computes in exact arithmetic; each makes it lose less in 8 bits. An empty plan gives the
plain graph. What each one gains is measured in docs/quantisation.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from converter.network import Array


def _no_channels() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class HiddenPlan:
    """One group of a feed-forward layer's hidden neurons."""

    ceiling: float | None = None
    """where neurons are cut before GELU …"""
    overflow: NDArray[np.int64] = field(default_factory=_no_channels)
    """… and which of them (within the group) reach beyond it: relu(x − ceiling) is added back to them on a side path …"""
    factor: float = 1.0
    """… on which it is divided by this number"""


@dataclass(frozen=True)
class LayerPlan:
    query_key_balance: Array | None = None
    """[hidden] queries are multiplied by it, keys divided"""
    value_balance: Array | None = None
    """[hidden] values are divided by it, the output layer's columns multiplied"""
    hidden: tuple[HiddenPlan, ...] = ()
    """one per group; empty: nothing special"""
    attention_factors: tuple[float, ...] = ()
    """one per tier of outliers: they leave the LayerNorm after the attention divided by it, which puts them on the scale of all
    other channels"""
    output_factors: tuple[float, ...] = ()
    """the same for the LayerNorm after the feed-forward layers"""


@dataclass(frozen=True)
class Plan:
    tiers: tuple[NDArray[np.int64], ...] = ()
    """ascending channels of the residual stream that get tensors, and so scales, of their own, in sets of similar range: as many
    from each block of channels that a grouped layer reads"""
    embedding_factors: tuple[float, ...] = ()
    layers: tuple[LayerPlan, ...] = ()
    """empty: nothing special anywhere"""

    def layer(self, index: int) -> LayerPlan:
        return self.layers[index] if self.layers else LayerPlan()
