"""Inspection, evaluation and the commands around them, on one small model."""

from __future__ import annotations

import json
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from click.testing import CliRunner

import converter
from converter import checkpoint, evaluation, flatbuffer, model_file
from converter.cli import main
from converter.errors import EvaluationError, FormatError
from converter.integer import IntegerGraph, IntegerOperator, IntegerTensor
from converter.network import Head
from tests.converter.random_checkpoint import make
from tests.converter.test_conversion import soften

TEXTS = ["turn off the light", "the lights , e", "é 中", "turn\toff"]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `checkpoint`, `model.tflite` and `texts`."""
    folder = tmp_path_factory.mktemp("inspection")
    make(folder / "checkpoint", "SqueezeBertForTokenClassification")
    soften(folder / "checkpoint")
    converter.convert(folder / "checkpoint", folder / "model.tflite")
    (folder / "texts").write_text("\n".join(TEXTS), encoding="utf-8")
    return folder


def test_inspection_counts(converted: Path) -> None:
    """Operators, types, cost and the work's division are those of the file."""
    found = converter.inspect(converted / "model.tflite")
    assert found.fully_integer
    assert set(found.tensor_types) == {"INT8", "INT32"}
    assert found.inputs == {"ids": [1, -1], "positions": [1, -1]}
    assert found.outputs == {"tags": [-1, 2]}
    assert found.operators["ELU"] == 2
    assert found.delegation is not None
    assert found.delegation.undelegated["GELU"] == 2  # one for all four groups of each layer
    assert not {"FULLY_CONNECTED", "ELU", "SUB", "REDUCE_MAX", "MEAN"} & set(found.delegation.undelegated)
    assert found.delegation.delegated + sum(found.delegation.undelegated.values()) == sum(found.operators.values())
    per_token = 2 * (3 * 24 * 24 // 4 + 24 * 24 + 2 * 24 * 48 // 4)
    assert found.multiply_accumulates["16"] > 16 * per_token
    assert found.multiply_accumulates["128"] > 8 * found.multiply_accumulates["16"]


def test_float_tensors_are_seen(tmp_path: Path) -> None:
    """A file with a tensor of another type is not called fully integer."""
    from ai_edge_litert import schema_py_generated as schema

    x = IntegerTensor("x", (1, 4), "int8")
    y = IntegerTensor("y", (1, 4), "int8")
    content = flatbuffer.write(IntegerGraph([x], [y], [IntegerOperator("RELU", (x,), (y,))]), "test")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for tensor in model.subgraphs[0].tensors:
        tensor.type = schema.TensorType.FLOAT32
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "float.tflite").write_bytes(bytes(builder.Output()))
    found = converter.inspect(tmp_path / "float.tflite")
    assert not found.fully_integer
    assert found.name is None


@pytest.mark.parametrize("content", [b"", b"no model", b"\0\0\0\0TFL3", b"\x1c\0\0\0TFL3" + b"\xff" * 60])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """What is no flatbuffer, or a broken one, gives a FormatError that names the file."""
    (tmp_path / "x.tflite").write_bytes(content)
    with pytest.raises(FormatError, match=r"x\.tflite"):
        converter.inspect(tmp_path / "x.tflite")


def test_constants_are_aligned(converted: Path) -> None:
    """Every constant lies on a 64-byte boundary of the flatbuffer, where kernels may read it in place."""
    from ai_edge_litert import schema_py_generated as schema

    content, _ = model_file.read(converted / "model.tflite")
    model = schema.Model.GetRootAs(content, 0)
    raw = np.frombuffer(content, np.uint8)
    found = 0
    for i in range(model.BuffersLength()):
        data = model.Buffers(i).DataAsNumpy()
        if not isinstance(data, int):
            offset = data.__array_interface__["data"][0] - raw.__array_interface__["data"][0]
            assert offset % flatbuffer.ALIGNMENT == 0
            found += 1
    assert found > 50


def test_weights_never_share_a_buffer(converted: Path) -> None:
    """No two scaled constants are stored once: XNNPACK's weight cache would take one for the other."""
    from ai_edge_litert import schema_py_generated as schema

    content, _ = model_file.read(converted / "model.tflite")
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    scaled = [
        t.Buffer() for t in tensors if t.Buffer() and t.Quantization() is not None and t.Quantization().ScaleLength()
    ]
    assert len(scaled) == len(set(scaled))


