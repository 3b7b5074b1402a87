"""From float graph and calibrated ranges to the integer graph: one small lowering per operator.

All activations are int8 with one scale, weights int8 with a scale per output channel and zero point 0, biases and
sums of squares int32 (Jacob et al., 2018; the scheme of https://ai.google.dev/edge/litert/models/quantization_spec).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converter import deviation, softmax
from converter.errors import QuantisationError
from converter.graph import Graph, Op, Operator, Rule, Tensor
from converter.integer import HIGHEST, LOWEST, IntegerGraph, IntegerOperator, IntegerTensor, Quantisation

SMALLEST_SCALE = 1e-9
"""a tensor that is always zero still needs a scale"""
SMALLEST_TERM = 2.0**-9
"""of a sum's scale; XNNPACK leaves ADD and SUB with a ratio below 2⁻¹⁰ to kernels that are forty times slower"""
NONE, RELU, RELU_N1_TO_1 = 0, 1, 2
"""schema.fbs: ActivationFunctionType"""
CLAMPED = Quantisation(np.array([1 / HIGHEST], np.float32), lowest=-HIGHEST)
"""−1 … 1"""
MOST_UNPAIRED = 8
"""channels of a row whose products no kernel adds up two by two in 16 bits: two that are added are eight apart"""
LARGEST_BIAS = 2**30
"""half of what an int32 accumulator can hold, the other half being the products'"""


@dataclass(frozen=True)
class Range:
    """Of real values; what lies outside is cut."""

    low: float
    high: float


Ranges = Mapping[Tensor, Range]
"""by the tensor that stands for all that share its scale (`Graph.representative`)"""
Rounded = Mapping[Tensor, NDArray[np.int8]]
"""integers of linear layers' weights"""


def quantise(graph: Graph, ranges: Ranges, rounded: Rounded | None = None) -> IntegerGraph:
    """Lower every operator of `graph`.

    Args:
        graph: in float32.
        ranges: of its activations.
        rounded: weights that are not to be rounded to the nearest integers but are given as such.

    Raises:
        QuantisationError: an activation has no range, or one that is not finite.
    """
    lowering = _Lowering(graph, ranges, rounded or {})
    lowering.spare_lowest()
    lowering.align_outliers()
    lowering.widen_terms()
    for operator in graph.operators:
        _LOWER[operator.op](lowering, operator)
    inputs = [lowering.tensor(t) for t in graph.inputs]
    outputs = [lowering.tensor(t) for t in graph.outputs]
    return IntegerGraph(inputs, outputs, lowering.operators)


