"""Writes an integer graph as a TFLite flatbuffer, with the schema classes that LiteRT ships."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converter.integer import IntegerGraph, IntegerOperator, IntegerTensor

ALIGNMENT = 64
"""bytes; of each constant within the file, so that a kernel may read it in place with the widest loads"""
SIGNATURE = "serving_default"

# Operators whose version is not 1: the lowest that allows what is used
# (tensorflow/lite/tools/versioning/op_version.cc).
VERSIONS = {
    "ADD": 2,
    "BATCH_MATMUL": 2,
    "CONCATENATION": 2,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 5,
    "GATHER": 3,
    "GELU": 2,
    "MEAN": 2,
    "MINIMUM": 1,
    "MUL": 2,
    "REDUCE_MAX": 2,
    "RELU": 2,
    "SLICE": 2,
    "SPLIT": 2,
    "SUB": 2,
    "SUM": 2,
    "TANH": 2,
    "TRANSPOSE": 2,
}
OPTIONS = {
    "ADD": schema.AddOptionsT,
    "BATCH_MATMUL": schema.BatchMatMulOptionsT,
    "BITCAST": schema.BitcastOptionsT,
    "CONCATENATION": schema.ConcatenationOptionsT,
    "DEPTHWISE_CONV_2D": schema.DepthwiseConv2DOptionsT,
    "FLOOR_DIV": schema.FloorDivOptionsT,
    "FULLY_CONNECTED": schema.FullyConnectedOptionsT,
    "GATHER": schema.GatherOptionsT,
    "GELU": schema.GeluOptionsT,
    "MEAN": schema.ReducerOptionsT,
    "MINIMUM": schema.MaximumMinimumOptionsT,
    "MUL": schema.MulOptionsT,
    "REDUCE_MAX": schema.ReducerOptionsT,
    "RESHAPE": schema.ReshapeOptionsT,
    "SLICE": schema.SliceOptionsT,
    "SPLIT": schema.SplitOptionsT,
    "SUB": schema.SubOptionsT,
    "SUM": schema.ReducerOptionsT,
    "TRANSPOSE": schema.TransposeOptionsT,
}
TYPES = {"int8": schema.TensorType.INT8, "int32": schema.TensorType.INT32}


class AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A buffer whose data is aligned as the schema's `force_align` wants, which the generated Python code leaves
    out.
    """

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802
        data = b"" if self.data is None else self.data.tobytes()
        if data:
            builder.StartVector(1, len(data), ALIGNMENT)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if data:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


def write(graph: IntegerGraph, description: str) -> bytes:
    """The flatbuffer. Equal graphs give equal bytes."""
    return _Writer(graph, description).bytes()


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Equal vectors are written once: TFLite wants a zero point for every channel, and all of ours are 0."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._vectors: dict[tuple[str, bytes], int] = {}

    def vector(self, values: NDArray[Any]) -> int:
        key = (values.dtype.str, values.tobytes())
        if key not in self._vectors:
            self._vectors[key] = int(self.CreateNumpyVector(values))
        return self._vectors[key]


class _Quantisation(schema.QuantizationParametersT):  # type: ignore[misc]
    def Pack(self, builder: _Builder) -> int:  # noqa: N802
        scale = builder.vector(np.asarray(self.scale, np.float32))
        zero_point = builder.vector(np.asarray(self.zeroPoint, np.int64))
        schema.QuantizationParametersStart(builder)
        schema.QuantizationParametersAddScale(builder, scale)
        schema.QuantizationParametersAddZeroPoint(builder, zero_point)
        schema.QuantizationParametersAddQuantizedDimension(builder, self.quantizedDimension)
        return int(schema.QuantizationParametersEnd(builder))


