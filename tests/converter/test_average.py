"""The mean of checkpoints' weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from converter import trained
from converter.checkpoint import read
from converter.checkpoint.average import average
from converter.cli import main
from converter.errors import CalibrationError, CheckpointError
from converter.plan import Plan
from converter.quantisation import Range
from tests.converter.random_checkpoint import make


@pytest.fixture
def seeds(tmp_path: Path) -> list[Path]:
    """Three checkpoints of one kind."""
    folders = [tmp_path / f"seed{seed}" for seed in range(3)]
    for seed, folder in enumerate(folders):
        make(folder, "SqueezeBertForTokenClassification", seed)
        config = json.loads((folder / "config.json").read_text())
        config["classification_threshold"] = 0.4 + seed / 10
        config["training"] = {"task": "tag", "validation": {"dev": {"f1": 0.5 + seed / 10}}}
        (folder / "config.json").write_text(json.dumps(config))
    return folders


def test_weights_are_the_mean(seeds: list[Path], tmp_path: Path) -> None:
    """Each weight is the mean of the three; the folder is read like any other and says what it was made of."""
    arguments = ["average", *map(str, seeds), "-o", str(tmp_path / "mean")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    mean, *given = (load_file(folder / "model.safetensors") for folder in (tmp_path / "mean", *seeds))
    assert mean.keys() == given[0].keys()
    for name, values in mean.items():
        np.testing.assert_allclose(values, sum(each[name] for each in given) / 3, rtol=1e-6, atol=1e-7)
    network = read(tmp_path / "mean")
    assert network.details["training"] == {"task": "tag", "averaged": ["seed0", "seed1", "seed2"]}
    assert network.tokenizer == read(seeds[0]).tokenizer


def test_ranges_of_training_in_integers_go_along(seeds: list[Path], tmp_path: Path) -> None:
    """The mean is converted with the ranges that the first one was trained in; another order leaves them behind."""
    ranges = {"layer.0.attention.value": Range(-1, 1)}
    (seeds[0] / trained.FILE).write_text("{}")
    with pytest.raises(CalibrationError, match="damaged"):
        average(seeds, tmp_path / "mean")
    digest = hashlib.sha256((seeds[0] / "model.safetensors").read_bytes()).hexdigest()
    content = {"weights_sha256": digest, "plan": Plan().to_json(), "ranges": {"layer.0.attention.value": [-1, 1]}}
    (seeds[0] / trained.FILE).write_text(json.dumps(content))
    average(seeds, tmp_path / "mean")
    found = trained.read(tmp_path / "mean")
    assert found is not None
    assert found.ranges == ranges
    average(seeds[::-1], tmp_path / "mean")
    assert trained.read(tmp_path / "mean") is None


def test_others_are_refused(seeds: list[Path], tmp_path: Path) -> None:
    """One alone, another size, other labels, another vocabulary: refused by name, and nothing is written."""
    with pytest.raises(CheckpointError, match="two checkpoints"):
        average(seeds[:1], tmp_path / "mean")
    with pytest.raises(CheckpointError, match="another folder"):
        average(seeds, seeds[0])
    larger = tmp_path / "larger"
    make(larger, "SqueezeBertForTokenClassification", intermediate_size=96)
    with pytest.raises(CheckpointError, match="intermediate_size differ"):
        average([seeds[0], larger], tmp_path / "mean")
    labels = tmp_path / "labels"
    make(labels, "SqueezeBertForTokenClassification", id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1})
    with pytest.raises(CheckpointError, match="id2label"):
        average([seeds[0], labels], tmp_path / "mean")
    words = tmp_path / "words"
    shutil.copytree(seeds[1], words)
    (words / "vocab.txt").write_text((words / "vocab.txt").read_text().replace("light", "lamp"))
    with pytest.raises(CheckpointError, match=r"vocab\.txt differs"):
        average([seeds[0], words], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
