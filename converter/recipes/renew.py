"""Brings a finished model file to the operators that the converter writes today; its checkpoint is not needed.

    python -m converter.recipes.renew FILE.tflite NEW.tflite [--alike RATIO]

For files of older converters, the bundled models among them. What is done, each where a file still has the old form:

- e^x as ELU + 1 was an ADD; it becomes a BITCAST of the same bytes.
- Factors of channels were a depthwise convolution, or a linear layer that spread a mean over channels; they become
  a MUL under the converter's own conditions (`graph.alike`; where a square or a mean is made, whatever they are).
- Each group of a feed-forward layer had an activation with ranges of its own; they become one, on the widest of them,
  unless the widest is more than RATIO times the narrowest.

The first keeps every integer; the others move results by a step or two of their tensors.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converter import flatbuffer
from converter.card import with_note
from converter.errors import ConverterError, FormatError
from converter.fewer_rows import opened, save
from converter.graph import alike
from converter.inspection import operator_name, text_of
from converter.integer import HIGHEST, LOWEST
from converter.model_file import CARD, PLAN
from converter.quantisation import SMALLEST_SCALE

NOTE = (
    "Its operators have been brought to a newer form since (`python -m converter.recipes.renew`): how near the "
    "integers are to float32 was measured before."
)
COARSE = re.compile(r"\.(centred\.unscaled|mean\.scaled)$")
"""factors of which half a step of the largest is nothing: in a sum of squares, and of a mean"""
HIDDEN = re.compile(r"layer\.(\d+)\.feed_forward\.hidden\.(\d+)$")
INT8, INT32 = schema.TensorType.INT8, schema.TensorType.INT32


@dataclass(frozen=True)
class Changes:
    """Operators that took another form."""

    exponentials: int
    factors: int
    activations: int


class _File:
    """A flatbuffer's `ModelT` with what is asked of it over and over."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.subgraphs[0]
        self.tensors = self.graph.tensors

    def code(self, operator: Any) -> str:
        return operator_name(self.model, operator)

    def name(self, tensor: int) -> str:
        return text_of(self.tensors[tensor].name)

    def scale(self, tensor: int) -> NDArray[np.float64]:
        return np.asarray(self.tensors[tensor].quantization.scale, np.float64)

    def zero_point(self, tensor: int) -> int:
        return int(self.tensors[tensor].quantization.zeroPoint[0])

    def values(self, tensor: int) -> NDArray[Any] | None:
        """The integers of a constant."""
        data = self.model.buffers[self.tensors[tensor].buffer].data
        if data is None or not len(data):
            return None
        kind = {INT8: np.int8, INT32: np.int32}[self.tensors[tensor].type]
        values: NDArray[Any] = np.asarray(data, np.uint8).view(kind).reshape(self.tensors[tensor].shape)
        return values

    def ends(self, tensor: int) -> tuple[float, float]:
        """The least and the largest real value of an int8 activation."""
        scale, zero = float(self.scale(tensor)[0]), self.zero_point(tensor)
        return scale * (LOWEST - zero), scale * (HIGHEST - zero)

    def operator(self, code: str, inputs: list[int], outputs: list[int], options: Any = None) -> Any:
        made = schema.OperatorT()
        made.opcodeIndex = self._code_index(code)
        made.inputs, made.outputs = inputs, outputs
        if options is not None:
            made.builtinOptions = options
            made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        return made

    def _code_index(self, code: str) -> int:
        number = getattr(schema.BuiltinOperator, code)
        for index, known in enumerate(self.model.operatorCodes):
            if known.builtinCode == number:
                return index
        new = schema.OperatorCodeT()
        new.builtinCode, new.deprecatedBuiltinCode = number, min(number, 127)
        new.version = flatbuffer.VERSIONS.get(code, 1)
        self.model.operatorCodes.append(new)
        return len(self.model.operatorCodes) - 1

    def constant(self, name: str, values: NDArray[Any], scale: float | None = None) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name.encode(), list(values.shape), len(self.model.buffers) - 1
        tensor.type = INT8 if values.dtype == np.int8 else INT32
        tensor.hasRank = True
        if scale is not None:
            tensor.quantization = _on_scale(np.array([scale], np.float32))
        return self._add(tensor)

    def activation(self, name: str, like: int, width: int) -> int:
        """A tensor like another, but so wide, on a scale of its own."""
        tensor = deepcopy(self.tensors[like])
        tensor.name = name.encode()
        tensor.shape = [*tensor.shape[:-1], width]
        tensor.shapeSignature = [*tensor.shapeSignature[:-1], width]
        return self._add(tensor)

    def _add(self, tensor: Any) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def sort(self) -> None:
        """Operators in an order in which each finds its operands made."""
        made = {i for i in range(len(self.tensors)) if self.values_known(i)} | set(self.graph.inputs)
        ordered: list[Any] = []
        left = list(self.graph.operators)
        while left:
            ready = [o for o in left if all(i < 0 or i in made for i in o.inputs)]
            if not ready:
                raise ValueError("the operators wait for each other")
            # one at a time, in the old order, so that what was near stays near
            first = ready[0]
            ordered.append(first)
            made.update(first.outputs)
            left.remove(first)
        self.graph.operators = ordered

    def values_known(self, tensor: int) -> bool:
        data = self.model.buffers[self.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def prune(self) -> None:
        """Leave out tensors and buffers that nothing uses any more."""
        lists = [self.graph.inputs, self.graph.outputs]
        lists += [each for o in self.graph.operators for each in (o.inputs, o.outputs)]
        used = sorted({int(i) for each in lists for i in each if i >= 0})
        place = {old: new for new, old in enumerate(used)}
        self.graph.inputs, self.graph.outputs = (
            [place[int(i)] for i in each] for each in (self.graph.inputs, self.graph.outputs)
        )
        for operator in self.graph.operators:
            operator.inputs = [place.get(int(i), -1) for i in operator.inputs]
            operator.outputs = [place[int(i)] for i in operator.outputs]
        for signature in self.model.signatureDefs or []:
            for each in (*signature.inputs, *signature.outputs):
                each.tensorIndex = place[each.tensorIndex]
        self.graph.tensors = self.tensors = [self.tensors[i] for i in used]
        # the first is that of all that has no data
        described = [m.buffer for m in self.model.metadata or []]
        kept = sorted({0, *described, *(t.buffer for t in self.tensors)})
        place = {old: new for new, old in enumerate(kept)}
        for tensor in self.tensors:
            tensor.buffer = place[tensor.buffer]
        for each in self.model.metadata or []:
            each.buffer = place[each.buffer]
        self.model.buffers = [self.model.buffers[i] for i in kept]


def _on_scale(scale: NDArray[np.float32], zero_point: int = 0) -> Any:
    quantisation = schema.QuantizationParametersT()
    quantisation.scale = scale
    quantisation.zeroPoint = np.full(len(scale), zero_point, np.int64)
    return quantisation


def renew(model: Any, ceilings: Sequence[Sequence[float | None]], ratio: float = np.inf) -> Changes:
    """Change a `ModelT` in place.

    Args:
        model: of a file that an `edge-converter` wrote.
        ceilings: of each layer's groups of hidden neurons, as its plan has them.
        ratio: of the widest to the narrowest range of a layer's groups up to which they are brought to one.
    """
    file = _File(model)
    changes = Changes(_exponentials(file), _factors(file), _activations(file, ceilings, ratio))
    file.sort()
    file.prune()
    return changes


def _exponentials(file: _File) -> int:
    made_by = {o.outputs[0]: o for o in file.graph.operators}
    changed = 0
    for place, operator in enumerate(file.graph.operators):
        before = made_by.get(operator.inputs[0]) if file.code(operator) == "ADD" else None
        if before is not None and file.code(before) == "ELU":
            (x, one), (y,) = operator.inputs, operator.outputs
            values = file.values(one)
            assert values is not None
            added = (float(values.ravel()[0]) - file.zero_point(one)) * file.scale(one)[0]
            moved = added / file.scale(y)[0] + file.zero_point(y) - file.zero_point(x)
            if file.scale(x)[0] == file.scale(y)[0] and abs(moved) < 1e-3:
                file.graph.operators[place] = file.operator("BITCAST", [x], [y], schema.BitcastOptionsT())
                changed += 1
    return changed


def _factors(file: _File) -> int:
    changed = 0
    for place, operator in enumerate(file.graph.operators):
        if file.code(operator) not in ("DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            continue
        x, weight, bias = operator.inputs
        integers, offsets = file.values(weight), file.values(bias)
        width = file.tensors[operator.outputs[0]].shape[-1]
        one_each = integers is not None and integers.size == width and file.tensors[x].shape[-1] in (1, width)
        if not one_each or width == 1 or offsets is None or offsets.any():
            continue
        assert integers is not None
        factors = (integers.ravel() * file.scale(weight)).astype(np.float32)
        name = file.name(operator.outputs[0])
        if not (COARSE.search(name) or alike(factors)):
            continue
        scale = np.float32(max(float(np.abs(factors).max()), SMALLEST_SCALE) / HIGHEST)
        rounded = np.clip(np.rint(factors / scale), -HIGHEST, HIGHEST).astype(np.int8)
        options = schema.MulOptionsT()
        options.fusedActivationFunction = operator.builtinOptions.fusedActivationFunction
        constant = file.constant(f"{name}.factors", rounded, float(scale))
        file.graph.operators[place] = file.operator("MUL", [x, constant], list(operator.outputs), options)
        changed += 1
    return changed


def _activations(file: _File, ceilings: Sequence[Sequence[float | None]], ratio: float) -> int:
    layers: dict[int, list[Any]] = {}
    for operator in file.graph.operators:
        found = HIDDEN.match(file.name(operator.inputs[0])) if file.code(operator) == "GELU" else None
        if found:
            layers.setdefault(int(found[1]), []).append(operator)
    changed = 0
    axis = file.constant("activated.axis", np.array(3, np.int32)) if layers else -1
    for layer, separate in layers.items():
        separate.sort(key=lambda o: file.name(o.inputs[0]))
        widths = {file.tensors[o.inputs[0]].shape[-1] for o in separate}
        ends = [file.ends(o.outputs[0])[1] for o in separate]
        if len(separate) > 1 and len(widths) == 1 and max(ends) <= ratio * min(ends):
            _join(file, f"layer.{layer}.feed_forward.hidden", separate, ceilings[layer], axis)
            changed += len(separate)
    return changed


def _join(file: _File, name: str, separate: list[Any], ceilings: Sequence[float | None], axis: int) -> None:
    befores, afters = [o.inputs[0] for o in separate], [o.outputs[0] for o in separate]
    highest = max(file.ends(t)[1] for t in befores)
    for group, (before, ceiling) in enumerate(zip(befores, ceilings or [None] * len(befores), strict=True)):
        if ceiling is not None:
            # its neurons were cut here, and what they have beyond it came by the side path; now they are cut higher
            _raise(file, f"{name}.{group}.overflow", highest - file.ends(before)[1])
    _widen(file, befores)
    _widen(file, afters)
    count = len(separate)
    width = count * file.tensors[befores[0]].shape[-1]
    joined, activated = file.activation(name, befores[0], width), file.activation(f"{name}.activated", afters[0], width)
    concat, split = schema.ConcatenationOptionsT(), schema.SplitOptionsT()
    concat.axis, split.numSplits = 3, count
    place = file.graph.operators.index(separate[0])
    for operator in separate:
        file.graph.operators.remove(operator)
    file.graph.operators[place:place] = [
        file.operator("CONCATENATION", befores, [joined], concat),
        file.operator("GELU", [joined], [activated], separate[0].builtinOptions),
        file.operator("SPLIT", [axis, activated], afters, split),
    ]


def _widen(file: _File, tensors: list[int]) -> None:
    """All of them, and what they share a scale with, on one that reaches as far as the widest; layers that read them
    get biases to it.
    """
    lows, highs = zip(*(file.ends(t) for t in tensors), strict=True)
    scale = np.float32((max(highs) - min(lows)) / (HIGHEST - LOWEST))
    zero_point = int(np.clip(round(LOWEST - min(lows) / float(scale)), LOWEST, HIGHEST))
    found = set(tensors)
    while True:
        joined = [
            o for o in file.graph.operators if file.code(o) == "CONCATENATION" and found & {*o.inputs, *o.outputs}
        ]
        more = {t for o in joined for t in (*o.inputs, *o.outputs)} - found
        if not more:
            break
        found |= more
    for operator in file.graph.operators:
        if file.code(operator) == "FULLY_CONNECTED" and operator.inputs[0] in found:
            _, weight, bias = operator.inputs
            integers = file.values(bias)
            assert integers is not None
            real = integers * (file.scale(weight) * file.scale(operator.inputs[0])[0])
            _set_bias(file, bias, real, file.scale(weight) * float(scale))
    for tensor in found:
        file.tensors[tensor].quantization = _on_scale(np.array([scale], np.float32), zero_point)


def _set_bias(file: _File, bias: int, real: NDArray[np.float64], scale: NDArray[np.float64]) -> None:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.rint(real / scale).astype(np.int32).tobytes(), np.uint8)
    file.model.buffers.append(buffer)
    file.tensors[bias].buffer = len(file.model.buffers) - 1
    file.tensors[bias].quantization = _on_scale(scale.astype(np.float32))


def _raise(file: _File, name: str, more: float) -> None:
    """Let a side path begin further up. Its layer's rows are those of the neurons, divided by one factor."""
    overflow = next((o for o in file.graph.operators if file.name(o.outputs[0]) == name), None)
    if overflow is None or more <= 0:
        return
    x, weight, bias = overflow.inputs
    hidden = next(o for o in file.graph.operators if file.name(o.outputs[0]) == name.removesuffix(".overflow"))
    rows, all_rows = (_real_rows(file, o) for o in (overflow, hidden))
    # the neuron that a row belongs to is the one whose row points the same way
    lengths = np.linalg.norm(all_rows, axis=1)
    likeness = (rows @ all_rows.T) / np.maximum(lengths, SMALLEST_SCALE)
    factor = lengths[likeness.argmax(axis=1)] / np.maximum(np.linalg.norm(rows, axis=1), SMALLEST_SCALE)
    integers = file.values(bias)
    assert integers is not None
    scale = file.scale(weight) * file.scale(x)[0]
    _set_bias(file, bias, integers * scale - more / factor, scale)


def _real_rows(file: _File, operator: Any) -> NDArray[np.float64]:
    integers = file.values(operator.inputs[1])
    assert integers is not None
    return integers * file.scale(operator.inputs[1])[:, None]


def _ceilings(plan: str) -> list[list[float | None]]:
    # not by `Plan.from_json`: it takes no plans of older converters
    try:
        return [[group["ceiling"] for group in layer["hidden"]] for layer in json.loads(plan)["layers"]]
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{PLAN} cannot be read: {error!r}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description="bring a finished model file to today's operators")
    parser.add_argument("file", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--alike", type=float, default=np.inf, metavar="RATIO")
    arguments = parser.parse_args()
    try:
        content, entries, manifest = opened(arguments.file, [PLAN, CARD])
        ceilings = _ceilings(entries[PLAN])
        done: list[Changes] = []
        network = flatbuffer.rewrite(content, lambda model: done.append(renew(model, ceilings, arguments.alike)))
        if done[0] != Changes(0, 0, 0):
            entries[CARD] = with_note(entries[CARD], NOTE)
        size, _ = save(arguments.new, network, entries, manifest)
    except ConverterError as error:
        print(f"renew: {error}", file=sys.stderr)
        return 1
    print(json.dumps({**vars(done[0]), "bytes": size}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
