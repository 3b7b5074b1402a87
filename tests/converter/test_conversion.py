"""Checkpoints become model files that hold integers only and answer nearly as float32 does."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import converter
import edge_runtime
from converter import calibration, checkpoint, conversion, encoder, model_file
from converter.errors import CalibrationError, CheckpointError, ConverterError, FormatError
from converter.execution import execute
from tests.converter.random_checkpoint import GROUPS, WORDS, make
from tests.integer_walk import walk

HEADS = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "tags",
    "ForQuestionAnswering": "answer",
    "ForMaskedLM": "fill",
    "ForMultipleChoice": "choice",
    "Model": "embedding",
}
LARGER: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 96, "initializer_range": 0.2}


def soften(folder: Path) -> None:
    """Scale random weights down to what trained networks have."""
    from safetensors.numpy import load_file, save_file

    path = folder / "model.safetensors"
    save_file({k: v * (0.2 if v.ndim > 1 else 0.1 if "bias" in k else 1.0) for k, v in load_file(path).items()}, path)


def texts(folder: Path) -> Path:
    """Calibration text of the few words that the tiny vocabulary has."""
    generator = np.random.default_rng(0)
    words = [w for w in WORDS if w[0] not in "[#"]
    lines = [" ".join(generator.choice(words, generator.integers(1, 18))) for _ in range(80)]
    (folder / "texts").write_text("\n".join(lines), encoding="utf-8")
    return folder / "texts"


@pytest.mark.parametrize("suffix", HEADS)
@pytest.mark.parametrize("family", ["SqueezeBert", "Bert"])
def test_every_head_converts(tmp_path: Path, family: str, suffix: str) -> None:
    """Each head becomes integers only, and its logits point where the float32 ones do."""
    squeeze = {"embedding_size": 48} if family == "SqueezeBert" else {}
    make(tmp_path / "checkpoint", f"{family}{suffix}", **LARGER, **squeeze)
    soften(tmp_path / "checkpoint")
    report = converter.convert(tmp_path / "checkpoint", tmp_path / "model.tflite", calibration=texts(tmp_path))
    head = HEADS[suffix]
    assert report.inspection.fully_integer
    assert walk((tmp_path / "model.tflite").read_bytes()).strangers == []
    assert list(report.inspection.heads) == [head]
    assert report.accuracy["heads"][head]["cosine_mean"] > 0.97
    network = checkpoint.read(tmp_path / "checkpoint")
    graph = encoder.build(network)
    with edge_runtime.load(tmp_path / "model.tflite") as model:
        for ids in ([2, 11, 3], [2, 5, 6, 7, 8, 3], [2, *[5, 11, 13] * 6, 3]):
            expected = execute(graph, calibration.inputs(network, ids))[head]
            got = np.asarray(model.run(ids)[head]).reshape(expected.shape)
            if expected.size > 2:
                cosine = np.sum(got * expected) / np.linalg.norm(got) / np.linalg.norm(expected)
                assert cosine > 0.97


def test_six_group_counts_convert(tmp_path: Path) -> None:
    """Layers may all be grouped differently."""
    make(tmp_path / "checkpoint", "SqueezeBertModel", **GROUPS)
    soften(tmp_path / "checkpoint")
    report = converter.convert(
        tmp_path / "checkpoint",
        tmp_path / "model.tflite",
        heads=["hidden", "embedding"],
        calibration=texts(tmp_path),
    )
    assert report.inspection.fully_integer
    assert list(report.inspection.heads) == ["hidden", "embedding"]
    assert report.accuracy["heads"]["hidden"]["cosine_mean"] > 0.97


@pytest.fixture(scope="module")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conversion") / "checkpoint"
    make(folder, "SqueezeBertForSequenceClassification", id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1})
    soften(folder)
    return folder


def test_equal_inputs_give_equal_files(checkpoint_folder: Path, tmp_path: Path) -> None:
    """Converting twice gives the same bytes."""
    for name in "ab":
        converter.convert(checkpoint_folder, tmp_path / f"{name}.tflite", name="same")
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()


def test_file_is_flatbuffer_and_archive(checkpoint_folder: Path, tmp_path: Path) -> None:
    """The archive holds manifest, tokenizer, card and plan, uncompressed; TFLite opens the file unchanged."""
    from ai_edge_litert.interpreter import Interpreter

    path = tmp_path / "mine.tflite"
    converter.convert(checkpoint_folder, path)
    with zipfile.ZipFile(path) as archive:
        infos = {i.filename: i for i in archive.infolist()}
        manifest = json.loads(archive.read("manifest.json"))
        card = archive.read("card.md").decode()
    assert set(infos) == {"manifest.json", "tokenizer.json", "card.md", "plan.json"}
    assert {i.compress_type for i in infos.values()} == {zipfile.ZIP_STORED}
    assert manifest["name"] == "mine"
    assert manifest["heads"]["classification"]["labels"] == ["no", "yes"]
    assert "`yes`" in card
    assert len(Interpreter(str(path)).get_input_details()) == 2
    flatbuffer, entries = model_file.read(path)
    assert len(flatbuffer) == manifest["flatbuffer"]["size"]
    assert set(entries) == set(infos)


def test_stages_are_reported(checkpoint_folder: Path, tmp_path: Path) -> None:
    """Progress names the stages in order and ends each with all steps done."""
    seen: dict[str, list[tuple[int, int]]] = {}
    converter.convert(
        checkpoint_folder,
        tmp_path / "m.tflite",
        progress=lambda stage, done, steps: seen.setdefault(stage, []).append((done, steps)),
    )
    assert list(seen) == ["checkpoint", "planning", "calibration", "rounding", "quantisation", "evaluation", "report"]
    assert all(steps[-1][0] == steps[-1][1] for steps in seen.values())


def test_little_calibration_text_holds_none_out(checkpoint_folder: Path, tmp_path: Path) -> None:
    """With a handful of texts all are calibrated on, and the report says nothing of accuracy."""
    (tmp_path / "texts").write_text("turn off the light\nturn the light off\n", encoding="utf-8")
    report = converter.convert(checkpoint_folder, tmp_path / "m.tflite", calibration=tmp_path / "texts")
    assert report.calibration_texts == 2
    assert report.accuracy == {}


def test_split_keeps_texts_apart() -> None:
    """No text that is measured with was calibrated on, also where lines repeat."""
    lines = [f"text {i % 40}" for i in range(400)]
    kept, held_out = conversion.split(lines)
    assert kept
    assert held_out
    assert not set(kept) & set(held_out)


def test_bad_input_is_named(checkpoint_folder: Path, tmp_path: Path) -> None:
    """A missing checkpoint, an unreadable calibration file and an unwritable output each give one clear error."""
    with pytest.raises(CheckpointError):
        converter.convert(tmp_path / "nowhere", tmp_path / "m.tflite")
    with pytest.raises(CalibrationError, match="absent"):
        converter.convert(checkpoint_folder, tmp_path / "m.tflite", calibration=tmp_path / "absent")
    with pytest.raises(FormatError, match=r"m\.tflite"):
        converter.convert(tmp_path / "no checkpoint either", tmp_path / "nowhere" / "m.tflite")
    assert issubclass(FormatError, ConverterError)
    assert list(tmp_path.iterdir()) == []


def test_name_comes_from_the_file(checkpoint_folder: Path, tmp_path: Path) -> None:
    """A file name that is no model's name is made one, so that the runtime takes the file; paths may be strings."""
    output = tmp_path / "my (new) model é.tflite"
    converter.convert(str(checkpoint_folder), str(output))
    with edge_runtime.load(output) as model:
        assert model.info.name == "my-new-model"
    assert converter.inspect(str(output)).name == "my-new-model"


@pytest.mark.parametrize("name", ["", "two words", "-x", "a" * 101, "é"])
def test_unusable_names_are_refused_at_once(tmp_path: Path, name: str) -> None:
    """A name that the runtime would refuse is an error before anything is read."""
    with pytest.raises(FormatError, match="name"):
        converter.convert(tmp_path / "nowhere", tmp_path / "m.tflite", name=name)


def test_failed_conversion_keeps_the_older_file(checkpoint_folder: Path, tmp_path: Path) -> None:
    """What stands at the output stays as it is until a whole new file takes its place."""
    (tmp_path / "m.tflite").write_bytes(b"older")
    (tmp_path / "texts").write_bytes(b"\xff")
    with pytest.raises(CalibrationError):
        converter.convert(checkpoint_folder, tmp_path / "m.tflite", calibration=tmp_path / "texts")
    assert (tmp_path / "m.tflite").read_bytes() == b"older"
