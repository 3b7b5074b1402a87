"""Where an inference's instructions go, by stage of the network or by operator, and how far they are from the floor.

    python -m tests.arm.stages MODEL [--core CORE]… [--length N]… [--by stage|operator|tensor] [--json]

Each operator of the file becomes a model of its own in which it stands once, and one in which it stands several
times: what a further one adds is what the operator costs, delegate and interpreter not counted. What the whole
inference costs beyond the sum of these is the row `between operators`: hand-overs between XNNPACK's partitions and
TFLite's own kernels, and the way in and out through Python.

The floor is what the matrix products would cost if nothing but their multiply-accumulate instructions were executed,
each doing as much as one can: 16 products of int8 where the core has SDOT, else 8 (SMLAL).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from converter import model_file
from converter.flatbuffer import AlignedBuffer
from converter.inspection import multiply_accumulates, operator_name, shape_of, text_of
from tests.arm.count import count, stretch
from tests.arm.emulation import EmulationError, Userland
from tests.arm.operators import FIRST

OPERATORS = "tests.arm.operators"
COPIES = 5
"""of an operator in the larger of its two models"""
PRODUCTS = {"cortex-a76": 16}
"""of int8 that one instruction multiplies and accumulates …"""
PRODUCTS_WITHOUT_SDOT = 8
"""… and on other cores"""
BETWEEN = "between operators"
LAYOUT = frozenset({"RESHAPE", "TRANSPOSE", "SPLIT", "CONCATENATION", "SLICE"})
STAGES = (
    (r"^(ids|positions|embeddings\.(words|positions|sum))\b", "embeddings"),
    (r"\.(query|key|value|hidden|output)\b.*:FULLY_CONNECTED$", "linear layers"),
    (r"\.(scores|context)\b.*:BATCH_MATMUL$", "attention products"),
    (r"(^softmax\.|\.probabilities\b|\.context\.heads)", "softmax"),
    (r"\.activated\b", "activation"),
    (r"\.(sum|residual|mean|share_of_mean|centred|inverse_deviation|normalised)\b", "residual and LayerNorm"),
)
"""by the name of an operator's first result and the operator, the first pattern that is found"""


@dataclass(frozen=True)
class Part:
    name: str
    """of a stage, an operator or a tensor"""
    operators: int
    instructions: int
    floor: int
    """instructions; 0 where there is no matrix product"""


@dataclass(frozen=True)
class Split:
    core: str
    length: int
    """tokens"""
    parts: list[Part]
    instructions: int
    """of the whole inference"""
    floor: int


@dataclass(frozen=True)
class _Node:
    operator: str
    tensor: str
    """its first result"""
    products: int
    content: tuple[bytes, bytes]
    """the two models"""
    key: tuple[Any, ...]
    """equal where the costs are"""


def split(userland: Userland, model: Path, core: str, length: int, by: str = "stage") -> Split:
    """Instructions of one inference at `length` tokens.

    Args:
        userland: in which it is run.
        model: a file whose operators have been named by this converter; others end up in the stage `other`.
        core: emulated.
        length: tokens.
        by: "stage", "operator" or "tensor" (of all layers together).
    """
    nodes = list(_nodes(model, length))
    costs = _costs(userland, core, nodes)
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    per_instruction = PRODUCTS.get(core, PRODUCTS_WITHOUT_SDOT)
    for node in nodes:
        row = sums[_part(node, by)]
        row[0] += 1
        row[1] += costs[node.key]
        row[2] += node.products // per_instruction
    (whole,) = count(userland, str(model), core, (length,))
    parts = [Part(name, *row) for name, row in sums.items()]
    parts.sort(key=lambda part: -part.instructions)
    parts.append(Part(BETWEEN, 0, whole.instructions - sum(part.instructions for part in parts), 0))
    return Split(core, length, parts, whole.instructions, sum(part.floor for part in parts))


def _part(node: _Node, by: str) -> str:
    if by == "operator":
        return node.operator
    if by == "tensor":
        return f"{re.sub(r'layer[.][0-9]+[.]', 'layer.*.', node.tensor)} {node.operator}"
    if node.operator in LAYOUT:
        return "layout"
    found = (stage for pattern, stage in STAGES if re.search(pattern, f"{node.tensor}:{node.operator}"))
    return next(found, "heads" if "logits" in node.tensor or "pooled" in node.tensor else "other")


