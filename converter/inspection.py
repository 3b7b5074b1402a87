"""What a TFLite file holds and what running it will cost; any TFLite file, not only ours."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from converter import model_file, overflow
from converter.errors import FormatError

INTEGER_TYPES = frozenset({"INT8", "INT32"})
COST_LENGTHS = (16, 128)
"""tokens: a command, a paragraph"""
DELEGATION_LENGTH = 32
_TYPE_NAMES = {value: name for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
_OPERATOR_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


@dataclass(frozen=True)
class Delegation:
    """How XNNPACK and TFLite's own kernels share the work."""

    partitions: int
    delegated: int
    """operators"""
    undelegated: dict[str, int]
    """operator → how often"""


@dataclass(frozen=True)
class Inspection:
    file: str
    size: int
    """bytes"""
    flatbuffer_size: int
    fully_integer: bool
    """only int8 and int32 tensors, only built-in operators"""
    tensor_types: dict[str, int]
    operators: dict[str, int]
    custom_operators: list[str]
    inputs: dict[str, list[int]]
    """name → shape; −1 is the sequence's length"""
    outputs: dict[str, list[int]]
    multiply_accumulates: dict[str, int]
    """tokens → of one inference"""
    delegation: Delegation | None
    overflow_risks: list[str] = field(default_factory=list)
    """products of activations that cores without dot products may add up wrongly (`converter.overflow`)"""
    name: str | None = None
    max_length: int | None = None
    architecture: dict[str, Any] = field(default_factory=dict)
    heads: dict[str, Any] = field(default_factory=dict)
    quantisation: dict[str, Any] = field(default_factory=dict)
    accuracy: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def inspect(path: str | os.PathLike[str]) -> Inspection:
    """Read a TFLite file.

    Raises:
        FormatError: it is none, or is damaged.
    """
    path = Path(path)
    flatbuffer, entries = model_file.read(path)
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(flatbuffer, 0))
        subgraphs = list(model.subgraphs)
        operators = [(operator_name(model, o), g, o) for g in subgraphs for o in g.operators]
        types = Counter(_TYPE_NAMES[t.type] for g in subgraphs for t in g.tensors)
        main = subgraphs[0]
        inputs, outputs = (
            {text_of(main.tensors[i].name): shape_of(main.tensors[i]) for i in ids}
            for ids in (main.inputs, main.outputs)
        )
        risks = overflow.risks(model)
    except Exception as error:  # the generated reader checks nothing and may fail in any way
        raise FormatError(f"{path} is damaged: its flatbuffer cannot be read ({type(error).__name__})") from error
    custom = sorted({name for name, _, _ in operators if name.startswith("CUSTOM")})
    manifest = json.loads(entries[model_file.MANIFEST]) if model_file.MANIFEST in entries else {}
    about = ("name", "max_length", "architecture", "heads", "quantisation", "accuracy", "source")
    return Inspection(
        file=str(path),
        size=path.stat().st_size,
        flatbuffer_size=len(flatbuffer),
        fully_integer=set(types) <= INTEGER_TYPES and not custom,
        tensor_types=dict(types),
        operators=dict(Counter(name for name, _, _ in operators).most_common()),
        custom_operators=custom,
        inputs=inputs,
        outputs=outputs,
        multiply_accumulates={
            str(length): sum(multiply_accumulates(name, g, o, length) for name, g, o in operators)
            for length in COST_LENGTHS
        },
        delegation=_delegation(path),
        overflow_risks=risks,
        **{key: manifest[key] for key in about if key in manifest},
    )


def operator_name(model: Any, operator: Any) -> str:
    code = model.operatorCodes[operator.opcodeIndex]
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    if builtin == schema.BuiltinOperator.CUSTOM:
        return f"CUSTOM {text_of(code.customCode)}"
    return str(_OPERATOR_NAMES[builtin])


def text_of(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def shape_of(tensor: Any) -> list[int]:
    shape = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    return [] if shape is None else [int(d) for d in shape]


def multiply_accumulates(name: str, subgraph: Any, operator: Any, length: int) -> int:
    def size(index: int) -> int:
        total = 1
        for d in shape_of(subgraph.tensors[index]):
            total *= length if d < 0 else d
        return total

    if name == "FULLY_CONNECTED":
        return size(operator.outputs[0]) * shape_of(subgraph.tensors[operator.inputs[1]])[-1]
    if name == "DEPTHWISE_CONV_2D":
        return size(operator.outputs[0])
    if name == "BATCH_MATMUL":
        last = shape_of(subgraph.tensors[operator.inputs[0]])[-1]
        return size(operator.outputs[0]) * (length if last < 0 else last)
    return 0


def _delegation(path: Path) -> Delegation | None:
    """What the runtime really does with the file; None if it does not run it."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(str(path), num_threads=1)
        for detail in interpreter.get_input_details():
            if -1 in detail["shape_signature"]:
                shape = [DELEGATION_LENGTH if d < 0 else int(d) for d in detail["shape_signature"]]
                interpreter.resize_tensor_input(detail["index"], shape)
        interpreter.allocate_tensors()
        nodes = interpreter._get_ops_details()
        outputs = [d["index"] for d in interpreter.get_output_details()]
    except (RuntimeError, ValueError):
        return None
    executed = list(_executed(nodes, outputs))
    partitions = [n for n in executed if n["op_name"] == "DELEGATE"]
    undelegated = Counter(n["op_name"] for n in executed if n["op_name"] != "DELEGATE")
    total = sum(1 for n in nodes if n["op_name"] != "DELEGATE")
    return Delegation(len(partitions), total - undelegated.total(), dict(undelegated.most_common()))


def _executed(nodes: list[dict[str, Any]], outputs: list[int]) -> Iterator[dict[str, Any]]:
    """The nodes that are run for `outputs`: what a delegate has taken over is still listed beside it."""
    producer: dict[int, dict[str, Any]] = {}
    for node in nodes:
        for tensor in node["outputs"]:
            if int(tensor) not in producer or node["op_name"] == "DELEGATE":
                producer[int(tensor)] = node
    wanted, seen = list(outputs), set()
    while wanted:
        made_by = producer.get(wanted.pop())
        if made_by is not None and made_by["index"] not in seen:
            seen.add(made_by["index"])
            wanted += [int(t) for t in made_by["inputs"] if t >= 0]
            yield made_by
