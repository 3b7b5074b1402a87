"""How near the integers come to float32: head by head, and tensor by tensor to find where accuracy goes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import edge_runtime
from converter import calibration, encoder, exact, model_file
from converter.arrangement import Arrangement
from converter.calibration import Sample
from converter.errors import EvaluationError, FormatError
from converter.execution import Execution
from converter.graph import Graph
from converter.network import Array, Head, Network
from converter.plan import Plan
from converter.simulation import Simulation

MOST_TENSOR_TEXTS = 32
"""texts that tensors are compared on: every one of them is kept and compared"""


@dataclass(frozen=True)
class HeadScore:
    """Of one head over all texts."""

    kind: str
    texts: int
    cosine_mean: float
    """of each text's logits or vector (of each token's, where the head has one per token) to float32"""
    cosine_worst: float
    relative_error: float
    """√(Σ (integer − float)² / Σ (float − mean of float)²)"""
    agreement: float | None
    """share of texts (tokens) with the same highest label; None where there are no labels to choose from"""
    constant_error: float
    """share of the squared error that is the same in all texts (tokens): what other biases could take away"""


@dataclass(frozen=True)
class TensorError:
    name: str
    relative_error: float
    """√(Σ (integer − float)² / Σ float²), errors made before it included"""


@dataclass(frozen=True)
class Evaluation:
    heads: dict[str, HeadScore]
    tensors: list[TensorError]
    """in the order of execution"""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(
    model: Path,
    network: Network,
    texts: Sequence[str],
    *,
    tensors: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Compare a model file with the float32 network that it was made from.

    Args:
        model: the integer file.
        network: the checkpoint, read with the same heads.
        texts: one per line; text<TAB>text is a pair. Longer ones than the model takes are cut.
        tensors: compare each tensor, too.
        progress: called with (texts done, texts).

    Raises:
        EvaluationError: the two do not belong together, or there is no text.
        FormatError: `model` is no file of ours.
    """
    samples = calibration.encode(network, texts, network.max_length)
    if not samples:
        raise EvaluationError("there is no text to evaluate on")
    with threadpool_limits(limits=1, user_api="blas"):
        scores = _head_scores(model, network, samples, progress or (lambda *_: None))
        return Evaluation(scores, _tensor_errors(model, network, samples[:MOST_TENSOR_TEXTS]) if tensors else [])


def simulate(
    network: Network,
    arranged: Arrangement,
    texts: Sequence[str],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, HeadScore]:
    """Score an integer graph before it is a file, by arithmetic that is the same on every machine."""
    samples = calibration.encode(network, texts, network.max_length)
    reference = Execution(encoder.build(network))
    integers = Simulation(arranged.graph, arranged.ranges, arranged.integers)
    pairs: dict[str, list[tuple[Array, Array]]] = {h.name: [] for h in network.heads}
    for i, sample in enumerate(samples):
        expected, got = reference.run(sample), integers.run(sample)
        for name, values in pairs.items():
            width = expected[name].shape[-1]
            values.append((got[name].reshape(-1, width), expected[name].reshape(-1, width)))
        progress(i + 1, len(samples))
    return {h.name: _score(h, pairs[h.name]) for h in network.heads}


def _head_scores(
    model: Path, network: Network, samples: Sequence[Sample], progress: Callable[[int, int], None]
) -> dict[str, HeadScore]:
    reference_run = Execution(encoder.build(network))
    with edge_runtime.load(str(model), overflow="error") as runtime:
        missing = {h.name for h in network.heads} ^ set(runtime.info.heads)
        if missing:
            raise EvaluationError(f"{model} and the checkpoint differ in their heads: {', '.join(sorted(missing))}")
        pairs: dict[str, list[tuple[Array, Array]]] = {h.name: [] for h in network.heads}
        for i, sample in enumerate(samples):
            expected = reference_run.run(sample)
            got = runtime.run(sample["ids"][0], _types(network, sample))
            for name, values in pairs.items():
                reference = expected[name].reshape(-1, expected[name].shape[-1])
                values.append((np.asarray(got[name], np.float32).reshape(-1, reference.shape[-1]), reference))
            progress(i + 1, len(samples))
    return {h.name: _score(h, pairs[h.name]) for h in network.heads}


