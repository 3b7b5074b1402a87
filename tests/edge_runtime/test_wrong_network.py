"""Networks that are intact but are not what their manifest says."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import ModelError, load
from edge_runtime.model_file import open_model_file
from tests.backends import USABLE


def forged(path: Path, model: Path, change: Callable[[dict[str, Any]], object], network: bytes | None = None) -> Path:
    """A copy of a model with its manifest changed, all digests and checksums put right."""
    file = open_model_file(model, None)
    flatbuffer = network or model.read_bytes()[: file.flatbuffer_size]
    tokenizer = file.tokenizer()
    file.close()
    with zipfile.ZipFile(model) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    manifest["flatbuffer"] = {"size": len(flatbuffer), "sha256": hashlib.sha256(flatbuffer).hexdigest()}
    change(manifest)
    path.write_bytes(flatbuffer)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr("tokenizer.json", tokenizer)
    return path


def rename_head(manifest: dict[str, Any]) -> None:
    manifest["heads"]["mood"] = manifest["heads"].pop("classification")


def another_label(manifest: dict[str, Any]) -> None:
    head = manifest["heads"]["classification"]
    head["labels"].append("more")
    head["shape"][1] += 1


def nothing(manifest: dict[str, Any]) -> None:
    """Leave the manifest as it is."""


@pytest.mark.parametrize("backend", USABLE)
@pytest.mark.parametrize("change", [rename_head, another_label])
def test_heads_that_the_network_lacks(
    backend: str, change: Callable[[dict[str, Any]], object], models: Mapping[str, Path], tmp_path: Path
) -> None:
    """A manifest whose heads are not the network's outputs is a ModelError."""
    path = forged(tmp_path / "forged.tflite", models["classification"], change)
    with pytest.raises(ModelError, match="outputs"):
        load(path, backend=backend)


def test_honest_copy(models: Mapping[str, Path], tmp_path: Path) -> None:
    """The same without a change loads: the forgery itself is sound."""
    with load(forged(tmp_path / "copy.tflite", models["classification"], nothing)) as model:
        assert model.info.task == "classify"


def test_other_tokenizer(models: Mapping[str, Path], tmp_path: Path) -> None:
    """A tokenizer that is not the manifest's is a ModelError."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["tokenizer_sha256"] = "0" * 64

    with pytest.raises(ModelError, match="tokenizer"):
        load(forged(tmp_path / "forged.tflite", models["classification"], change))
