"""Checkpoints in eight bits a weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer

from converter import starters
from converter.checkpoint import read
from converter.checkpoint.compact import compact
from converter.checkpoint.weights import open_weights
from converter.cli import main
from converter.errors import CheckpointError
from tests.converter.random_checkpoint import make


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    make(folder, "SqueezeBertForSequenceClassification")
    return folder


def test_weights_are_within_half_a_step(checkpoint: Path, tmp_path: Path) -> None:
    """Every weight is read back within half a step of its row; vectors are as they were."""
    compact(checkpoint, tmp_path / "compact")
    before, after = open_weights(checkpoint), open_weights(tmp_path / "compact")
    for name in before:
        shape = before.shape(name)
        old, new = before.take(name, *shape), after.take(name, *shape)
        if len(shape) == 1:
            assert np.array_equal(old, new)
        else:
            step = np.abs(old).reshape(len(old), -1).max(axis=1) / 127
            assert (np.abs(old - new).reshape(len(old), -1) <= step[:, None] * 0.501).all()


def test_it_is_a_smaller_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    """The command's folder is read like any other, with its heads and tokenizer."""
    result = CliRunner().invoke(main, ["compact", str(checkpoint), "-o", str(tmp_path / "compact")])
    assert result.exit_code == 0, result.output
    old, new = read(checkpoint), read(tmp_path / "compact")
    assert [head.name for head in new.heads] == [head.name for head in old.heads]
    assert new.tokenizer == old.tokenizer
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (checkpoint, tmp_path / "compact")]
    # 24 weights a row, and a scale of four bytes: 28 / 96, and names that are as long as the rows
    assert sizes[1] < 0.6 * sizes[0]


def test_compacting_again_changes_nothing(checkpoint: Path, tmp_path: Path) -> None:
    """What is in eight bits already stays as it is."""
    compact(checkpoint, tmp_path / "one")
    compact(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "one" / "model.safetensors").read_bytes() == (
        tmp_path / "two" / "model.safetensors"
    ).read_bytes()


def test_eight_bits_without_scales_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    """Integers that nothing says the step of are no weights."""
    from safetensors.numpy import load_file, save_file

    compact(checkpoint, tmp_path / "compact")
    path = tmp_path / "compact" / "model.safetensors"
    save_file({name: tensor for name, tensor in load_file(path).items() if not name.endswith(".scale")}, path)
    with pytest.raises(CheckpointError, match="stored as I8"):
        read(tmp_path / "compact")


@pytest.mark.parametrize("name", starters.names())
def test_what_comes_along(name: str) -> None:
    """Checkpoints that come with the converter are read by name, say whose they are, and fit their tokenizers."""
    network = read(starters.find(name))
    assert network.licence is not None and "all-MiniLM-L6-v2" in network.licence
    assert len(network.encoder.word_embeddings) == Tokenizer.from_str(network.tokenizer).get_vocab_size()


def test_nothing_of_that_name_came_along() -> None:
    """A checkpoint that is nowhere is wrong usage, and the message names those that there are."""
    run = CliRunner().invoke(main, ["convert", "nowhere", "-o", "nowhere.tflite"])
    assert run.exit_code == 2
    assert "base, reader, tiny" in run.stderr


def test_a_folder_of_ones_own_comes_first(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint in a folder that is named as one that came along is what its user means; an empty folder is not."""
    monkeypatch.chdir(checkpoint.parent)
    checkpoint.rename("reader")
    Path("tiny").mkdir()
    assert starters.find("reader") == Path("reader")
    assert starters.find("tiny") == starters.FOLDER / "tiny"