def _packed(model: Any) -> bytes:
    size = sum(buffer.data.nbytes for buffer in model.buffers if buffer.data is not None)
    builder = _Builder(size + size // 8 + (1 << 20))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def rewrite(content: bytes, change: Callable[[Any], None]) -> bytes:
    """A flatbuffer that `write` made, after `change` to its `ModelT`; without a change the same bytes."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    change(model)
    for place, given in enumerate(model.buffers):
        model.buffers[place] = AlignedBuffer()
        model.buffers[place].data = given.data
    for tensor in model.subgraphs[0].tensors:
        if tensor.quantization is not None:
            # of what was read it keeps the values
            tensor.quantization.__class__ = _Quantisation
    return _packed(model)


class _Writer:
    def __init__(self, graph: IntegerGraph, description: str) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = description
        self.model.buffers = [AlignedBuffer()]
        self.model.operatorCodes = []
        self._codes: dict[str, int] = {}
        self._tensors: dict[IntegerTensor, int] = {}
        self._data: dict[tuple[str, bytes] | None, int] = {}

        self.subgraph = schema.SubGraphT()
        self.subgraph.name = "main"
        self.subgraph.tensors = []
        self.subgraph.inputs = [self.tensor(t) for t in graph.inputs]
        self.subgraph.operators = [self.operator(o) for o in graph.operators]
        self.subgraph.outputs = [self.tensor(t) for t in graph.outputs]
        self.model.subgraphs = [self.subgraph]
        self.model.signatureDefs = [self.signature(graph)]

    def bytes(self) -> bytes:
        return _packed(self.model)

    def tensor(self, tensor: IntegerTensor) -> int:
        if tensor in self._tensors:
            return self._tensors[tensor]
        t = schema.TensorT()
        t.name = tensor.name
        t.type = TYPES[tensor.dtype]
        t.hasRank = True
        t.shape = [max(d, 1) for d in tensor.shape]
        if tensor.dynamic:
            t.shapeSignature = list(tensor.shape)
        t.buffer = 0 if tensor.data is None else self.buffer(tensor)
        if tensor.quantisation is not None:
            q = _Quantisation()
            q.scale = tensor.quantisation.scale
            q.zeroPoint = np.full(len(q.scale), tensor.quantisation.zero_point, np.int64)
            q.quantizedDimension = tensor.quantisation.axis
            t.quantization = q
        self._tensors[tensor] = len(self.subgraph.tensors)
        self.subgraph.tensors.append(t)
        return self._tensors[tensor]

    def buffer(self, tensor: IntegerTensor) -> int:
        """Equal constants without a scale (shapes, axes) are stored once.

        Weights and biases never share: XNNPACK's weight cache finds what it has packed, scales included, by the
        address of weight and bias, and would take one layer's for another's.
        """
        assert tensor.data is not None
        key = None if tensor.quantisation is not None else (tensor.dtype, tensor.data.tobytes())
        if key in self._data:
            return self._data[key]
        buffer = AlignedBuffer()
        buffer.data = np.ascontiguousarray(tensor.data)
        self.model.buffers.append(buffer)
        if key is not None:
            self._data[key] = len(self.model.buffers) - 1
        return len(self.model.buffers) - 1

    def operator(self, operator: IntegerOperator) -> Any:
        o = schema.OperatorT()
        o.opcodeIndex = self.code(operator.code)
        o.inputs = [self.tensor(t) for t in operator.inputs]
        o.outputs = [self.tensor(t) for t in operator.outputs]
        if operator.code in OPTIONS:
            options = OPTIONS[operator.code]()
            for field, value in operator.options.items():
                if not hasattr(options, field):
                    raise ValueError(f"{operator.code} has no option {field}")
                setattr(options, field, value)
            o.builtinOptions = options
            o.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        return o

    def code(self, name: str) -> int:
        if name not in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, name)
            code.deprecatedBuiltinCode = min(code.builtinCode, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
            code.version = VERSIONS.get(name, 1)
            self._codes[name] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(code)
        return self._codes[name]

    def signature(self, graph: IntegerGraph) -> Any:
        def entry(tensor: IntegerTensor) -> Any:
            result = schema.TensorMapT()
            result.name = tensor.name
            result.tensorIndex = self._tensors[tensor]
            return result

        signature = schema.SignatureDefT()
        signature.signatureKey = SIGNATURE
        signature.inputs = [entry(t) for t in graph.inputs]
        signature.outputs = [entry(t) for t in graph.outputs]
        signature.subgraphIndex = 0
        return signature
