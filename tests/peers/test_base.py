"""SqueezeBERT-base, converted: what the file holds, and that it computes what its peer computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from converter.cli import main as edge_converter
from tests.integer_walk import walk

pytestmark = pytest.mark.base

LARGEST = 56_000_000
"""bytes: 51 M weights of one byte, the tokenizer and a tenth"""
CLOSE = 0.99
"""cosine between integer and float32 vectors of random weights, which quantise easily"""


def test_holds_integers_only(base: Path) -> None:
    """Every tensor is int8 or int32 and no operator is custom, by an independent reading of the file."""
    found = walk((base / "model.tflite").read_bytes())
    assert found.strangers == []
    assert len(found.operators) > 100


def test_inspect_says_so(base: Path) -> None:
    """`edge-converter inspect --json` calls the file fully integer, in one JSON object and nothing else."""
    result = CliRunner().invoke(edge_converter, ["inspect", str(base / "model.tflite"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["fully_integer"] is True


def test_size(base: Path) -> None:
    """The file is about as large as its weights."""
    assert (base / "model.tflite").stat().st_size <= LARGEST


def test_computes_the_same(base: Path, tmp_path: Path) -> None:
    """At 16 and 128 tokens ours, in both ways to load it, and ONNX Runtime's float32 give PyTorch's sentence vector."""
    # they need the extra `bench`, which a plain `pytest` does without
    from tests.peers.suite import files, latency, roster

    peers = roster.select(["ours, LiteRT interpreter", "ONNX Runtime float32"])
    files.prepare(base, base / "model.tflite", tmp_path, {roster.SQUEEZEBERT})
    assert files.make(peers, tmp_path) == {}
    found = {row["peer"]: row["cosine"] for row in latency.same(peers, base / "model.tflite", tmp_path)}
    assert set(found) == {peer.name for peer in peers}
    assert min(found.values()) > CLOSE