def asymmetric(low: float, high: float) -> Quantisation:
    """0 is always representable, as the kernels demand."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / (HIGHEST - LOWEST), SMALLEST_SCALE)
    zero_point = int(np.clip(round(LOWEST - low / scale), LOWEST, HIGHEST))
    return Quantisation(np.array([scale], np.float32), zero_point)


def symmetric(low: float, high: float) -> Quantisation:
    return Quantisation(np.array([max(abs(low), abs(high), SMALLEST_SCALE * HIGHEST) / HIGHEST], np.float32))


class _Lowering:
    """What the lowerings of single operators share."""

    def __init__(self, graph: Graph, ranges: Ranges, rounded: Rounded) -> None:
        self.graph, self.ranges, self.rounded = graph, ranges, rounded
        self.operators: list[IntegerOperator] = []
        self._tensors: dict[Tensor, IntegerTensor] = {}
        self._scales: dict[Tensor, Quantisation] = {}
        self._constants: dict[tuple[int, ...], IntegerTensor] = {}
        self._minuend = {o.outputs[0]: o.inputs[0] for o in graph.operators if o.op is Op.SUBTRACT}
        self.row_normaliser: softmax.RowNormaliser | None = None

    def emit(
        self, code: str, inputs: list[IntegerTensor], outputs: list[IntegerTensor], **options: int | float | bool
    ) -> None:
        self.operators.append(IntegerOperator(code, tuple(inputs), tuple(outputs), options))

    def scale(self, tensor: Tensor) -> Quantisation:
        """Of an activation or a table."""
        key = self.graph.representative(tensor)
        if key not in self._scales:
            self._scales[key] = self._scale_by_rule(key)
        return self._scales[key]

    def widen_terms(self) -> None:
        """Keep the terms of a sum within the ratios of scales that XNNPACK takes: a tiny term has steps to spare."""
        for operator in self.graph.operators:
            if operator.op in (Op.ADD, Op.SUBTRACT):
                least = float(self.scale(operator.outputs[0]).scale[0]) * SMALLEST_TERM
                for term in operator.inputs:
                    q = self.scale(term)
                    if float(q.scale[0]) < least:
                        widened = Quantisation(np.array([least], np.float32), q.zero_point)
                        self._scales[self.graph.representative(term)] = widened

    def spare_lowest(self) -> None:
        """Keep −128 from sums and differences that are squared, by a scale on which nothing is cut.

        What −128 does to squares docs/quantisation.md says. Few channels are safe, and what a product makes is clamped.
        """
        made_by = {o.outputs[0]: o for o in self.graph.operators if o.op in (Op.ADD, Op.SUBTRACT)}
        for operator in self.graph.operators:
            if operator.op is Op.INVERSE_DEVIATION:
                for squared in operator.inputs:
                    if squared in made_by and squared.shape[-1] > MOST_UNPAIRED:
                        # half a step is left for what `widen_terms` does to the operands
                        least = self._least(made_by[squared]) / (0.5 - HIGHEST)
                        if float(self.scale(squared).scale[0]) < least:
                            spared = Quantisation(np.array([least], np.float32))
                            self._scales[self.graph.representative(squared)] = spared

    def _least(self, operator: Operator) -> float:
        """The least real result of ADD or SUBTRACT that its operands' integers can have."""
        a, b = (self.scale(t) for t in operator.inputs)
        other = LOWEST if operator.op is Op.ADD else -HIGHEST
        sign = 1 if operator.op is Op.ADD else -1
        return float(a.scale[0]) * (LOWEST - a.zero_point) + float(b.scale[0]) * (other - sign * b.zero_point)

    def align_outliers(self) -> None:
        """Let a step of an outlier's square be worth a whole number of steps of the other channels' squares."""
        for operator in self.graph.operators:
            if operator.op is Op.INVERSE_DEVIATION:
                centred, *asides = operator.inputs
                units = operator.attributes["units"]
                assert isinstance(units, tuple)
                unit = float(self.scale(centred).scale[0]) * units[0]
                for aside in asides:
                    ratio = float(self.scale(aside).scale[0]) / unit
                    steps = max(1, math.ceil(ratio * ratio - 1e-6))
                    q = Quantisation(np.array([unit * math.sqrt(steps)], np.float32))
                    self._scales[self.graph.representative(aside)] = q

    def _scale_by_rule(self, key: Tensor) -> Quantisation:
        if key.rule is Rule.SHARE:
            return softmax.SHARE
        if key.rule is Rule.POWER_OF_TWO:
            return softmax.POWER_OF_TWO
        if key.rule is Rule.CLAMPED:
            return CLAMPED
        if key.rule is Rule.UNIT:
            return Quantisation(np.array([1 / 128], np.float32), 0)
        if key.rule is Rule.NOT_POSITIVE:
            return Quantisation(self.scale(self._minuend[key]).scale, HIGHEST)
        if key.rule is Rule.FACTORS:
            largest = float(np.abs(np.asarray(key.constant)).max(initial=0.0))
            return symmetric(-largest, largest)
        r = self.ranges.get(key)
        if r is None or not (math.isfinite(r.low) and math.isfinite(r.high)):
            raise QuantisationError(f"{key.name} has no finite range: is the checkpoint damaged?")
        return symmetric(r.low, r.high) if key.rule in (Rule.SYMMETRIC, Rule.TABLE) else asymmetric(r.low, r.high)

    def tensor(self, tensor: Tensor) -> IntegerTensor:
        """The integer counterpart of an activation, an input or a table."""
        if tensor in self._tensors:
            return self._tensors[tensor]
        if tensor.rule is Rule.INDEX:
            result = IntegerTensor(tensor.name, tensor.shape, "int32")
        else:
            q = self.scale(tensor)
            data = None if tensor.constant is None else to_int8(tensor.constant, q)
            result = IntegerTensor(tensor.name, tensor.shape, "int8", q, data)
        self._tensors[tensor] = result
        return result

    def indices(self, *values: int) -> IntegerTensor:
        """A constant int32 vector: a shape, a permutation, an axis."""
        if values not in self._constants:
            name = "constant." + "_".join(str(v).replace("-", "m") for v in values)
            self._constants[values] = IntegerTensor(name, (len(values),), "int32", None, np.array(values, np.int32))
        return self._constants[values]

    def weight_and_bias(
        self, operator: Operator, shape: tuple[int, ...], axis: int
    ) -> tuple[IntegerTensor, IntegerTensor]:
        """`operator`'s second and third inputs, the weight laid out as `shape` with its scales along `axis`."""
        x, weight, bias = operator.inputs
        w, b = np.asarray(weight.constant, np.float64), np.asarray(bias.constant, np.float64)
        input_scale = float(self.scale(x).scale[0])
        rows = w.reshape(len(b), -1)
        scale = weight_scales(rows, b, input_scale)
        integers = self.rounded.get(weight)
        if integers is None:
            steps = rows / scale[:, None] + spread(weight)
            integers = np.clip(np.rint(steps), -HIGHEST, HIGHEST).astype(np.int8)
        bias_scale = (scale * np.float32(input_scale)).astype(np.float32)
        bias_integers = np.rint(b / (scale.astype(np.float64) * input_scale)).astype(np.int32)
        return (
            IntegerTensor(weight.name, shape, "int8", Quantisation(scale, 0, axis), integers.reshape(shape)),
            IntegerTensor(bias.name, b.shape, "int32", Quantisation(bias_scale), bias_integers),
        )


