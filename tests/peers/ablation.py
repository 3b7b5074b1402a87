"""What each arrangement of the integer graph gains: a checkpoint quantised with one after the other left out.

    python -m tests.peers.ablation CHECKPOINT TEXTS [--calibration FILE] [--json]

Cosine of the integer sentence vectors to float32 on TEXTS (one per line), in LiteRT's kernels.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from threadpoolctl import threadpool_limits

from converter import calibration, checkpoint, encoder, flatbuffer, planning
from converter.calibration import Observation, Sample
from converter.execution import execute
from converter.graph import Graph, Tensor
from converter.network import Array, Network
from converter.plan import Plan
from converter.quantisation import Range, quantise

HEAD = "embedding"
Observations = dict[Tensor, Observation]
Ranges = Mapping[Tensor, Range]


@dataclass(frozen=True)
class Row:
    variant: str
    cosine_mean: float
    cosine_worst: float
    operators: int


def least_error(graph: Graph, seen: Observations) -> Ranges:
    return calibration.choose_ranges(graph, seen)


def all_of_it(graph: Graph, seen: Observations) -> Ranges:
    """Smallest and largest value."""
    widest = {tensor: replace(o, values=[np.array([o.low, o.high], np.float32)]) for tensor, o in seen.items()}
    chosen = dict(calibration.choose_ranges(graph, widest))
    for tensor, o in seen.items():
        key = graph.representative(tensor)
        bounds = (max(o.low, tensor.bounds[0]), min(o.high, tensor.bounds[1]))
        chosen[key] = Range(min(chosen[key].low, bounds[0]), max(chosen[key].high, bounds[1]))
    return chosen


def without_tiers(plan: Plan) -> Plan:
    layers = tuple(replace(p, attention_factors=(), output_factors=()) for p in plan.layers)
    return replace(plan, tiers=(), embedding_factors=(), layers=layers)


def without_ceilings(plan: Plan) -> Plan:
    return replace(plan, layers=tuple(replace(p, hidden=()) for p in plan.layers))


def without_balance(plan: Plan) -> Plan:
    layers = tuple(replace(p, query_key_balance=None, value_balance=None) for p in plan.layers)
    return replace(plan, layers=layers)


def whole(plan: Plan) -> Plan:
    return plan


def nothing(_: Plan) -> Plan:
    return Plan()


VARIANTS: dict[str, tuple[Callable[[Plan], Plan], Callable[[Graph, Observations], Ranges]]] = {
    "everything": (whole, least_error),
    "without outlier channels aside": (without_tiers, least_error),
    "without ceilings for hidden neurons": (without_ceilings, least_error),
    "without balanced queries, keys and values": (without_balance, least_error),
    "ranges from minimum to maximum": (whole, all_of_it),
    "none of these": (nothing, all_of_it),
}


def ablate(network: Network, samples: Sequence[Sample], texts: Sequence[Sample]) -> list[Row]:
    """Quantise `network` in every variant, calibrated on `samples`, and compare on `texts`."""
    plain = encoder.build(network)
    references = [execute(plain, text)[HEAD][0] for text in texts]
    seen = {t.name: o for t, o in calibration.observe(plain, samples).items()}
    plan = planning.choose_plan(network.encoder, seen)
    rows = []
    for name, (change, choose) in VARIANTS.items():
        graph = encoder.build(network, change(plan))
        integers = quantise(graph, choose(graph, calibration.observe(graph, samples)))
        cosines = [
            _cosine(*pair) for pair in zip(_run(flatbuffer.write(integers, name), texts), references, strict=True)
        ]
        rows.append(Row(name, float(np.mean(cosines)), min(cosines), len(integers.operators)))
    return rows


def _run(content: bytes, texts: Sequence[Sample]) -> list[Array]:
    interpreter = Interpreter(model_content=content, num_threads=1)
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
        vectors.append(interpreter.get_tensor(output["index"])[0].astype(np.float32) - zero_point)
    return vectors


def _cosine(a: Array, b: Array) -> float:
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


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