def _nodes(path: Path, length: int) -> Iterator[_Node]:
    flatbuffer, _ = model_file.read(path)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(flatbuffer, 0))
    subgraph = model.subgraphs[0]
    packed: dict[tuple[Any, ...], tuple[bytes, bytes]] = {}
    for operator in subgraph.operators:
        name = operator_name(model, operator)
        used = [subgraph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
        shapes = tuple(tuple(length if d < 0 else d for d in shape_of(t)) for t in used)
        options = tuple(sorted((k, str(v)) for k, v in _options(operator)))
        constant = tuple(model.buffers[t.buffer].data is not None for t in used)
        # small constants are shapes and permutations: they decide what is done
        small = tuple(bytes(model.buffers[t.buffer].data) for t in used if _is_small(model.buffers[t.buffer].data))
        key = (name, shapes, tuple(t.type for t in used), constant, options, small if name != "GATHER" else ())
        if key not in packed:
            packed[key] = (_alone(model, operator, length, 1), _alone(model, operator, length, COPIES))
        products = multiply_accumulates(name, subgraph, operator, length) if "DEPTHWISE" not in name else 0
        yield _Node(name, text_of(subgraph.tensors[operator.outputs[0]].name), products, packed[key], key)


def _options(operator: Any) -> Iterator[tuple[str, Any]]:
    return iter(() if operator.builtinOptions is None else vars(operator.builtinOptions).items())


def _is_small(data: Any) -> bool:
    return data is not None and len(data) <= 32


def _alone(model: Any, operator: Any, length: int, copies: int) -> bytes:
    """A model in which `operator` stands `copies` times, each time with the same inputs and outputs of its own."""
    whole = model.subgraphs[0]
    result, graph = schema.ModelT(), schema.SubGraphT()
    result.version, result.description = 3, "one operator"
    result.operatorCodes = [model.operatorCodes[operator.opcodeIndex]]
    result.buffers, result.subgraphs = [AlignedBuffer()], [graph]
    graph.name, graph.tensors, graph.operators, graph.inputs, graph.outputs = "main", [], [], [], []
    placed: dict[int, int] = {}

    def add(index: int) -> int:
        tensor = copy(whole.tensors[index])
        tensor.shape = [length if d < 0 else d for d in shape_of(tensor)]
        tensor.shapeSignature = None
        data = model.buffers[tensor.buffer].data
        tensor.buffer = 0
        if data is not None:
            tensor.buffer = len(result.buffers)
            buffer = AlignedBuffer()
            buffer.data = data
            result.buffers.append(buffer)
        graph.tensors.append(tensor)
        if data is None and index not in operator.outputs:
            graph.inputs.append(len(graph.tensors) - 1)
        return len(graph.tensors) - 1

    for index in operator.inputs:
        if index >= 0 and index not in placed:
            placed[index] = add(index)
    for _ in range(copies):
        one = copy(operator)
        one.opcodeIndex = 0
        one.inputs = [placed.get(i, i) for i in operator.inputs]
        one.outputs = [add(i) for i in operator.outputs]
        graph.operators.append(one)
        graph.outputs += one.outputs
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(result.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _costs(userland: Userland, core: str, nodes: list[_Node]) -> dict[tuple[Any, ...], int]:
    """Instructions of each kind of operator."""
    kinds = list({node.key: node for node in nodes}.values())
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(content for node in kinds for content in node.content):
            (Path(folder) / f"{number}.tflite").write_bytes(content)
        _, marks = userland.count(core, OPERATORS, [folder])
    costs = {}
    for place, node in enumerate(kinds):
        one, several = (stretch(marks, FIRST + 2 * place + i) for i in range(2))
        costs[node.key] = (several - one) // (COPIES - 1)
    return costs


def table(found: Split) -> str:
    lines = [
        f"{found.core}, {found.length} tokens",
        f"{'':40}{'operators':>10}{'instructions':>14}{'share':>8}{'floor':>14}",
    ]
    rows = [*found.parts, Part("all", sum(p.operators for p in found.parts), found.instructions, found.floor)]
    for p in rows:
        floor = f"{p.floor:,}" if p.floor else ""
        share = f"{100 * p.instructions / found.instructions:.1f} %"
        lines.append(f"{p.name[:60]:40}{p.operators or '':>10}{p.instructions:>14,}{share:>8}{floor:>14}")
    lines.append(f"{found.instructions / found.floor:.2f} times the floor")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="split an inference's instructions by stage, with the floor")
    parser.add_argument("model", type=Path)
    parser.add_argument("--length", type=int, action="append", help="tokens; default: 32")
    parser.add_argument("--core", action="append", help="default: cortex-a72, cortex-a76")
    parser.add_argument("--by", choices=("stage", "operator", "tensor"), default="stage")
    parser.add_argument("--userland", type=Path, default=Path(os.environ.get("EDGE_ARM", "build/arm"), "arm64"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        found = [
            split(Userland(arguments.userland), arguments.model.resolve(), core, length, arguments.by)
            for core in arguments.core or ("cortex-a72", "cortex-a76")
            for length in arguments.length or (32,)
        ]
    except EmulationError as error:
        print(f"stages: {error}", file=sys.stderr)
        return 1
    print(json.dumps([asdict(row) for row in found], indent=2) if arguments.json else "\n\n".join(map(table, found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
