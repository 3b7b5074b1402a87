"""A model is tried in a process of its own before anything depends on it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter import model_file
from edge_runtime.model import load
from edge_runtime.self_test import agrees
from firmware_hooks.errors import Refused
from firmware_hooks.slots import self_test
from tests.firmware_hooks.slots.releases import Releases

TEXT = "turn off the kitchen lights"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False, allow_infinity=False),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=3),
    max_leaves=8,
)


def with_questions(model: Path, target: Path, questions: Any) -> Path:
    """A copy of a model with a self-test of its own in its manifest."""
    flatbuffer, entries = model_file.read(model)
    manifest = json.loads(entries["manifest.json"])
    manifest["self_test"] = questions
    target.write_bytes(model_file.assemble(flatbuffer, {**entries, "manifest.json": json.dumps(manifest)}))
    return target


def test_a_good_model_passes(releases: Releases, tmp_path: Path) -> None:
    """The process loads the model, asks it what its manifest brings, and the recorded answers are what it says."""
    answer = load(releases.models[1], cache=False).understand(TEXT)
    expected = {"intent": answer.intent, "score": answer.score, "slots": [slot.to_json() for slot in answer.slots]}
    questions = [{"text": TEXT, "expect": expected}, {"text": TEXT, "op": "classify", "expect": [{}]}]
    self_test.run(with_questions(releases.models[1], tmp_path / "m.tflite", questions))


@pytest.mark.parametrize(
    ("questions", "reason"),
    [
        ([{"text": TEXT, "expect": {"intent": "sing"}}], 'and not {"intent": "sing"}'),
        ([{"text": TEXT, "op": "answer", "pair": "x"}], "head"),
        ([{"text": TEXT, "op": "sing"}], "no operation"),
        ([], "1 to 64"),
        ([{"text": TEXT}, {"text": 1}], "question 2"),
        ([{"text": TEXT, "op": "classify", "pair": 5}], "pair"),
        ([{"text": TEXT, "op": "choose", "choices": "ab"}], "choices"),
    ],
)
def test_wrong_answers(releases: Releases, tmp_path: Path, questions: Any, reason: str) -> None:
    """A model that does not say what its manifest says it does is refused, and so are questions that are none."""
    found = self_test.examine(with_questions(releases.models[1], tmp_path / "m.tflite", questions))
    assert found is not None
    assert reason in found


def test_built_in_questions(releases: Releases) -> None:
    """A model without questions is asked the built-in ones."""
    assert self_test.questions(releases.models[1]) == self_test.BUILT_IN
    assert self_test.examine(releases.models[1]) is None


def test_limits(releases: Releases, tmp_path: Path) -> None:
    """A process that takes too long or dies of the network is ended, and the model refused."""
    with pytest.raises(Refused, match="did not end within"):
        self_test.run(releases.models[1], seconds=0.01)
    # the manifest holds the digest of a network that is none
    _, entries = model_file.read(releases.models[1])
    manifest = json.loads(entries["manifest.json"])
    rubbish = releases.models[1].read_bytes()[:8] + bytes(5000)
    manifest["flatbuffer"] = {"size": len(rubbish), "sha256": hashlib.sha256(rubbish).hexdigest()}
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(model_file.assemble(rubbish, {**entries, "manifest.json": json.dumps(manifest)}))
    with pytest.raises(Refused, match="self-test failed"):
        self_test.run(bad)


def test_limit_on_memory(releases: Releases) -> None:
    """A process that takes too much memory fails, and the model is refused."""
    with pytest.raises(Refused, match="self-test failed"):
        self_test.run(releases.models[1], memory=1 << 20)


@given(JSON)
def test_an_answer_agrees_with_itself(value: Any) -> None:
    """What was recorded agrees with the same answer, and with one that says more."""
    assert agrees(value, value)
    assert agrees({"a": value}, {"a": value, "b": 1})
    assert agrees([value], [value, 1])
    assert not agrees({"a": value}, {})
    assert not agrees([value, value], [value])
