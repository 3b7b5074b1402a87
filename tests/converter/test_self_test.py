"""Versions and questions that model files bring along for boards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import edge_runtime
from converter import model_file, self_test
from converter.cli import main
from converter.errors import FormatError
from edge_runtime.model_file import BUNDLED
from edge_runtime.self_test import TOLERANCE
from firmware_hooks.slots.description import describe
from firmware_hooks.slots.self_test import examine
from tests.edge_runtime import tiny_checkpoint
from tests.edge_runtime.tiny_models import SENTENCES, convert_one


def asked(file: Path, questions: str, *options: str) -> Result:
    """The command on a copy of a model, with these lines for questions."""
    (file.parent / "questions").write_text(questions, encoding="utf-8")
    return CliRunner().invoke(main, ["self-test", str(file), str(file.parent / "questions"), *options])


def manifest(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(model_file.read(file)[1]["manifest.json"])
    return found


@pytest.mark.parametrize("kind", tiny_checkpoint.CONFIGS)
def test_what_a_model_answers_is_written_down(kind: str, tmp_path: Path) -> None:
    """Questions get the model's own answers; a board finds them right, and its flatbuffer is what it was."""
    file = convert_one(tmp_path, kind)
    before, _ = model_file.read(file)
    result = asked(file, "turn on the light\n\n" + json.dumps({"text": SENTENCES[2], "pair": SENTENCES[1]}) + "\n")
    assert result.exit_code == 0, result.output
    assert model_file.read(file)[0] == before
    questions = manifest(file)["self_test"]
    assert [question["text"] for question in questions] == ["turn on the light", SENTENCES[2]]
    assert examine(file) is None


def test_answers_that_changed_are_found(tmp_path: Path) -> None:
    """What one network answered is not what another does, nor are scores beyond the tolerance."""
    file = convert_one(tmp_path, "classification")
    assert asked(file, "turn on the light").exit_code == 0
    flatbuffer, entries = model_file.read(file)
    told = json.loads(entries["manifest.json"])
    told["self_test"][0]["expect"][0]["score"] += 2 * TOLERANCE
    file.write_bytes(model_file.assemble(flatbuffer, {**entries, "manifest.json": json.dumps(told)}))
    reason = examine(file)
    assert reason is not None
    assert reason.startswith("asked 'turn on the light' it says")


def test_what_is_expected_must_be_so(tmp_path: Path) -> None:
    """An answer that the maker names is held against the model, which stays as it was where it differs."""
    file = tmp_path / "model.tflite"
    file.write_bytes((BUNDLED / "assistant.tflite").read_bytes())
    right = json.dumps({"text": "turn off the kitchen lights", "expect": {"intent": "iot_hue_lightoff"}})
    assert asked(file, right, "--version", "7").exit_code == 0
    assert manifest(file)["self_test"] == [json.loads(right)]
    assert describe(file, None).version == 7
    before = file.read_bytes()
    result = asked(file, right.replace("lightoff", "lighton"), "--version", "8")
    assert result.exit_code == 1
    assert "it says" in result.stderr
    assert "iot_hue_lighton" in result.stderr
    assert file.read_bytes() == before
    # the version alone
    self_test.add(file, [], 9)
    assert manifest(file)["version"] == 9
    assert manifest(file)["self_test"] == [json.loads(right)]
    assert edge_runtime.load(file).understand("turn off the kitchen lights").intent == "iot_hue_lightoff"


def test_convert_writes_them(tmp_path: Path) -> None:
    """`convert --version --self-test` makes a file that can be signed as it is; wrong questions cost no conversion."""
    tiny_checkpoint.write(tmp_path / "checkpoint", "classification", 0)
    (tmp_path / "questions").write_text("turn on the light\n", encoding="utf-8")
    output = tmp_path / "m.tflite"
    command = ["convert", str(tmp_path / "checkpoint"), "-o", str(output), "--effort", "fast"]
    command += ["--version", "3", "--self-test", str(tmp_path / "questions")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert describe(output, None).version == 3
    assert examine(output) is None
    output.unlink()
    (tmp_path / "questions").write_text("{\n", encoding="utf-8")
    assert CliRunner().invoke(main, command).exit_code == 1
    assert not output.exists()


@pytest.mark.parametrize(
    ("questions", "reason"),
    [
        ("", "1 to 64"),
        ("x\n" * 65, "65 questions"),
        ('x\n{"text": 5}', "question 2"),
        ('{"text": "x", "op": "sing"}', "no operation"),
        ("x\n{x", "line 2 is no JSON"),
        ("[" * 10 + "\n{" + '"a":[' * 100_000, "line 2 is no JSON"),
    ],
)
def test_what_is_no_question(questions: str, reason: str, tmp_path: Path) -> None:
    """Files that hold none, or too many, are refused with the line."""
    (tmp_path / "questions").write_text(questions, encoding="utf-8")
    with pytest.raises(FormatError, match=reason):
        self_test.read(tmp_path / "questions")


def test_other_files(tmp_path: Path) -> None:
    """A plain TFLite file has no manifest to write in, and what is no text is no file of questions."""
    flatbuffer, _ = model_file.read(convert_one(tmp_path, "classification"))
    (tmp_path / "plain.tflite").write_bytes(flatbuffer)
    with pytest.raises(FormatError, match="no manifest"):
        self_test.add(tmp_path / "plain.tflite", [{"text": "x"}])
    (tmp_path / "questions").write_bytes(b"\xff")
    with pytest.raises(FormatError, match="cannot be read"):
        self_test.read(tmp_path / "questions")
