"""Position rows that no text reaches are left out of a model file, and nothing that it says changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import edge_runtime
from converter import model_file
from converter.cli import main
from converter.errors import FormatError
from converter.self_test import add
from converter.shortening import shorten
from edge_runtime.errors import InputError, TooLong
from edge_runtime.model_file import BUNDLED
from tests.converter.random_checkpoint import make

LIGHT = "turn off the lights"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network that reads pairs."""
    folder = tmp_path_factory.mktemp("whole")
    make(folder / "checkpoint", "SqueezeBertForSequenceClassification")
    path = folder / "whole.tflite"
    result = CliRunner().invoke(main, ["convert", str(folder / "checkpoint"), "-o", str(path), "--effort", "fast"])
    assert result.exit_code == 0, result.output
    return path


@pytest.mark.parametrize("single_texts", [False, True])
def test_results_stay_the_same_to_the_bit(whole: Path, tmp_path: Path, single_texts: bool) -> None:
    """A text that is not too long gives the same as before, a pair too where pairs are still read."""
    output = tmp_path / "short.tflite"
    done = shorten(whole, output, 12, single_texts)
    assert done.bytes == output.stat().st_size < done.bytes_before == whole.stat().st_size
    before, after = edge_runtime.load(whole), edge_runtime.load(output)
    encoding = before.encode(LIGHT) if single_texts else before.encode(LIGHT, "off")
    results = (model.run(encoding.ids, None if single_texts else encoding.types) for model in (before, after))
    for old, new in zip(*(result.values() for result in results), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_it_no_longer_takes_is_refused(whole: Path, tmp_path: Path) -> None:
    """A longer text is too long, and a second text has no place, rather than a row of another meaning."""
    shorten(whole, tmp_path / "short.tflite", 8, single_texts=True)
    model = edge_runtime.load(tmp_path / "short.tflite")
    with pytest.raises(TooLong):
        model.classify(LIGHT + LIGHT)
    with pytest.raises(InputError):
        model.run([2, 5, 6], [0, 1, 1])


def test_card_and_manifest_say_so(tmp_path: Path) -> None:
    """The bundled assistant with half its positions: fewer parameters, the rest of the card as it was."""
    result = CliRunner().invoke(
        main, ["shorten", str(BUNDLED / "assistant.tflite"), "-o", str(tmp_path / "a.tflite"), "--longest", "64"]
    )
    assert result.exit_code == 0, result.output
    old, new = (model_file.read(path)[1] for path in (BUNDLED / "assistant.tflite", tmp_path / "a.tflite"))
    before, after = (json.loads(entries[model_file.MANIFEST]) for entries in (old, new))
    gone = before["positions_per_type"] * before["token_types"] - 64 * after["token_types"]
    width = before["architecture"]["hidden_size"]
    assert after["max_length"] == after["positions_per_type"] == 64
    assert after["architecture"]["parameters"] == before["architecture"]["parameters"] - gone * width
    assert "at most 64 tokens" in new[model_file.CARD].split("## ")[0]
    assert new[model_file.CARD].partition("## ")[2] == old[model_file.CARD].partition("## ")[2]


def test_a_length_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """More positions than there are cannot be kept, and a file of other makers has none that are known."""
    with pytest.raises(FormatError, match="8 to 128 tokens"):
        shorten(BUNDLED / "assistant.tflite", tmp_path / "out.tflite", 129)
    content, _ = model_file.read(BUNDLED / "assistant.tflite")
    (tmp_path / "foreign.tflite").write_bytes(content)
    with pytest.raises(FormatError, match="not made by edge-converter"):
        shorten(tmp_path / "foreign.tflite", tmp_path / "out.tflite")
    assert not (tmp_path / "out.tflite").exists()


def test_questions_stay_behind(whole: Path, tmp_path: Path) -> None:
    """A file with a self-test loses it, and is told to be given it again."""
    asked = tmp_path / "asked.tflite"
    asked.write_bytes(whole.read_bytes())
    add(asked, [{"text": LIGHT}], version=3)
    assert len(json.loads(model_file.read(asked)[1]["manifest.json"])["self_test"]) == 1
    done = CliRunner().invoke(main, ["shorten", str(asked), "-o", str(asked), "--longest", "12"])
    assert done.exit_code == 0, done.output
    assert "edge-converter self-test" in done.output
    manifest = json.loads(model_file.read(asked)[1]["manifest.json"])
    assert "self_test" not in manifest
    assert manifest["version"] == 3