def _types(network: Network, sample: Sample) -> NDArray[np.int32]:
    result: NDArray[np.int32] = sample["positions"][0] // np.int32(len(network.encoder.position_embeddings))
    return result


def _score(head: Head, pairs: list[tuple[Array, Array]]) -> HeadScore:
    got, expected = (np.concatenate(values).astype(np.float64) for values in zip(*pairs, strict=True))
    if head.kind == "answer":  # over tokens, not over start and end
        cosines = np.array([_cosine(g.T, e.T).min() for g, e in pairs])
        agreement: float | None = float(np.mean([np.mean(g.argmax(axis=0) == e.argmax(axis=0)) for g, e in pairs]))
    else:
        # one number has no direction: those of all texts together have
        cosines = _cosine(got, expected) if expected.shape[1] > 1 else _cosine(got.T, expected.T)
        choosable = head.kind in ("classification", "tagging", "fill") and expected.shape[1] > 1
        agreement = float(np.mean(got.argmax(axis=1) == expected.argmax(axis=1))) if choosable else None
    error = got - expected
    spread = _sum(np.square(expected - exact.mean(expected, axis=0))) or 1.0
    return HeadScore(
        kind=head.kind,
        texts=len(pairs),
        cosine_mean=_sum(cosines) / cosines.size,
        cosine_worst=float(cosines.min()),
        relative_error=float(np.sqrt(_sum(np.square(error)) / spread)),
        agreement=agreement,
        constant_error=len(error) * _sum(np.square(exact.mean(error, axis=0))) / (_sum(np.square(error)) or 1.0),
    )


def _sum(x: NDArray[Any]) -> float:
    return float(exact.total(x.ravel())[0])


def _cosine(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Of each row; a row of zeros is like nothing but another one."""
    lengths = [np.sqrt(exact.total(np.square(x))[:, 0]) for x in (a, b)]
    product = lengths[0] * lengths[1]
    both_zero = (lengths[0] == 0) & (lengths[1] == 0)
    cosine: NDArray[np.float64] = np.where(
        product > 0, exact.total(a * b)[:, 0] / np.maximum(product, 1e-30), both_zero
    )
    return cosine


def _tensor_errors(model: Path, network: Network, samples: Sequence[Sample]) -> list[TensorError]:
    """With TFLite's own kernels, which (unlike XNNPACK) let us see every tensor."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(model),
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    graph = _planned_graph(model, network)
    reference_run = Execution(graph)
    squared: dict[str, list[float]] = {}
    for sample in samples:
        expected: dict[str, Array] = {}
        reference_run.run(sample, lambda tensor, value, kept=expected: kept.__setitem__(tensor.name, value))  # type: ignore[misc]
        for detail in interpreter.get_input_details():
            interpreter.resize_tensor_input(detail["index"], list(sample["ids"].shape))
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], sample[detail["name"]])
        interpreter.invoke()
        for detail in interpreter.get_tensor_details():
            reference = expected.get(detail["name"])
            if reference is not None and detail["dtype"] == np.int8:
                scale, zero_point = detail["quantization"]
                value = (interpreter.get_tensor(detail["index"]).astype(np.float32) - zero_point) * scale
                sums = squared.setdefault(detail["name"], [0.0, 0.0])
                sums[0] += float(((value - reference) ** 2).sum())
                sums[1] += float((reference**2).sum())
    order = [t.name for o in graph.operators for t in o.outputs]
    return [
        TensorError(name, float(np.sqrt(squared[name][0] / max(squared[name][1], 1e-30))))
        for name in order
        if name in squared
    ]


def _planned_graph(model: Path, network: Network) -> Graph:
    _, entries = model_file.read(model)
    try:
        # a plan of an older converter may be none for today's graph
        return encoder.build(network, Plan.from_json(json.loads(entries[model_file.PLAN])))
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{model} has no readable {model_file.PLAN}: convert the checkpoint again") from error


def summary(scores: Mapping[str, HeadScore]) -> dict[str, Any]:
    """For the manifest: rounded, without what is None or only of use to the converter."""
    return {
        name: {
            k: round(v, 4) if isinstance(v, float) else v
            for k, v in asdict(score).items()
            if v is not None and k != "constant_error"
        }
        for name, score in scores.items()
    }
