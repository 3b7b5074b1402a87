"""Reads the tensors and operators of a TFLite file from its bytes, by no code and no schema library of the converter's.

    python -m tests.integer_walk FILE.tflite          what it holds, as JSON

The layout is the FlatBuffers specification's (flatbuffers.dev/internals) and tensorflow/lite/schema/schema.fbs's.
"""

from __future__ import annotations

import json
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# schema.fbs: TensorType
TYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool", 7: "int16", 8: "complex64",
    9: "int8", 10: "float64", 11: "complex128", 12: "uint64", 13: "resource", 14: "variant", 15: "uint32", 16: "uint16",
    17: "int4", 18: "bfloat16", 19: "int2",
}  # fmt: skip
INTEGERS = {"int8", "int32"}

# schema.fbs: BuiltinOperator
CUSTOM = 32

# schema.fbs: number of the field in its table
MODEL_OPERATOR_CODES, MODEL_SUBGRAPHS = 1, 2
CODE_DEPRECATED_BUILTIN, CODE_CUSTOM, CODE_BUILTIN = 0, 1, 3
SUBGRAPH_TENSORS, SUBGRAPH_OPERATORS = 0, 3
TENSOR_TYPE, TENSOR_NAME = 1, 3
OPERATOR_CODE = 0


@dataclass(frozen=True)
class Tensor:
    name: str
    type: str


@dataclass(frozen=True)
class Operator:
    builtin: int
    """number in schema.fbs's BuiltinOperator"""
    custom: str
    """name of a custom or flex operator, else empty"""


@dataclass(frozen=True)
class Walk:
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]

    @property
    def strangers(self) -> list[str]:
        """Everything that a fully-integer model must not hold, in words."""
        tensors = [f"tensor {tensor.name} is {tensor.type}" for tensor in self.tensors if tensor.type not in INTEGERS]
        custom = {
            operator.custom or "unnamed" for operator in self.operators if operator.builtin == CUSTOM or operator.custom
        }
        return tensors + [f"custom operator {name}" for name in sorted(custom)]


class _Table:
    """A FlatBuffers table at `position`: its first word leads back to the vtable, which holds each field's offset."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position = data, position
        self.vtable = position - self._read("<i", position)

    def _read(self, form: str, position: int) -> int:
        value: int = struct.unpack_from(form, self.data, position)[0]
        return value

    def _field(self, number: int) -> int | None:
        """Position of the field's value; None where it has its default."""
        slot = 4 + 2 * number
        if slot >= self._read("<H", self.vtable):
            return None
        offset = self._read("<H", self.vtable + slot)
        return self.position + offset if offset else None

    def scalar(self, number: int, form: str, default: int = 0) -> int:
        position = self._field(number)
        return default if position is None else self._read(form, position)

    def text(self, number: int) -> str:
        position = self._field(number)
        if position is None:
            return ""
        position += self._read("<I", position)
        length = self._read("<I", position)
        return self.data[position + 4 : position + 4 + length].decode()

    def tables(self, number: int) -> Iterator[_Table]:
        position = self._field(number)
        if position is None:
            return
        position += self._read("<I", position)
        for element in range(position + 4, position + 4 + 4 * self._read("<I", position), 4):
            yield _Table(self.data, element + self._read("<I", element))


def walk(data: bytes) -> Walk:
    """Tensors and operators of all subgraphs of the TFLite model that `data` begins with."""
    if data[4:8] != b"TFL3":
        raise ValueError("no TFLite model: the file identifier TFL3 is missing")
    model = _Table(data, struct.unpack_from("<I", data, 0)[0])
    codes = []
    for code in model.tables(MODEL_OPERATOR_CODES):
        # Numbers below 127 may stand in the older field, a byte wide, alone.
        builtin = max(code.scalar(CODE_BUILTIN, "<i"), code.scalar(CODE_DEPRECATED_BUILTIN, "<b"))
        codes.append(Operator(builtin, code.text(CODE_CUSTOM)))
    tensors, operators = [], []
    for graph in model.tables(MODEL_SUBGRAPHS):
        for tensor in graph.tables(SUBGRAPH_TENSORS):
            number = tensor.scalar(TENSOR_TYPE, "<b")
            tensors.append(Tensor(tensor.text(TENSOR_NAME), TYPES.get(number, f"of type {number}")))
        operators += [codes[operator.scalar(OPERATOR_CODE, "<I")] for operator in graph.tables(SUBGRAPH_OPERATORS)]
    return Walk(tuple(tensors), tuple(operators))


def main() -> int:
    found = walk(Path(sys.argv[1]).read_bytes())
    report = {
        "tensors": Counter(tensor.type for tensor in found.tensors),
        "operators": len(found.operators),
        "strangers": found.strangers,
    }
    print(json.dumps(report, indent=2))
    return 1 if found.strangers else 0


if __name__ == "__main__":
    sys.exit(main())
