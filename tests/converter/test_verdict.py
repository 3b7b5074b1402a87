"""What a conversion says of its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import converter
from converter import conversion, verdict
from converter.cli import main
from converter.errors import ConverterError
from tests.converter.random_checkpoint import make


def accuracy(**score: Any) -> dict[str, Any]:
    return {"texts": 32, "heads": {"intent": {"cosine_worst": 0.9, **score}}}


@pytest.mark.parametrize(
    ("score", "word"),
    [
        ({"cosine_mean": 0.999}, "as good as float32"),
        ({"cosine_mean": 0.999, "agreement": 1.0}, "as good as float32"),
        ({"cosine_mean": 0.999, "agreement": 0.97}, "good"),
        ({"cosine_mean": 0.985}, "good"),
        ({"cosine_mean": 0.97}, "not close to float32"),
        ({"cosine_mean": 0.999, "agreement": 0.9}, "not close to float32"),
    ],
)
def test_words(score: dict[str, float], word: str) -> None:
    """Each head gets one word for it, with the figures behind it."""
    (line,) = verdict.describe(accuracy(**score))
    assert line.startswith(f"intent: {word} (cosine")
    assert "32 texts" in line
    assert bool(verdict.warnings(accuracy(**score), "best")) == word.startswith("not")


def test_warning_says_what_to_do() -> None:
    """A weak head is named with remedies, the other effort among them only where it was not taken."""
    weak = accuracy(cosine_mean=0.9)
    (fast,), (best,) = verdict.warnings(weak, "fast"), verdict.warnings(weak, "best")
    assert "intent" in fast
    assert "--effort best" in fast
    assert "--effort best" not in best
    assert "--calibration" in best


def test_unmeasured_is_said() -> None:
    """Without held-out text the user is told that nothing was measured."""
    assert verdict.warnings({}, "best") == [verdict.NOT_MEASURED]
    assert verdict.describe({}) == []


def test_weak_conversion_warns_and_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result below the threshold is written all the same, exit status 0, with a warning on standard error."""
    make(tmp_path / "checkpoint", "SqueezeBertModel")
    monkeypatch.setattr(verdict, "LEAST_COSINE", 1.1)
    arguments = ["convert", str(tmp_path / "checkpoint"), "-o", str(tmp_path / "m.tflite"), "--effort", "fast"]
    shown = CliRunner().invoke(main, arguments)
    assert shown.exit_code == 0
    assert "not close to float32" in shown.stdout
    assert shown.stderr.startswith("warning: embedding lost accuracy")
    assert (tmp_path / "m.tflite").exists()


def test_effort_is_recorded(tmp_path: Path) -> None:
    """Report and manifest say with which effort a file was made, and what was measured; an unknown one is refused."""
    make(tmp_path / "checkpoint", "SqueezeBertModel")
    for effort in ("fast", "best"):
        report = converter.convert(tmp_path / "checkpoint", tmp_path / "m.tflite", effort=effort)
        assert report.effort == effort
        assert report.inspection.quantisation["effort"] == effort
        assert report.inspection.accuracy == report.accuracy
        assert report.to_json()["warnings"] == report.warnings
    with pytest.raises(ConverterError, match="fast, best"):
        converter.convert(tmp_path / "checkpoint", tmp_path / "m.tflite", effort="most")  # type: ignore[arg-type]
    assert conversion.TRAINED == "trained"
