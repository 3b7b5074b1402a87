"""Which rearrangements the encoder's graph is built with: data, chosen by `planning` from calibration statistics.

None of them changes what the network computes in exact arithmetic; each makes it lose less in 8 bits. An empty plan
gives the plain graph. What each one gains is measured in docs/quantisation.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter import exact
from converter.network import Array

LARGEST_SCALE = 8.0
"""of a channel whose square is counted together with the others': beyond it, too few steps would be left to them"""
STEPS_PER_OCTAVE = 8
"""balances are powers of 2^(1/8): near enough to the best, small to store, and the same on every machine"""


def _no_channels() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class HiddenPlan:
    """One group of a feed-forward layer's hidden neurons."""

    ceiling: float | None = None
    """where neurons are cut before GELU …"""
    overflow: NDArray[np.int64] = field(default_factory=_no_channels)
    """… and which of them (within the group) reach beyond it: relu(x − ceiling) is added back to them on a side path
    …"""
    factor: float = 1.0
    """… on which it is divided by this number"""


@dataclass(frozen=True)
class LayerPlan:
    query_key_balance: NDArray[np.int64] | None = None
    """[hidden] queries are multiplied by 2^(it / 8), keys divided"""
    value_balance: NDArray[np.int64] | None = None
    """[hidden] values are divided by 2^(it / 8), the output layer's columns multiplied"""
    hidden: tuple[HiddenPlan, ...] = ()
    """one per group; empty: nothing special"""
    attention_factors: tuple[float, ...] = ()
    """one per tier of outliers: they leave the LayerNorm after the attention divided by it, which puts them on the
    scale of all other channels"""
    output_factors: tuple[float, ...] = ()
    """the same for the LayerNorm after the feed-forward layers"""
    attention_scales: NDArray[np.int64] | None = None
    """[hidden] the channels of the residual stream that no tier took are divided by 2^(it / 8) from the attention's
    branch to the output of the LayerNorm after it"""
    output_scales: NDArray[np.int64] | None = None
    """the same from the feed-forward layers to the LayerNorm after them"""
    attention_shift: float = 0.0
    """added to all channels of the branch in front of the LayerNorm after the attention, which takes it off again"""
    output_shift: float = 0.0
    """the same in front of the one after the feed-forward layers"""


@dataclass(frozen=True)
class Plan:
    tiers: tuple[NDArray[np.int64], ...] = ()
    """ascending channels of the residual stream that get tensors, and so scales, of their own, in sets of similar
    range: as many from each block of channels that a grouped layer reads"""
    embedding_factors: tuple[float, ...] = ()
    embedding_scales: NDArray[np.int64] | None = None
    """[hidden] as `LayerPlan.attention_scales`, of the embeddings and their LayerNorm"""
    layers: tuple[LayerPlan, ...] = ()
    """empty: nothing special anywhere"""
    centred: bool = False
    """whether the mean over channels, which a LayerNorm takes off, is off the embeddings and biases in front of it"""
    units: Mapping[str, float] = field(default_factory=dict)
    """by name of tensor, for those that meet another in a product of activations and must not be −128 there: what
    they are divided by, so that their range is −1 … 1, at which a kernel can cut them; other tensors end at −128"""

    def layer(self, index: int) -> LayerPlan:
        return self.layers[index] if self.layers else LayerPlan()

    def to_json(self) -> dict[str, Any]:
        """For the model file's `plan.json`: `evaluate` rebuilds the graph with it."""
        return {
            "tiers": [t.tolist() for t in self.tiers],
            "embedding_factors": list(self.embedding_factors),
            "embedding_scales": _listed(self.embedding_scales),
            "centred": self.centred,
            "units": dict(self.units),
            "layers": [
                {
                    "query_key_balance": _listed(p.query_key_balance),
                    "value_balance": _listed(p.value_balance),
                    "hidden": [
                        {"ceiling": h.ceiling, "overflow": h.overflow.tolist(), "factor": h.factor} for h in p.hidden
                    ],
                    "attention_factors": list(p.attention_factors),
                    "output_factors": list(p.output_factors),
                    "attention_scales": _listed(p.attention_scales),
                    "output_scales": _listed(p.output_scales),
                    "shifts": [p.attention_shift, p.output_shift],
                }
                for p in self.layers
            ],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plan:
        """The plan that `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """

        def integers(values: Any) -> NDArray[np.int64]:
            return np.array(values, np.int64)

        def optional(values: Any) -> NDArray[np.int64] | None:
            return None if values is None else integers(values)

        return cls(
            tuple(integers(t) for t in value["tiers"]),
            tuple(value["embedding_factors"]),
            optional(value.get("embedding_scales")),
            tuple(
                LayerPlan(
                    optional(p["query_key_balance"]),
                    optional(p["value_balance"]),
                    tuple(HiddenPlan(h["ceiling"], integers(h["overflow"]), h["factor"]) for h in p["hidden"]),
                    tuple(p["attention_factors"]),
                    tuple(p["output_factors"]),
                    # files written before there were any lack them
                    optional(p.get("attention_scales")),
                    optional(p.get("output_scales")),
                    *p.get("shifts", (0.0, 0.0)),
                )
                for p in value["layers"]
            ),
            value.get("centred", False),
            {str(name): float(unit) for name, unit in value.get("units", {}).items()},
        )


def _listed(steps: NDArray[np.int64] | None) -> list[int] | None:
    return None if steps is None else [int(step) for step in steps]


def balance(steps: NDArray[np.int64] | None, hidden: int) -> Array:
    """[hidden] the factors that `steps` stand for; ones for None."""
    if steps is None:
        return np.ones(hidden, np.float32)
    return exact.power_of_eighths(steps).astype(np.float32)
