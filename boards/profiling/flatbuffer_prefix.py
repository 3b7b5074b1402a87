"""The first operators of a network, as a network of their own.

A TFLite file is a flatbuffer, whose vectors have their length in front of them: writing a smaller length in front of
the operators, and another tensor into the outputs, gives a valid network that stops early, with the same weights,
shapes and kernels. Nothing else of the file changes, so no library that writes flatbuffers is needed on the board.
Field numbers are those of TFLite's schema (tensorflow/lite/schema/schema.fbs).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from boards.errors import BoardError

_MODEL_OPERATOR_CODES, _MODEL_SUBGRAPHS = 1, 2
_SUBGRAPH_TENSORS, _SUBGRAPH_OUTPUTS, _SUBGRAPH_OPERATORS = 0, 2, 3
_TENSOR_NAME = 3
_OPERATOR_OUTPUTS = 2


@dataclass(frozen=True, slots=True)
class Network:
    """Where a flatbuffer has what a prefix changes, and the tensors that operators make."""

    content: bytes
    operators: int
    """place of the vector of the first subgraph's operators"""
    outputs: int
    """place of the vector of its outputs"""
    made: tuple[int, ...]
    """first output tensor of each operator"""
    names: tuple[str, ...]
    """of these tensors"""

    def prefix(self, count: int) -> bytes:
        """The network of the first `count` operators, at least 1, whose one output is what the last of them makes."""
        changed = bytearray(self.content)
        struct.pack_into("<I", changed, self.operators, count)
        struct.pack_into("<Ii", changed, self.outputs, 1, self.made[count - 1])
        return bytes(changed)


def understand(content: bytes) -> Network:
    """Find the places.

    Raises:
        BoardError: it is no TFLite network with one subgraph.
    """
    if content[4:8] != b"TFL3":
        raise BoardError("the file is no TFLite network")
    try:
        reader = _Reader(content)
        model = reader.follow(0)
        (graph,) = reader.tables(reader.place(model, _MODEL_SUBGRAPHS))
        tensors = reader.tables(reader.place(graph, _SUBGRAPH_TENSORS))
        operators = reader.place(graph, _SUBGRAPH_OPERATORS)
        made = [reader.signed(reader.place(each, _OPERATOR_OUTPUTS) + 4) for each in reader.tables(operators)]
        names = tuple(reader.text(reader.place(tensors[tensor], _TENSOR_NAME)) for tensor in made)
        return Network(content, operators, reader.place(graph, _SUBGRAPH_OUTPUTS), tuple(made), names)
    except (struct.error, IndexError, ValueError) as error:
        raise BoardError(f"the network cannot be cut into parts: {error}") from None


class _Reader:
    """A flatbuffer's tables and vectors (https://flatbuffers.dev/internals/)."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def number(self, place: int) -> int:
        return int(struct.unpack_from("<I", self._content, place)[0])

    def signed(self, place: int) -> int:
        return int(struct.unpack_from("<i", self._content, place)[0])

    def follow(self, place: int) -> int:
        return place + self.number(place)

    def place(self, table: int, field: int) -> int:
        """What a table's field refers to: a vector, text or table."""
        directory = table - self.signed(table)
        size = struct.unpack_from("<H", self._content, directory)[0]
        if 4 + 2 * field >= size:
            raise ValueError(f"field {field} is missing")
        offset = struct.unpack_from("<H", self._content, directory + 4 + 2 * field)[0]
        if offset == 0:
            raise ValueError(f"field {field} is missing")
        return self.follow(table + offset)

    def tables(self, vector: int) -> list[int]:
        count = self.number(vector)
        if count > len(self._content) // 4:
            raise ValueError(f"a vector has {count} entries, more than the file can hold")
        return [self.follow(vector + 4 + 4 * index) for index in range(count)]

    def text(self, vector: int) -> str:
        return self._content[vector + 4 : vector + 4 + self.number(vector)].decode("utf-8", "replace")