def test_evaluation(converted: Path) -> None:
    """The integers agree with float32, and each tensor's error is there, in the order of execution."""
    network = checkpoint.read(converted / "checkpoint")
    result = converter.evaluate(converted / "model.tflite", network, TEXTS)
    score = result.heads["tags"]
    assert score.texts == len(TEXTS)
    assert score.cosine_mean > 0.97
    assert score.agreement is not None
    assert 0 < score.constant_error < 1
    names = [t.name for t in result.tensors]
    assert names.index("embeddings.centred") < names.index("layer.1.attention.scores") < names.index("tags")
    assert all(0 <= t.relative_error < 1 for t in result.tensors if t.name.endswith("probabilities"))


def test_constant_error_is_told_from_noise() -> None:
    """What all texts are off by alike is its own share of the error; of noise, one part in the number of texts."""
    head = Head("intent", "classification", ("a", "b", "c"))
    generator = np.random.default_rng(0)
    expected, noise = (generator.normal(size=(400, 1, 3)).astype(np.float32) for _ in range(2))
    for shift, share in ((0.0, 1 / 400), (1.0, 0.5), (30.0, 0.999)):
        score = evaluation._score(head, list(zip(expected + noise + np.float32(shift), expected, strict=True)))
        assert score.constant_error == pytest.approx(share, abs=0.05)


def test_evaluation_tells_another_checkpoint(converted: Path, tmp_path: Path) -> None:
    """Against weights that it was not made from, the same file scores visibly worse; with other heads it is refused."""
    make(tmp_path / "other", "SqueezeBertForTokenClassification", seed=7)
    soften(tmp_path / "other")
    other = converter.evaluate(converted / "model.tflite", checkpoint.read(tmp_path / "other"), TEXTS, tensors=False)
    assert other.heads["tags"].cosine_mean < 0.9
    make(tmp_path / "base", "SqueezeBertModel")
    with pytest.raises(EvaluationError, match="embedding"):
        converter.evaluate(converted / "model.tflite", checkpoint.read(tmp_path / "base"), TEXTS)
    with pytest.raises(EvaluationError, match="no text"):
        converter.evaluate(converted / "model.tflite", checkpoint.read(converted / "checkpoint"), [])


def test_commands_print_one_json_object(converted: Path, tmp_path: Path) -> None:
    """--json is one object and nothing else on standard output."""
    runs = {
        "fully_integer": ["inspect", str(converted / "model.tflite")],
        "heads": [
            *("evaluate", str(converted / "model.tflite"), "--reference", str(converted / "checkpoint")),
            *("--texts", str(converted / "texts")),
        ],
        "inspection": ["convert", str(converted / "checkpoint"), "-o", str(tmp_path / "again.tflite")],
    }
    for key, arguments in runs.items():
        result = CliRunner().invoke(main, [*arguments, "--json"])
        assert result.exit_code == 0, result.output
        assert key in json.loads(result.stdout)


def test_commands_speak_to_people(converted: Path, tmp_path: Path) -> None:
    """Without --json the same commands print what a person wants to know."""
    shown = CliRunner().invoke(main, ["inspect", str(converted / "model.tflite")])
    assert "fully integer           yes" in shown.stdout
    shown = CliRunner().invoke(main, ["convert", str(converted / "checkpoint"), "-o", str(tmp_path / "again.tflite")])
    assert "effort                  best" in shown.stdout
    assert "cosine to float32" in shown.stdout
    arguments = ["--reference", str(converted / "checkpoint"), "--texts", str(converted / "texts")]
    shown = CliRunner().invoke(main, ["evaluate", str(converted / "model.tflite"), *arguments])
    assert "largest relative error" in shown.stdout


def test_commands_fail_in_one_line(converted: Path, tmp_path: Path) -> None:
    """An expected error is exit status 1 and one line on standard error; wrong usage is 2."""
    (tmp_path / "x.tflite").write_bytes(b"no model")
    failed = CliRunner().invoke(main, ["inspect", str(tmp_path / "x.tflite"), "--json"])
    assert failed.exit_code == 1
    assert failed.stdout == ""
    assert failed.stderr.count("\n") == 1
    assert CliRunner().invoke(main, ["inspect", str(tmp_path / "none.tflite")]).exit_code == 2
    assert CliRunner().invoke(main, ["convert", str(converted / "checkpoint")]).exit_code == 2
    for command in ("convert", "inspect", "evaluate", "train"):
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0
