"""How long each operator takes, by differences.

The Python interface of LiteRT and of tflite-runtime has no profiler. So the network is cut after each operator in turn
(`flatbuffer_prefix`), and what one more operator adds to the time is its share. All runs use the classic interpreter
with one thread, whose kernels (XNNPACK) are those of `CompiledModel` as well.

A large network has hundreds of operators in layers that are all alike: then only one layer in the middle is cut
operator by operator, the others as a whole, and its kinds stand for theirs.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from boards.errors import BoardError
from boards.profiling.flatbuffer_prefix import Network, understand
from edge_runtime.backends.native_library import captured
from edge_runtime.backends.selection import COMPILED, LITERT, Selection, import_backend, select
from edge_runtime.errors import EdgeError
from edge_runtime.model_file import find, open_model_file

MAX_DETAILED = 150
"""operators of a network in which each is cut; beyond, one layer stands for the others. A part takes about as long to
set up as the whole network, a tenth of a second on a quick core and one on a Cortex-A53"""
PASSES = 2
"""times that each part is built anew"""
_ROUNDS = 16
"""in which a part and the one before it take turns, so that whatever slows the machine down slows both"""
_WARM_UP_RUNS = 2

METHOD = (
    "By differences: the network is cut after one operator more each time, and takes turns with the network without it,"
    " with the classic interpreter and one thread; what its least time is longer is that operator's share."
)
METHOD_SAMPLED = METHOD + " Layers are alike: one in the middle was cut operator by operator and stands for the others."

_LAYER = re.compile(r"layer\.(\d+)\.")
_EMBEDDINGS = ("embeddings.", "ids.", "positions.")
_SHARED = "softmax."


@dataclass(frozen=True, slots=True)
class Operators:
    """Where an inference's time goes."""

    method: str
    backend: str
    length: int
    total_ms: float
    """the sum of all shares"""
    whole_ms: float
    """the whole network at its quickest, for comparison"""
    by_kind: tuple[tuple[str, int, float], ...]
    """operator, how many, milliseconds; largest first"""
    by_part: tuple[tuple[str, float], ...]
    """part of the network, milliseconds; in its order"""

    def to_json(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "backend": self.backend,
            "length": self.length,
            "total_ms": self.total_ms,
            "whole_ms": self.whole_ms,
            "by_operator": [{"operator": kind, "count": count, "ms": ms} for kind, count, ms in self.by_kind],
            "by_part": [{"part": part, "ms": ms} for part, ms in self.by_part],
        }


def measure(model: str, backend: str, length: int, progress: Callable[[str], None], passes: int = PASSES) -> Operators:
    """Cut a model's network and time its parts in this process.

    Args:
        model: a bundled model's name, or a path.
        backend: the one that is profiled; its classic interpreter is taken.
        length: tokens.
        progress: told how far it is.
        passes: times that each part is built anew.

    Raises:
        EdgeError: the model cannot be loaded or cut.
    """
    selection = select(LITERT if backend == COMPILED else backend)
    with closing(open_model_file(find(model), None)) as file:
        content = file.network()
    network = understand(content)
    kinds = _kinds(selection, content)
    if len(kinds) != len(network.made):
        raise BoardError("the interpreter shows other operators than the file has")
    cuts = choose_cuts(network.names)
    timer = _Timer(selection, network, length)
    differences: dict[int, list[float]] = {cut: [] for cut in cuts}
    whole = float("inf")
    began = time.monotonic()
    for number in range(passes):
        before: Callable[[], float] | None = None
        for index, cut in enumerate(cuts):
            if index % 50 == 0:
                done = number * len(cuts) + index
                progress(f"operators: {done} of {passes * len(cuts)} parts, {time.monotonic() - began:.0f} s …")
            run = timer.part(cut)
            differences[cut].append(_longer(before, run))
            before = run
        whole = min(whole, *(run() for _ in range(_ROUNDS)))
    reached = {0: 0.0}
    for cut in cuts:
        reached[cut] = reached[max(reached)] + sum(differences[cut]) / passes
    sampled = len(cuts) < len(kinds)
    by_kind, by_part = attribute(kinds, network.names, reached)
    counts = Counter(kinds)
    return Operators(
        METHOD_SAMPLED if sampled else METHOD,
        f"{selection.name}, classic interpreter",
        length,
        1e3 * reached[len(kinds)],
        1e3 * whole,
        tuple((kind, counts[kind], 1e3 * ms) for kind, ms in sorted(by_kind.items(), key=lambda item: -item[1])),
        tuple((part, 1e3 * ms) for part, ms in by_part.items()),
    )


