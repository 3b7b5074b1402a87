"""Which rearrangements the encoder's graph is built with: data, chosen by `planning` from calibration statistics.

None of them changes what the network computes in exact arithmetic; each makes it lose less in 8 bits. An empty plan
gives the plain graph. What each one gains is measured in docs/quantisation.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
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
    """where neurons of all groups are cut before GELU …"""
    overflow: NDArray[np.int64] = field(default_factory=_no_channels)
    """… and which of them (within the group) reach beyond it: relu(x − ceiling) is added back to them on a side path
    …"""
    factor: float = 1.0
    """… on which it is divided by this number"""
    copied: NDArray[np.int64] = field(default_factory=_no_channels)
    """neurons (within the group) that there are once more for each time they stand here: they share their weights,
    one of which alone would leave few steps to the others of its row"""


@dataclass(frozen=True)
class Passed:
    """A number of each token that reaches a sum through columns of the layer that makes its branch."""

    low: float
    high: float
    """what it lies between"""
    copies: int = 1
    """columns that share it: the weight of one alone would leave few steps to the others of its row"""


@dataclass(frozen=True)
class Giant:
    """A channel of the residual stream that a few tokens drive far beyond what all others need."""

    channel: int
    side: int
    """1: upwards, −1: downwards"""


@dataclass(frozen=True)
class NormPlan:
    """One LayerNorm, and the sum of branch and residual in front of it."""

    scales: NDArray[np.int64] | None = None
    """[hidden] channels are divided by 2^(it / 8) from the branch to the LayerNorm's output"""
    giants: tuple[Giant, ...] = ()
    """their scale is 1. The branch is cut at `limit` in them, and what they have beyond it goes through the LayerNorm
    on a tensor of its own …"""
    limit: float = 0.0
    """… (in the scaled channels' units) …"""
    factor: float = 1.0
    """… to leave it divided by this number, which puts it on the scale of all other channels"""
    passed: Mapping[int, Passed] = field(default_factory=dict)
    """by channel, whose residual is added by the branch's layer: that of giants, here or in the LayerNorm before"""
    mean: Passed | None = None
    """of the residual over channels, which the branch's layer takes off together with its own"""
    beside: tuple[float, float] = (-1.0, 1.0)
    """what the branch's layer reads lies between these, and what is passed has to, too"""

    @property
    def channels(self) -> list[int]:
        """Giants, ascending."""
        return sorted({g.channel for g in self.giants})


@dataclass(frozen=True)
class LayerPlan:
    query_key_balance: NDArray[np.int64] | None = None
    """[hidden] queries are multiplied by 2^(it / 8), keys divided"""
    value_balance: NDArray[np.int64] | None = None
    """[hidden] values are divided by 2^(it / 8), the output layer's columns multiplied"""
    hidden: tuple[HiddenPlan, ...] = ()
    """one per group; empty: nothing special"""
    attention: NormPlan = field(default_factory=NormPlan)
    """the LayerNorm after the attention"""
    output: NormPlan = field(default_factory=NormPlan)
    """the one after the feed-forward layers"""


@dataclass(frozen=True)
class Plan:
    embeddings: NormPlan = field(default_factory=NormPlan)
    layers: tuple[LayerPlan, ...] = ()
    """empty: nothing special anywhere"""
    centred: bool = False
    """whether the mean over channels, which the first LayerNorm takes off, is off the embeddings"""
    units: Mapping[str, float] = field(default_factory=dict)
    """by name of tensor, for those that meet another in a product of activations and must not be −128 there: what
    they are divided by, so that their range is −1 … 1, at which a kernel can cut them; other tensors end at −128"""

    def layer(self, index: int) -> LayerPlan:
        return self.layers[index] if self.layers else LayerPlan()

    @property
    def giants(self) -> list[int]:
        """Channels that are giants somewhere, ascending."""
        return sorted({c for layer in self.layers for norm in (layer.attention, layer.output) for c in norm.channels})

    def to_json(self) -> dict[str, Any]:
        """For the model file's `plan.json`: `evaluate` rebuilds the graph with it."""
        return {
            "embeddings": _norm_to_json(self.embeddings),
            "centred": self.centred,
            "units": dict(self.units),
            "layers": [
                {
                    "query_key_balance": _listed(p.query_key_balance),
                    "value_balance": _listed(p.value_balance),
                    "hidden": [
                        {
                            "ceiling": h.ceiling,
                            "overflow": h.overflow.tolist(),
                            "factor": h.factor,
                            "copied": h.copied.tolist(),
                        }
                        for h in p.hidden
                    ],
                    "attention": _norm_to_json(p.attention),
                    "output": _norm_to_json(p.output),
                }
                for p in self.layers
            ],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plan:
        """The plan that `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is none, or one of an older converter, whose graph was another.
        """
        return cls(
            _norm_from_json(value["embeddings"]),
            tuple(
                LayerPlan(
                    _optional(p["query_key_balance"]),
                    _optional(p["value_balance"]),
                    tuple(
                        HiddenPlan(h["ceiling"], _integers(h["overflow"]), h["factor"], _integers(h["copied"]))
                        for h in p["hidden"]
                    ),
                    _norm_from_json(p["attention"]),
                    _norm_from_json(p["output"]),
                )
                for p in value["layers"]
            ),
            value["centred"],
            {str(name): float(unit) for name, unit in value["units"].items()},
        )


def _norm_to_json(plan: NormPlan) -> dict[str, Any]:
    return {
        "scales": _listed(plan.scales),
        "giants": [[g.channel, g.side] for g in plan.giants],
        "limit": plan.limit,
        "factor": plan.factor,
        "passed": {str(channel): astuple(p) for channel, p in plan.passed.items()},
        "mean": None if plan.mean is None else astuple(plan.mean),
        "beside": list(plan.beside),
    }


def _norm_from_json(value: dict[str, Any]) -> NormPlan:
    return NormPlan(
        _optional(value["scales"]),
        tuple(Giant(*pair) for pair in value["giants"]),
        value["limit"],
        value["factor"],
        {int(channel): Passed(*p) for channel, p in value["passed"].items()},
        None if value["mean"] is None else Passed(*value["mean"]),
        tuple(value["beside"]),
    )


def _integers(values: Any) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def _optional(values: Any) -> NDArray[np.int64] | None:
    return None if values is None else _integers(values)


def _listed(steps: NDArray[np.int64] | None) -> list[int] | None:
    return None if steps is None else [int(step) for step in steps]


def balance(steps: NDArray[np.int64] | None, hidden: int) -> Array:
    """[hidden] the factors that `steps` stand for; ones for None."""
    if steps is None:
        return np.ones(hidden, np.float32)
    return exact.power_of_eighths(steps).astype(np.float32)
