"""The first operators of a network, as a network of their own.

A TFLite file is a flatbuffer, whose vectors have their length in front of them: writing a smaller length in front of
the operators gives a valid network that stops early, with the same weights, shapes and kernels. Its outputs are what
the operators left out would have read: without anybody to read it, XNNPACK would not compute it. They are put behind
the file's end, and nothing else changes, so no library that writes flatbuffers is needed on the board.
Field numbers are those of TFLite's schema (tensorflow/lite/schema/schema.fbs).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from boards.errors import BoardError

_MODEL_OPERATOR_CODES, _MODEL_SUBGRAPHS = 1, 2
_SUBGRAPH_TENSORS, _SUBGRAPH_OUTPUTS, _SUBGRAPH_OPERATORS = 0, 2, 3
_TENSOR_NAME = 3
_OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 1, 2


@dataclass(frozen=True, slots=True)
class Network:
    """Where a flatbuffer has what a prefix changes, and the tensors that operators make."""

    content: bytes
    operators: int
    """place of the vector of the first subgraph's operators"""
    outputs: int
    """place of the reference to the vector of its outputs"""
    results: tuple[int, ...]
    """the network's own outputs"""
    read: tuple[tuple[int, ...], ...]
    """tensors that each operator reads"""
    made: tuple[tuple[int, ...], ...]
    """tensors that each makes"""
    names: tuple[str, ...]
    """of the first of these"""

    def prefix(self, count: int) -> bytes:
        """The network of the first `count` operators, at least 1."""
        changed = bytearray(self.content)
        struct.pack_into("<I", changed, self.operators, count)
        changed += b"\0" * (-len(changed) % 4)
        struct.pack_into("<I", changed, self.outputs, len(changed) - self.outputs)
        kept = self.kept(count)
        changed += struct.pack(f"<I{len(kept)}i", len(kept), *kept)
        return bytes(changed)

    def kept(self, count: int) -> list[int]:
        """Tensors that the first `count` operators make and later ones read, results, and what the last one makes."""
        wanted = {tensor for operator in self.read[count:] for tensor in operator}
        wanted |= {*self.results, self.made[count - 1][0]}
        return [tensor for operator in self.made[:count] for tensor in operator if tensor in wanted]


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
        read, made = (
            tuple(reader.numbers(reader.place(each, field)) for each in reader.tables(operators))
            for field in (_OPERATOR_INPUTS, _OPERATOR_OUTPUTS)
        )
        names = tuple(reader.text(reader.place(tensors[tensors_made[0]], _TENSOR_NAME)) for tensors_made in made)
        outputs = reader.reference(graph, _SUBGRAPH_OUTPUTS)
        return Network(content, operators, outputs, reader.numbers(reader.follow(outputs)), read, made, names)
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
        return self.follow(self.reference(table, field))

    def reference(self, table: int, field: int) -> int:
        """Where a table's field has its reference."""
        directory = table - self.signed(table)
        size = struct.unpack_from("<H", self._content, directory)[0]
        if 4 + 2 * field >= size:
            raise ValueError(f"field {field} is missing")
        offset = struct.unpack_from("<H", self._content, directory + 4 + 2 * field)[0]
        if offset == 0:
            raise ValueError(f"field {field} is missing")
        return int(table + offset)

    def numbers(self, vector: int) -> tuple[int, ...]:
        """A vector of signed numbers."""
        return struct.unpack_from(f"<{self._count(vector)}i", self._content, vector + 4)

    def tables(self, vector: int) -> list[int]:
        return [self.follow(vector + 4 + 4 * index) for index in range(self._count(vector))]

    def _count(self, vector: int) -> int:
        count = self.number(vector)
        if count > len(self._content) // 4:
            raise ValueError(f"a vector has {count} entries, more than the file can hold")
        return count

    def text(self, vector: int) -> str:
        return self._content[vector + 4 : vector + 4 + self.number(vector)].decode("utf-8", "replace")
