"""What values the tensors of a graph take on sample texts, and the ranges that lose least of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from converter import exact
from converter.errors import CalibrationError
from converter.execution import Execution
from converter.graph import Graph, Op, Rule, Tensor
from converter.network import Array, Network
from converter.quantisation import Range

Sample = dict[str, NDArray[np.int32]]
"""a graph's inputs: ids and positions, [1, S] each"""

MOST_TEXTS = 256
"""more change the ranges very little and only take time"""
LONGEST = 128
"""tokens of a calibration text; attention's cost grows with the square of the length"""
KEPT_VALUES = 1 << 16
"""values remembered of each tensor to choose its range by"""
CUTS = np.linspace(1, 0.2, 81)
"""shares of the full range that are tried on each side"""


def default_texts() -> list[str]:
    """Sentences of many kinds that ship with the package (sources and licences: converter/data/README.md)."""
    text = (resources.files("converter") / "data" / "calibration.txt").read_text("utf-8")
    return text.splitlines()


def read_texts(path: Path) -> list[str]:
    """The non-empty lines of a UTF-8 text file.

    Raises:
        CalibrationError: it cannot be read, is not UTF-8 or has no text.
    """
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path} cannot be read as UTF-8 text: {error}") from error
    if not any(lines):
        raise CalibrationError(f"{path} holds no text: give one sentence per line")
    return [line for line in lines if line]


def encode(network: Network, texts: Sequence[str], longest: int) -> list[Sample]:
    """Each text, cut to `longest` tokens, as inputs of the graph; a text<TAB>text line is a pair."""
    tokenizer = Tokenizer.from_str(network.tokenizer)
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(longest, network.max_length))
    samples = []
    for text in texts:
        first, _, second = text.partition("\t")
        encoding = tokenizer.encode(first, second or None)
        if encoding.ids:
            samples.append(inputs(network, encoding.ids, encoding.type_ids))
    return samples


def inputs(network: Network, ids: Sequence[int], types: Sequence[int] | None = None) -> Sample:
    """ids, types [S] → the graph's inputs."""
    rows = np.arange(len(ids), dtype=np.int32)
    if types is not None:
        rows += np.array(types, np.int32) * np.int32(len(network.encoder.position_embeddings))
    return {"ids": np.array([ids], np.int32), "positions": rows[None].astype(np.int32)}


@dataclass
class Observation:
    """Of one activation, over all samples."""

    low: float = np.inf
    high: float = -np.inf
    channel_low: Array | None = None
    """[channels] of the last dimension"""
    channel_high: Array | None = None
    mean_low: float = np.inf
    mean_high: float = -np.inf
    """of a token's mean over channels; of residuals only"""
    values: list[Array] = field(default_factory=list)
    """a regular sample"""
    weights: list[Array] = field(default_factory=list)
    """how much an error in each of them counts; empty: all alike"""

    def sample(self) -> Array:
        return np.concatenate(self.values) if self.values else np.zeros(1, np.float32)

    def weight(self) -> Array:
        return np.concatenate(self.weights) if self.weights else np.ones(len(self.sample()), np.float32)