def weight_scales(weight: NDArray[np.float64], bias: NDArray[np.float64], input_scale: float) -> NDArray[np.float32]:
    """Of each row of a weight [out, in] whose products with an input of that scale `bias` [out] is added to."""
    least = np.maximum(np.abs(bias) / (input_scale * LARGEST_BIAS), SMALLEST_SCALE)
    scales: NDArray[np.float32] = np.maximum(np.abs(weight).max(axis=1) / HIGHEST, least).astype(np.float32)
    return scales


def spread(weight: Tensor) -> NDArray[np.float64]:
    """[in] what is added to the columns of a linear layer's weight, in steps, before they are rounded.

    Copies of a number share its weight. Rounded alike, all would be off to one side; moved by different parts of a
    step, they are rounded so that their sum is the nearest (Hermite's identity).
    """
    if weight.copies is None:
        return np.zeros(1)
    _, group, sizes = np.unique(weight.copies, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    place = np.empty(len(group))
    place[order] = np.concatenate([np.arange(size) for size in sizes])
    parts: NDArray[np.float64] = (place - (sizes[group] - 1) / 2) / sizes[group]
    return parts


def to_int8(values: NDArray[np.float32] | NDArray[np.int32], q: Quantisation) -> NDArray[np.int8]:
    """Of a tensor with one scale."""
    integers: NDArray[np.int8] = np.clip(np.rint(values / q.scale[0]) + q.zero_point, LOWEST, HIGHEST).astype(np.int8)
    return integers


def _linear(lowering: _Lowering, operator: Operator) -> None:
    weight = operator.inputs[1]
    w, b = lowering.weight_and_bias(operator, weight.shape, 0)
    lowering.emit(
        "FULLY_CONNECTED",
        [lowering.tensor(operator.inputs[0]), w, b],
        [lowering.tensor(operator.outputs[0])],
        keepNumDims=True,
        fusedActivationFunction=RELU if operator.attributes["relu"] else _clamp(operator),
    )


def _channel_affine(lowering: _Lowering, operator: Operator) -> None:
    w, b = lowering.weight_and_bias(operator, (1, 1, 1, operator.inputs[0].shape[-1]), 3)
    x, y = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    options = {"padding": 1, "strideW": 1, "strideH": 1, "depthMultiplier": 1}
    lowering.emit("DEPTHWISE_CONV_2D", [x, w, b], [y], fusedActivationFunction=_clamp(operator), **options)


def _channel_factors(lowering: _Lowering, operator: Operator) -> None:
    inputs = [lowering.tensor(t) for t in operator.inputs]
    lowering.emit("MUL", inputs, [lowering.tensor(operator.outputs[0])], fusedActivationFunction=_clamp(operator))


def _clamp(operator: Operator) -> int:
    """The fused activation that keeps an operator's result to its rule."""
    return RELU_N1_TO_1 if operator.outputs[0].rule is Rule.CLAMPED else NONE


def _inverse_deviation(lowering: _Lowering, operator: Operator) -> None:
    r = lowering.ranges[lowering.graph.representative(operator.outputs[0])]
    deviation.lower(
        lowering.emit,
        [lowering.tensor(t) for t in operator.inputs],
        [lowering.tensor(t) for t in operator.outputs],
        low=r.low,
        high=r.high,
        **operator.attributes,  # type: ignore[arg-type]
    )


def _split(lowering: _Lowering, operator: Operator) -> None:
    x = operator.inputs[0]
    axis = IntegerTensor(f"{x.name}.axis", (), "int32", None, np.array(len(x.shape) - 1, np.int32))
    outputs = [lowering.tensor(t) for t in operator.outputs]
    lowering.emit("SPLIT", [axis, lowering.tensor(x)], outputs, numSplits=len(outputs))


def _with_indices(code: str, values: Callable[[Operator], tuple[int, ...]], **options: bool) -> Callable[..., None]:
    def lower(lowering: _Lowering, operator: Operator) -> None:
        x, y = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
        lowering.emit(code, [x, lowering.indices(*values(operator))], [y], **options)

    return lower


def _first(lowering: _Lowering, operator: Operator) -> None:
    x, y = lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0])
    lowering.emit("SLICE", [x, lowering.indices(0, 0, 0, 0), lowering.indices(*y.shape)], [y])


