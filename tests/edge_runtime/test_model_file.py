"""Finding, mapping and verifying model files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_runtime import ModelError, UnknownModel, load
from edge_runtime.model_file import BUNDLED, bundled_names, find, open_model_file


def test_find_by_path(models: Mapping[str, Path]) -> None:
    """A path, as string or Path, finds its file."""
    assert find(models["tags"]) == models["tags"]
    assert find(str(models["tags"])) == models["tags"]


def test_find_by_name() -> None:
    """Each bundled model is found by its name."""
    for name in bundled_names():
        assert find(name) == BUNDLED / f"{name}.tflite"


@pytest.mark.parametrize("name", ["no-such-model", "no/such/file.tflite", "", ".", "a\0b"])
def test_unknown(name: str) -> None:
    """What is neither a bundled model nor a file is UnknownModel."""
    with pytest.raises(UnknownModel):
        find(name)


def test_good_file(models: Mapping[str, Path]) -> None:
    """An intact file gives its manifest, tokenizer and card, and a path that leads to the same file."""
    file = open_model_file(models["assistant"], None)
    content = models["assistant"].read_bytes()
    assert file.manifest.name == "assistant"
    assert hashlib.sha256(content[: file.flatbuffer_size]).hexdigest() == file.manifest.flatbuffer_sha256
    assert b'"model"' in file.tokenizer()
    assert file.card()
    assert Path(file.interpreter_path).samefile(models["assistant"])
    file.close()


def test_another_file_in_its_place(models: Mapping[str, Path], tmp_path: Path) -> None:
    """What was verified is what the interpreter gets, even if the path now leads elsewhere."""
    path = tmp_path / "model.tflite"
    path.write_bytes(models["tags"].read_bytes())
    file = open_model_file(path, None)
    path.write_bytes(b"")
    path.unlink()
    path.write_bytes(models["other"].read_bytes())
    assert not Path(file.interpreter_path).samefile(path)
    file.close()


@pytest.mark.parametrize("content", [b"", b"x", b"\0\0\0\0TFL3", b"PK\5\6" + bytes(18)])
def test_no_model(content: bytes, tmp_path: Path) -> None:
    """A file that is no model is a ModelError that names the file."""
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.tflite"):
        load(path)


def test_no_regular_file(tmp_path: Path) -> None:
    """A folder or a named pipe in a model's place is an error at once."""
    os.mkfifo(tmp_path / "pipe.tflite")
    with pytest.raises(ModelError, match="no regular file"):
        open_model_file(tmp_path / "pipe.tflite", None)
    with pytest.raises(UnknownModel):
        load(tmp_path)


def test_bare_flatbuffer(models: Mapping[str, Path], tmp_path: Path) -> None:
    """A .tflite without our archive says that edge-converter did not make it."""
    file = open_model_file(models["tags"], None)
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(models["tags"].read_bytes()[: file.flatbuffer_size])
    file.close()
    with pytest.raises(ModelError, match="edge-converter"):
        load(bare)


def test_archive_of_another_model(models: Mapping[str, Path], tmp_path: Path) -> None:
    """One model's network with another's archive is refused."""
    parts = {}
    for name in ("assistant", "other"):
        file = open_model_file(models[name], None)
        content = models[name].read_bytes()
        parts[name] = content[: file.flatbuffer_size], content[file.flatbuffer_size :]
        file.close()
    mixed = tmp_path / "mixed.tflite"
    mixed.write_bytes(parts["assistant"][0] + parts["other"][1])
    with pytest.raises(ModelError):
        load(mixed)