def _longer(before: Callable[[], float] | None, run: Callable[[], float]) -> float:
    """Seconds that one takes longer than the other, each at its quickest.

    They take turns, each first as often as second: whoever comes second finds the caches as the other left them.
    """
    if before is None:
        return min(run() for _ in range(_ROUNDS))
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(_ROUNDS):
        for which in (0, 1) if number % 2 else (1, 0):
            found[which].append((before, run)[which]())
    return min(found[1]) - min(found[0])


def choose_cuts(names: Sequence[str]) -> list[int]:
    """After how many operators to cut, ascending; the last is all of them.

    Args:
        names: of the tensors that operators make.
    """
    count = len(names)
    if count <= MAX_DETAILED:
        return list(range(1, count + 1))
    layers = [_layer(name) for name in names]
    where = parts(names)
    inside = sorted({layer for layer in layers if layer is not None})
    detailed = inside[len(inside) // 2] if inside else None
    return [
        place
        for place in range(1, count + 1)
        if place == count
        or layers[place - 1] in (None, detailed)
        or (layers[place], where[place]) != (layers[place - 1], where[place - 1])
    ]


def attribute(
    kinds: Sequence[str], names: Sequence[str], reached: dict[int, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds by kind of operator and by part of the network, whose sums are both the whole.

    Args:
        kinds: of the operators.
        names: of the tensors that they make.
        reached: seconds of the network's first operators, by their number; 0 and all are among them.
    """
    by_kind: dict[str, float] = {}
    by_part: dict[str, float] = {}
    whole: list[float] = []
    where = parts(names)
    pattern: dict[str, float] = {}
    places = sorted(reached)
    for first, last in pairwise(places):
        spent = reached[last] - reached[first]
        by_part[where[last - 1]] = by_part.get(where[last - 1], 0.0) + spent
        if last - first == 1:
            by_kind[kinds[first]] = by_kind.get(kinds[first], 0.0) + spent
            if _layer(names[first]) is not None:
                pattern[kinds[first]] = pattern.get(kinds[first], 0.0) + spent
        else:
            whole.append(spent)
    # On a busy machine a difference may come out below 0; if all do, the kinds share alike.
    shares = {kind: max(spent, 0.0) for kind, spent in pattern.items()}
    if not any(shares.values()):
        shares = dict.fromkeys(pattern, 1.0)
    for kind, share in shares.items():
        by_kind[kind] += sum(whole) * share / sum(shares.values())
    return by_kind, by_part


def parts(names: Sequence[str]) -> list[str]:
    """The part of a network that each of its tensors is made in: embeddings, attention, feed forward or head.

    A tensor that all layers share ("softmax.ones", made in the first) belongs where it is made.
    """
    found: list[str] = []
    for name in names:
        if _LAYER.match(name):
            found.append("feed forward" if ".feed_forward." in name else "attention")
        elif name.startswith(_EMBEDDINGS):
            found.append("embeddings")
        else:
            found.append(found[-1] if found and name.startswith(_SHARED) else "head")
    return found


def _layer(name: str) -> int | None:
    found = _LAYER.match(name)
    return int(found[1]) if found else None


def _kinds(selection: Selection, content: bytes) -> list[str]:
    with captured():
        interpreter = import_backend(selection)(model_content=content, num_threads=1)
    try:
        return [str(operator["op_name"]) for operator in interpreter._get_ops_details()]
    except AttributeError:
        raise BoardError(f"{selection.name} does not tell its operators") from None


class _Timer:
    def __init__(self, selection: Selection, network: Network, length: int) -> None:
        self._interpreter = import_backend(selection)
        self._network = network
        self._length = length

    def part(self, count: int) -> Callable[[], float]:
        """Set up the first `count` operators → what runs them and says how many seconds it took."""
        try:
            with captured():
                interpreter = self._interpreter(model_content=self._network.prefix(count), num_threads=1)
                inputs = interpreter.get_input_details()
                for detail in inputs:
                    interpreter.resize_tensor_input(detail["index"], [1, self._length])
                interpreter.allocate_tensors()
            for detail in inputs:
                interpreter.set_tensor(detail["index"], np.arange(self._length, dtype=np.int32)[np.newaxis])
            for _ in range(_WARM_UP_RUNS):
                interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise BoardError(f"the first {count} operators cannot be run alone: {error}") from None

        def run() -> float:
            began = time.perf_counter()
            interpreter.invoke()
            return time.perf_counter() - began

        return run


def try_measure(
    model: str, backend: str, length: int, progress: Callable[[str], None], passes: int = PASSES
) -> tuple[Operators | None, str | None]:
    """As `measure`, or why there is nothing: a profile is worth having without operators too."""
    try:
        return measure(model, backend, length, progress, passes), None
    except EdgeError as error:
        return None, str(error)
