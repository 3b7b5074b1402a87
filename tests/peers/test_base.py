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


def test_computes_the_same(base: Path) -> None:
    """At 16 and 128 tokens the integer model gives the sentence vector that ONNX Runtime gives in float32."""
    from tests.peers.speed import compare  # needs the extra `bench`, which a plain `pytest` does without

    assert min(row.cosine for row in compare(base, base / "model.tflite", rounds=1)) > CLOSE
