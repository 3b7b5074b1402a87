"""From a network and calibration texts to its integer graph: the plan, the ranges, the rounding of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, get_args

from converter import encoder, planning
from converter.calibration import Observation, Sample, choose_ranges, observe
from converter.errors import CalibrationError
from converter.graph import Graph, Tensor
from converter.integer import IntegerGraph
from converter.network import Network
from converter.plan import Plan
from converter.quantisation import Range, Ranges, Rounded, quantise
from converter.rounding import round_weights

Effort = Literal["fast", "best"]
"""fast: weights are rounded to the nearest integers; best: to those that change the layers' results least"""
EFFORTS: tuple[Effort, ...] = get_args(Effort)

Value = TypeVar("Value")

Progress = Callable[[str, int, int], None]
"""stage, steps done, steps"""
Step = Callable[[], None]


class ChooseRanges(Protocol):
    """As `calibration.choose_ranges`."""

    def __call__(self, graph: Graph, observations: dict[Tensor, Observation], *, heed_limits: bool) -> Ranges: ...


@dataclass(frozen=True)
class Arrangement:
    """A network's integer graph, and what it came from."""

    plan: Plan
    graph: Graph
    """in float32, arranged as planned"""
    ranges: Ranges
    integers: IntegerGraph


def arrange(
    network: Network, samples: Sequence[Sample], effort: Effort = "best", say: Progress = lambda *_: None
) -> Arrangement:
    """The integer graph that `convert` writes.

    Args:
        network: in float32.
        samples: calibration texts (`calibration.encode`).
        effort: how much work to spend.
        say: told of the stages.

    Raises:
        CalibrationError: there is no sample.
        QuantisationError: the network computes something that is not finite.
    """
    if not samples:
        raise CalibrationError("there is no calibration text")

    def step(stage: str) -> Step:
        done = iter(range(1, len(samples) + 1))
        return lambda: say(stage, next(done), len(samples))

    seen = {t.name: o for t, o in observe(encoder.build(network), samples, step("planning")).items()}
    plan = planning.choose_plan(network.encoder, seen)
    plan, graph, ranges = calibrate(network, plan, samples, say=step)
    rounded: Rounded = {}
    if effort == "best":
        rounded = round_weights(graph, ranges, samples, lambda done, steps: say("rounding", done, steps))
    return _lower(plan, graph, ranges, rounded, say)


def calibrate(
    network: Network,
    plan: Plan,
    samples: Sequence[Sample],
    choose: ChooseRanges = choose_ranges,
    say: Callable[[str], Step] = lambda _: lambda: None,
) -> tuple[Plan, Graph, Ranges]:
    """Ranges for the graph of a plan without units, and the plan with its limits settled by them and units chosen.

    Args:
        network, samples: as `arrange` takes them.
        plan: what `planning.choose_plan` gave, or part of it.
        choose: finds the ranges.
        say: gives what is called after each sample of a stage.
    """
    graph = encoder.build(network, plan)
    ranges = choose(graph, observe(graph, samples, say("calibration")), heed_limits=not plan.giants)
    if plan.giants:
        plan = planning.settle_limits(plan, _by_name(ranges))
        graph = encoder.build(network, plan)
        ranges = choose(graph, observe(graph, samples, say("calibration")), heed_limits=True)
    plan, moved = planning.in_units(plan, graph, _by_name(ranges))
    graph = encoder.build(network, plan)
    return plan, graph, _of_tensors(graph, moved)


def follow(network: Network, plan: Plan, ranges: Mapping[str, Range], say: Progress = lambda *_: None) -> Arrangement:
    """The integer graph with a plan and ranges (by the tensors' names) that were settled in training.

    Raises:
        CalibrationError: they are not this network's.
    """
    try:
        graph = encoder.build(network, plan)
        found = _of_tensors(graph, ranges)
    except (KeyError, IndexError, ValueError) as error:
        raise CalibrationError(
            "the ranges that the checkpoint was trained with are not those of its network"
        ) from error
    return _lower(plan, graph, found, {}, say)


def _by_name(of: Mapping[Tensor, Value]) -> dict[str, Value]:
    return {tensor.name: each for tensor, each in of.items()}


def _of_tensors(graph: Graph, ranges: Mapping[str, Range]) -> Ranges:
    """KeyError for a name that the graph does not have."""
    named = {t.name: t for t in graph.tensors()}
    return {named[name]: given for name, given in ranges.items()}


def _lower(plan: Plan, graph: Graph, ranges: Ranges, rounded: Rounded, say: Progress) -> Arrangement:
    say("quantisation", 0, 1)
    integers = quantise(graph, ranges, rounded)
    say("quantisation", 1, 1)
    return Arrangement(plan, graph, ranges, integers)
