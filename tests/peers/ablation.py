"""What each arrangement of the integer graph gains: a checkpoint quantised with one after the other left out.

    python -m tests.peers.ablation CHECKPOINT TEXTS [--calibration FILE] [--json]

Cosine of the integer sentence vectors to float32 on TEXTS (one per line), in LiteRT's kernels.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from threadpoolctl import threadpool_limits

from converter import calibration, checkpoint, encoder, flatbuffer
from converter.arrangement import Arrangement, ChooseRanges, arrange, calibrate
from converter.calibration import Observation, Sample
from converter.execution import Execution
from converter.graph import Graph, Tensor
from converter.integer import IntegerGraph
from converter.network import Array, Network
from converter.plan import HiddenPlan, NormPlan, Plan
from converter.quantisation import Range, Ranges, quantise

HEAD = "embedding"
Observations = dict[Tensor, Observation]
ChangePlan = Callable[[Plan], Plan]


@dataclass(frozen=True)
class Row:
    variant: str
    cosine_mean: float
    cosine_worst: float
    operators: int


def least_error(graph: Graph, observations: Observations, *, heed_limits: bool) -> Ranges:
    return calibration.choose_ranges(graph, observations, heed_limits=heed_limits)


def tokens_alike(graph: Graph, observations: Observations, *, heed_limits: bool) -> Ranges:
    """Errors in front of a LayerNorm count the same in every token."""
    alike = {tensor: replace(o, weights=[]) for tensor, o in observations.items()}
    return calibration.choose_ranges(graph, alike, heed_limits=heed_limits)


def all_of_it(graph: Graph, observations: Observations, *, heed_limits: bool) -> Ranges:
    """Smallest and largest value."""
    widest = {
        tensor: replace(o, values=[np.array([o.low, o.high], np.float32)], weights=[])
        for tensor, o in observations.items()
    }
    chosen = dict(calibration.choose_ranges(graph, widest, heed_limits=heed_limits))
    for tensor, o in observations.items():
        key = graph.representative(tensor)
        bounds = (max(o.low, tensor.bounds[0]), min(o.high, tensor.bounds[1]))
        chosen[key] = Range(min(chosen[key].low, bounds[0]), max(chosen[key].high, bounds[1]))
    return chosen


def whole(plan: Plan) -> Plan:
    return plan


def _in_norms(plan: Plan, change: Callable[[NormPlan], NormPlan]) -> Plan:
    layers = tuple(replace(p, attention=change(p.attention), output=change(p.output)) for p in plan.layers)
    return replace(plan, embeddings=change(plan.embeddings), layers=layers)


def _in_hidden(plan: Plan, change: Callable[[HiddenPlan], HiddenPlan]) -> Plan:
    return replace(plan, layers=tuple(replace(p, hidden=tuple(map(change, p.hidden))) for p in plan.layers))


def without_channel_scales(plan: Plan) -> Plan:
    return _in_norms(plan, lambda norm: replace(norm, scales=None))


def without_giants(plan: Plan) -> Plan:
    return _in_norms(plan, lambda norm: replace(norm, giants=(), passed={}))


def without_mean(plan: Plan) -> Plan:
    """Every LayerNorm takes it off what has been added up."""
    return _in_norms(replace(plan, centred=False), lambda norm: replace(norm, mean=None))


def without_copies(plan: Plan) -> Plan:
    """A neuron, or a number that is passed, has one column, however large its weight."""

    def once(norm: NormPlan) -> NormPlan:
        passed = {channel: replace(p, copies=1) for channel, p in norm.passed.items()}
        return replace(norm, passed=passed, mean=norm.mean and replace(norm.mean, copies=1))

    return _in_norms(_in_hidden(plan, lambda h: replace(h, copied=HiddenPlan().copied)), once)


def without_ceilings(plan: Plan) -> Plan:
    return _in_hidden(plan, lambda h: HiddenPlan(copied=h.copied))


def without_balance(plan: Plan) -> Plan:
    layers = tuple(replace(p, query_key_balance=None, value_balance=None) for p in plan.layers)
    return replace(plan, layers=layers)


def nothing(_: Plan) -> Plan:
    return Plan()


VARIANTS: dict[str, tuple[ChangePlan, ChooseRanges]] = {
    "`fast`": (whole, least_error),
    "`fast` without a scale for each channel of the residual stream": (without_channel_scales, least_error),
    "`fast` without giants cut": (without_giants, least_error),
    "`fast` without the mean folded into weights": (without_mean, least_error),
    "`fast` without copies of columns with large weights": (without_copies, least_error),
    "`fast` without ceilings for hidden neurons": (without_ceilings, least_error),
    "`fast` without balanced queries, keys and values": (without_balance, least_error),
    "`fast` with errors counting alike in all tokens": (whole, tokens_alike),
    "`fast` with ranges from minimum to maximum": (whole, all_of_it),
    "none of these": (nothing, all_of_it),
}


def arrange_as(
    network: Network, plan: Plan, samples: Sequence[Sample], choose: ChooseRanges = least_error
) -> Arrangement:
    """The integer graph with `plan`, calibrated on `samples`; its limits are settled anew, and it is put into units."""
    plan, graph, ranges = calibrate(network, replace(plan, units={}), samples, choose)
    return Arrangement(plan, graph, ranges, quantise(graph, ranges))


def ablate(network: Network, samples: Sequence[Sample], texts: Sequence[Sample]) -> list[Row]:
    """Quantise `network` in every variant, calibrated on `samples`, and compare on `texts`."""
    references = float_vectors(network, texts)

    def row(name: str, integers: IntegerGraph) -> Row:
        cosines = _cosines(integer_vectors(integers, texts), references)
        return Row(name, float(cosines.mean()), float(cosines.min()), len(integers.operators))

    best = arrange(network, samples, "best")
    rows = [row("`best`: weights rounded by what they do", best.integers)]
    for name, (change, choose) in VARIANTS.items():
        rows.append(row(name, arrange_as(network, change(best.plan), samples, choose).integers))
    return rows


def float_vectors(network: Network, texts: Sequence[Sample]) -> Array:
    """[texts, hidden]"""
    execution = Execution(encoder.build(network))
    return np.stack([execution.run(text)[HEAD].reshape(-1) for text in texts])


def integer_vectors(integers: IntegerGraph, texts: Sequence[Sample]) -> Array:
    """[texts, hidden] in LiteRT's kernels, up to a factor."""
    interpreter = Interpreter(model_content=flatbuffer.write(integers, "ablation"), num_threads=1)
    vectors = []
    for text in texts:
        for detail in interpreter.get_input_details():
            interpreter.resize_tensor_input(detail["index"], list(text["ids"].shape))
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], text[detail["name"]])
        interpreter.invoke()
        output = interpreter.get_output_details()[0]
        _, zero_point = output["quantization"]
        vectors.append(interpreter.get_tensor(output["index"]).reshape(-1).astype(np.float32) - zero_point)
    return np.stack(vectors)


def _cosines(a: Array, b: Array) -> Array:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    found: Array = (a * b).sum(axis=1) / lengths
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="quantise a checkpoint with one arrangement after the other left out")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    network = checkpoint.read(given.checkpoint, [HEAD])
    lines = calibration.read_texts(given.calibration) if given.calibration else calibration.default_texts()
    samples = calibration.encode(network, lines[: calibration.MOST_TEXTS], calibration.LONGEST)
    texts = calibration.encode(network, calibration.read_texts(given.texts), network.max_length)
    with threadpool_limits(limits=1, user_api="blas"):
        rows = ablate(network, samples, texts)
    if given.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        print("| | cosine, mean | cosine, worst | operators |\n|---|---|---|---|")
        for row in rows:
            print(f"| {row.variant} | {row.cosine_mean:.4f} | {row.cosine_worst:.4f} | {row.operators} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
