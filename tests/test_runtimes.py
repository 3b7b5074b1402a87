"""Every way of running the bundled model gives its test sentences the same labels, and the right ones."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import edge_runtime
from tests.answers import KERNELS_DIFFER, answers, differences, sentences

REPOSITORY = Path(__file__).resolve().parents[1]
LEAST_RIGHT = 0.9
"""share of the test sentences"""


@cache
def litert() -> dict[str, Any]:
    return answers()


def test_right_intents() -> None:
    """The bundled model recognises what is asked of it, and that some sentences ask nothing."""
    given = {text: answer["intent"] for text, answer in litert()["answers"].items()}
    wrong = {text: given[text] for text, right in sentences().items() if given[text] not in (right or [None])}
    assert len(wrong) <= (1 - LEAST_RIGHT) * len(given), wrong


@pytest.mark.parametrize("how", [{"cache": False}, {"backend": "litert"}])
def test_weight_cache_changes_nothing(how: dict[str, Any]) -> None:
    """With the weight cache, without it and on the classic interpreter, LiteRT gives the same bytes.

    XNNPACK's cache knows packed weights by their buffers alone; operators that shared one got wrong answers.
    """
    cached, other = (edge_runtime.load("assistant", **options) for options in ({}, how))
    assert cached.info.weight_cache is not None
    assert other.info.weight_cache is None
    for text in sentences():
        encoding = cached.encode(text)
        one, two = (model.run(encoding.ids, encoding.types) for model in (cached, other))
        assert {head: logits.tobytes() for head, logits in one.items()} == {
            head: logits.tobytes() for head, logits in two.items()
        }


@pytest.mark.tflite
def test_tflite_runtime_agrees(tflite_python: Path) -> None:
    """tflite-runtime gives every test sentence the intent and the slots that LiteRT gives it, where there is no tie."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    other = json.loads(subprocess.check_output([tflite_python, "-m", "tests.answers"], env=environment))
    assert (litert()["backend"], other["backend"]) == ("litert-compiled", "tflite-runtime")
    assert differences(litert(), other, KERNELS_DIFFER) == {}


def test_no_slots_without_an_intent() -> None:
    """A text that is not recognised has no slots; what entities it holds is for `tag` to say."""
    given = litert()["answers"].values()
    assert any(answer["intent"] is None for answer in given)
    assert sum(bool(answer["slots"]) for answer in given) > len(given) / 2
    assert all(answer["slots"] == [] for answer in given if answer["intent"] is None)
