"""The independent reading of a model file, and what `inspect` says of the same file."""

from __future__ import annotations

import json
from pathlib import Path

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner

from converter.cli import main as edge_converter
from edge_runtime.model_file import find
from tests.edge_runtime import tiny_checkpoint, tiny_models
from tests.integer_walk import INTEGERS, walk


@pytest.mark.parametrize("head", tiny_checkpoint.CONFIGS)
def test_converted_file_holds_integers_only(head: str, tmp_path: Path) -> None:
    """Whatever its head, a converted checkpoint has int8 and int32 tensors and builtin operators; `inspect` agrees."""
    model = tiny_models.convert_one(tmp_path, head)
    found = walk(model.read_bytes())
    assert found.strangers == []
    assert {tensor.type for tensor in found.tensors} == INTEGERS
    result = CliRunner().invoke(edge_converter, ["inspect", str(model), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["fully_integer"] is True


def test_bundled_model_holds_integers_only() -> None:
    """The bundled model has int8 and int32 tensors and builtin operators, nothing else."""
    found = walk(find("assistant").read_bytes())
    assert found.strangers == []
    assert {"ids", "positions"} <= {tensor.name for tensor in found.tensors}


def test_strangers_are_found() -> None:
    """Float tensors and custom operators are named, in whichever subgraph they are."""
    found = walk(_model_with(schema.TensorType.FLOAT32, "FlexErf"))
    assert found.strangers == ["tensor odd is float32", "custom operator FlexErf"]


def test_not_a_model() -> None:
    """A file that is no TFLite flatbuffer is refused."""
    with pytest.raises(ValueError, match="TFL3"):
        walk(bytes(64))


def _model_with(tensor_type: int, custom_operator: str) -> bytes:
    """A model whose second subgraph holds one tensor of the type and one operator of the name."""
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape = b"odd", tensor_type, [1]
    code = schema.OperatorCodeT()
    code.customCode = custom_operator.encode()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = [tensor], [schema.OperatorT()]
    graph.operators[0].opcodeIndex = 0
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [schema.SubGraphT(), graph]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
