"""Products of activations that some kernels add up wrongly: −128 · −128 twice has no place in 16 bits.

Kernels for ARM cores without dot products (Cortex-A53, A72 and older) multiply 16 pairs of int8 at a time and add the
first eight products to the last eight in int16 (XNNPACK's qs8-gemm *mlal*, ruy's Kernel8bitNeon). All sums fit but one:
−128 · −128 + −128 · −128 = 2¹⁵. A linear layer's weights end at −127; where two activations meet, one of them must be
kept from −128.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converter.integer import HIGHEST, LOWEST
from converter.quantisation import MOST_UNPAIRED

_MOVES = ("RESHAPE", "TRANSPOSE", "CONCATENATION", "SPLIT", "SLICE")
"""operators whose results are integers that they were given"""


class _Operators:
    """Of a model's main subgraph, by what they make."""

    def __init__(self, model: Any) -> None:
        names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        self.tensors = model.subgraphs[0].tensors
        self.operators = model.subgraphs[0].operators
        self._buffers = model.buffers
        self._names = [names.get(max(c.builtinCode, c.deprecatedBuiltinCode), "") for c in model.operatorCodes]
        self._made_by = {int(t): o for o in self.operators for t in o.outputs}

    def name(self, operator: Any) -> str:
        return str(self._names[operator.opcodeIndex])

    def can_be_lowest(self, index: int) -> bool:
        """Whether an integer of a tensor may be −128."""
        constant = self._constant(index)
        if constant is not None:
            return bool((constant == LOWEST).any())
        made_by = self._made_by.get(index)
        if made_by is None:
            return True
        name = self.name(made_by)
        inputs = [int(t) for t in made_by.inputs]
        if name in _MOVES:
            moved = {"SPLIT": inputs[1:], "CONCATENATION": inputs}.get(name, inputs[:1])
            return any(self.can_be_lowest(t) for t in moved)
        if name == "GATHER":
            return self.can_be_lowest(inputs[0])
        own = self._quantisation(index)
        if own is None:
            return True
        scale, zero_point = own
        fused = getattr(made_by.builtinOptions, "fusedActivationFunction", schema.ActivationFunctionType.NONE)
        if fused == schema.ActivationFunctionType.RELU_N1_TO_1:
            return zero_point + round(-1 / scale) <= LOWEST
        if name in ("ADD", "SUB"):
            return self._least(inputs, name) / scale + zero_point <= LOWEST + 0.5
        return True

    def _least(self, inputs: list[int], name: str) -> float:
        """The least real sum or difference that two tensors' integers can have."""
        a, b = (self._quantisation(t) for t in inputs)
        if a is None or b is None:
            return -math.inf
        other = b[0] * (LOWEST - b[1]) if name == "ADD" else -b[0] * (HIGHEST - b[1])
        return a[0] * (LOWEST - a[1]) + other

    def _quantisation(self, index: int) -> tuple[float, int] | None:
        """Scale and zero point; None for a tensor that has none, or one for each channel."""
        q = self.tensors[index].quantization
        one = q is not None and q.scale is not None and q.zeroPoint is not None and len(q.scale) == 1
        return (float(q.scale[0]), int(q.zeroPoint[0])) if one else None

    def _constant(self, index: int) -> NDArray[np.int8] | None:
        tensor = self.tensors[index]
        data = self._buffers[tensor.buffer].data
        return None if data is None or not len(data) else np.asarray(data, np.uint8).view(np.int8)


def risks(model: Any) -> list[str]:
    """Names of the products in a flatbuffer (`ModelT`) both of whose operands may be −128; `convert` leaves none."""
    graph = _Operators(model)
    found = []
    for operator in graph.operators:
        if graph.name(operator) != "BATCH_MATMUL":
            continue
        operands = [int(t) for t in operator.inputs]
        tensors = [graph.tensors[t] for t in operands]
        if any(t.type != schema.TensorType.INT8 for t in tensors):
            continue
        if 0 <= _summed(tensors[0], operator.builtinOptions.adjX) <= MOST_UNPAIRED:
            continue
        if all(graph.can_be_lowest(t) for t in operands):
            name = graph.tensors[int(operator.outputs[0])].name
            found.append(name.decode() if isinstance(name, bytes) else str(name))
    return found


def _summed(tensor: Any, transposed: bool) -> int:
    """The length of what a product of the tensor with another sums over; −1 where it depends on the sequence's."""
    shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    return int(shape[-2 if transposed else -1])