def observe(
    graph: Graph, samples: Iterable[Sample], progress: Callable[[], None] | None = None
) -> dict[Tensor, Observation]:
    """Run `graph` on `samples`, watching every activation."""
    samples = list(samples)
    if not samples:
        raise CalibrationError("there is no calibration text")
    tokens = sum(s["ids"].shape[1] for s in samples)
    result: dict[Tensor, Observation] = {}
    generator = np.random.default_rng(0)
    inverse_of = _inverse_deviations(graph)
    waiting: dict[Tensor, list[tuple[Observation, NDArray[np.int64]]]] = {}

    def see(tensor: Tensor, value: Array) -> None:
        seen = result.setdefault(tensor, Observation())
        flat = value.reshape(-1, value.shape[-1])
        low, high = flat.min(axis=0), flat.max(axis=0)
        seen.low, seen.high = min(seen.low, float(low.min())), max(seen.high, float(high.max()))
        if tensor.shape[-1] == len(low):
            seen.channel_low = low if seen.channel_low is None else np.minimum(seen.channel_low, low)
            seen.channel_high = high if seen.channel_high is None else np.maximum(seen.channel_high, high)
        if tensor.name.endswith(".residual"):
            means = exact.mean(flat)
            seen.mean_low = min(seen.mean_low, float(means.min()))
            seen.mean_high = max(seen.mean_high, float(means.max()))
        share = max(1, int(np.ceil(KEPT_VALUES * flat.shape[0] / tokens)))
        places = np.arange(flat.size) if flat.size <= share else generator.integers(0, flat.size, share)
        seen.values.append(flat.ravel()[places])
        if tensor in inverse_of:
            waiting.setdefault(inverse_of[tensor], []).append((seen, places // flat.shape[1]))
        for observation, tokens_of in waiting.pop(tensor, ()):
            observation.weights.append(flat[tokens_of, 0])

    execution = Execution(graph)
    for sample in samples:
        execution.run(sample, see)
        if progress is not None:
            progress()
    return result


def _inverse_deviations(graph: Graph) -> dict[Tensor, Tensor]:
    """For what is added up in front of a LayerNorm: the inverse deviation that it will be multiplied by.

    An error in it counts by that number of its token: a token whose channels are all large has its errors made small.
    (By the square in theory; but then those few tokens, at which all others look in attention, are cut too much.)
    """
    producer = {t: o for o in graph.operators for t in o.outputs}
    result: dict[Tensor, Tensor] = {}
    for operator in graph.operators:
        if operator.op is Op.INVERSE_DEVIATION:
            open_ends = list(operator.inputs)
            while open_ends:
                tensor = open_ends.pop()
                if tensor.constant is not None or tensor in result:
                    continue
                made_by = producer[tensor]
                result[tensor] = operator.outputs[0]
                if made_by.op in (Op.ADD, Op.SUBTRACT, Op.CONCAT) or (tensor in operator.inputs):
                    open_ends += made_by.inputs
    return result


def choose_ranges(
    graph: Graph, observations: dict[Tensor, Observation], *, heed_limits: bool = True
) -> dict[Tensor, Range]:
    """A range for every tensor that needs one, by its representative.

    `heed_limits`: what a linear layer cuts some channels at is where its result's range ends; else that is free, too.
    """
    as_seen = {t for o in graph.operators if o.op is Op.INVERSE_DEVIATION for t in o.outputs}
    members: dict[Tensor, list[Tensor]] = {}
    for tensor in graph.tensors():
        if tensor.rule not in (Rule.INDEX, Rule.CLAMPED, Rule.CHANNELS, Rule.FACTORS, Rule.BIAS):
            members.setdefault(graph.representative(tensor), []).append(tensor)
    ranges = {}
    for key, tensors in members.items():
        seen = [(t, observations[t]) for t in tensors if t in observations]
        seen += [(t, _of_constant(t.constant)) for t in tensors if t.constant is not None]
        if not seen:
            continue
        low = min(max(o.low, t.bounds[0]) for t, o in seen)
        high = max(min(o.high, t.bounds[1]) for t, o in seen)
        if tensors[0] in as_seen:
            ranges[key] = Range(low, high)
            continue
        values = np.concatenate([np.clip(o.sample(), *t.bounds) for t, o in seen])
        weights = np.concatenate([o.weight() for _, o in seen])
        chosen = _least_error(values, weights, low, high, key.rule in (Rule.SYMMETRIC, Rule.TABLE))
        for tensor, o in seen:
            if tensor.whole:
                chosen = Range(min(chosen.low, o.low), max(chosen.high, o.high))
        ranges[key] = chosen
    if heed_limits:
        for operator in graph.operators:
            highs = operator.attributes.get("highs")
            if isinstance(highs, tuple):
                # the same on both sides, though not every channel is cut on both
                lows = operator.attributes["lows"]
                assert isinstance(lows, tuple)
                limit = min(*highs, *(-low for low in lows))
                ranges[graph.representative(operator.outputs[0])] = Range(-limit, limit)
    return ranges


def _of_constant(value: NDArray[np.float32] | NDArray[np.int32]) -> Observation:
    flat = np.asarray(value, np.float32).ravel()
    step = max(1, flat.size // (4 * KEPT_VALUES))
    return Observation(float(flat.min()), float(flat.max()), values=[flat[::step].copy()])


def _least_error(values: Array, weights: Array, low: float, high: float, is_symmetric: bool) -> Range:
    """Cut where the weighted sum of squared rounding and cutting errors is least."""
    if is_symmetric:
        top = max(abs(low), abs(high))
        tail = _Tail(np.abs(values), weights)
        tops = top * CUTS
        best = float(tops[np.argmin(tail.cut(tops) + (tops / 127) ** 2 / 12)])
        return Range(-best, best)
    low, high = min(low, 0.0), max(high, 0.0)
    above, below = _Tail(values, weights), _Tail(-values, weights)
    for _ in range(2):
        highs = high * CUTS
        high = float(highs[np.argmin(above.cut(highs) + ((highs - low) / 255) ** 2 / 12)])
        lows = low * CUTS
        low = float(lows[np.argmin(below.cut(-lows) + ((high - lows) / 255) ** 2 / 12)])
    return Range(low, high)


class _Tail:
    """What cutting values from above costs."""

    def __init__(self, values: Array, weights: Array) -> None:
        order = np.argsort(-values, kind="stable")
        self._values = values[order].astype(np.float64)
        weight = weights[order].astype(np.float64)
        # cumsum adds up one after the other: the same on every machine
        self._weights = np.concatenate([[0], np.cumsum(weight)])
        self._sums = np.concatenate([[0], np.cumsum(weight * self._values)])
        self._squares = np.concatenate([[0], np.cumsum(weight * np.square(self._values))])

    def cut(self, tops: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean squared error of min(values, top) for each of `tops`."""
        n = np.searchsorted(-self._values, -tops)
        error: NDArray[np.float64] = self._squares[n] - 2 * tops * self._sums[n] + np.square(tops) * self._weights[n]
        error /= self._weights[-1]
        return error