def _plain(code: str, **options: int | float | bool) -> Callable[..., None]:
    def lower(lowering: _Lowering, operator: Operator) -> None:
        inputs = [lowering.tensor(t) for t in operator.inputs]
        lowering.emit(code, inputs, [lowering.tensor(t) for t in operator.outputs], **options)

    return lower


def _exponential(lowering: _Lowering, operator: Operator) -> None:
    softmax.lower_exponential(lowering.emit, lowering.tensor(operator.inputs[0]), lowering.tensor(operator.outputs[0]))


def _row_normaliser(lowering: _Lowering, operator: Operator) -> None:
    x, positions = (lowering.tensor(t) for t in operator.inputs)
    shift, rest = (lowering.tensor(t) for t in operator.outputs)
    if lowering.row_normaliser is None:
        lowering.row_normaliser = softmax.RowNormaliser(lowering.emit, positions, lowering.graph.longest)
    lowering.row_normaliser.lower(lowering.emit, x, shift, rest)


def _gelu(lowering: _Lowering, operator: Operator) -> None:
    _plain("GELU", approximate=bool(operator.attributes["approximate"]))(lowering, operator)


_LOWER: dict[Op, Callable[[_Lowering, Operator], None]] = {
    Op.GATHER: _plain("GATHER"),
    Op.LINEAR: _linear,
    Op.ADD: _plain("ADD"),
    Op.SUBTRACT: _plain("SUB"),
    Op.MULTIPLY: _plain("MUL"),
    Op.CHANNEL_AFFINE: _channel_affine,
    Op.CHANNEL_FACTORS: _channel_factors,
    Op.MEAN: _with_indices("MEAN", lambda o: (int(o.attributes["axis"] or 0),), keepDims=True),  # type: ignore[arg-type]
    Op.INVERSE_DEVIATION: _inverse_deviation,
    Op.MATMUL: _plain("BATCH_MATMUL", adjY=True),
    Op.ROW_MAXIMUM: _with_indices("REDUCE_MAX", lambda o: (len(o.inputs[0].shape) - 1,), keepDims=True),
    Op.EXPONENTIAL: _exponential,
    Op.ROW_NORMALISER: _row_normaliser,
    Op.GELU: _gelu,
    Op.TANH: _plain("TANH"),
    Op.RELU: _plain("RELU"),
    Op.SPLIT: _split,
    Op.CONCAT: _plain("CONCATENATION", axis=3),
    Op.RESHAPE: _with_indices("RESHAPE", lambda o: o.outputs[0].shape),
    Op.TRANSPOSE: _with_indices("TRANSPOSE", lambda o: o.attributes["permutation"]),  # type: ignore[arg-type,return-value]
    Op.FIRST: _first,
}
