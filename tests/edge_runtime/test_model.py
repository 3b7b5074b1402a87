"""Loaded models, asked everything that their heads allow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import BackendError, EdgeError, InputError, Model, NoSuchHead, UnknownModel, load
from tests.backends import BEST, USABLE
from tests.edge_runtime.tiny_checkpoint import INTENTS, MAX_LENGTH, SLOTS

TEXT = "Turn off the kitchen lights in Paris, please."


def test_info(models: Mapping[str, Path], assistant: Model) -> None:
    """`info` says what the model is and how it was loaded, as attributes and as JSON."""
    info = assistant.info
    assert (info.name, info.task, info.tasks) == ("assistant", "understand", ("understand", "classify", "tag"))
    assert info.heads == {"intent": "classification", "slots": "tagging"}
    assert info.labels == {"intent": INTENTS, "slots": SLOTS}
    assert (info.max_length, info.backend, info.threads) == (MAX_LENGTH, BEST, 1)
    assert info.size == models["assistant"].stat().st_size
    assert len(info.digest) == 64
    assert json.loads(json.dumps(info.to_json()))["digest"] == info.digest
    with load(models["other"]) as other:
        assert other.info.digest != info.digest


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("classification", "classify"),
        ("tags", "tag"),
        ("answer", "answer"),
        ("fill", "fill"),
        ("choice", "choose"),
        ("embedding", "embed"),
    ],
)
def test_task_of_each_kind(models: Mapping[str, Path], name: str, task: str) -> None:
    """Each kind of head makes its own operation the model's task."""
    with load(models[name]) as model:
        assert (model.info.task, model.info.tasks) == (task, (task,))


def test_understand(assistant: Model) -> None:
    """An utterance gives an intent with its slots, or none without slots, and a probability."""
    for text in (TEXT, "hello", "play o in berlin", "the kitchen lights and paris", "42", "off off off"):
        found = assistant.understand(text)
        labels = assistant.classify(text, top_k=9)
        assert found.score == next(label.score for label in labels if label.label != "none")
        recognised = labels[0].score >= 0.2 and labels[0].label != "none"
        assert found.intent == (labels[0].label if recognised else None)
        assert list(found.slots) == (assistant.tag(text) if recognised else [])


def test_classify(models: Mapping[str, Path]) -> None:
    """Labels come likeliest first with probabilities; a pair gives another answer than its first text."""
    with load(models["classification"]) as model:
        labels = model.classify(TEXT, top_k=3)
        assert {label.label for label in labels} == {"negative", "neutral", "positive"}
        assert [label.score for label in labels] == sorted((label.score for label in labels), reverse=True)
        assert sum(label.score for label in labels) == pytest.approx(1.0)
        assert len(model.classify(TEXT, top_k=1)) == 1
        assert model.classify(TEXT, "hello") != labels


def test_tag(models: Mapping[str, Path]) -> None:
    """Entities lie in the text, in order, without overlapping."""
    with load(models["tags"]) as model:
        entities = model.tag(TEXT)
    assert entities
    assert all(TEXT[entity.start : entity.end] == entity.text for entity in entities)
    assert all(one.end <= other.start for one, other in pairwise(entities))
    assert {entity.type for entity in entities} <= {"room", "artist"}


def test_answer(models: Mapping[str, Path]) -> None:
    """The answer is a stretch of the context, in the context's own spelling."""
    context = "Play the light in PARIS and Berlin"
    with load(models["answer"]) as model:
        answer = model.answer("where", context)
    assert answer.text
    assert context[answer.start : answer.end] == answer.text
    assert 0 < answer.score <= 1


def test_embed(models: Mapping[str, Path]) -> None:
    """A vector has length 1 and float32 values, is the same each time and differs between texts."""
    with load(models["embedding"]) as model:
        vector = model.embed(TEXT)
        assert vector.dtype == np.float32
        assert float(np.linalg.norm(vector)) == pytest.approx(1.0)
        assert np.array_equal(vector, model.embed(TEXT))
        assert not np.array_equal(vector, model.embed("hello"))


def test_fill(models: Mapping[str, Path]) -> None:
    """Fillings come likeliest first, each with the whole text."""
    with load(models["fill"]) as model:
        fillings = model.fill("Turn [MASK] the lights", top_k=4)
        assert len(fillings) == 4
        assert all(one.score >= other.score for one, other in pairwise(fillings))
        for filling in fillings:
            assert filling.text.endswith(" the lights")
            assert filling.token.removeprefix("##") in filling.text


@pytest.mark.parametrize("text", ["turn the lights", "[MASK] and [MASK]"])
def test_fill_needs_one_mask(models: Mapping[str, Path], text: str) -> None:
    """No mask or two are an InputError that says so."""
    with load(models["fill"]) as model, pytest.raises(InputError, match=r"\[MASK\] once"):
        model.fill(text)


def test_mask_in_the_truncated_part(models: Mapping[str, Path]) -> None:
    """A mask that truncation drops is an error and no answer."""
    with load(models["fill"], overflow="truncate") as model, pytest.raises(InputError, match="dropped"):
        model.fill("turn " * MAX_LENGTH + "[MASK]")
    with load(models["fill"], overflow="window") as model:
        assert len(model.fill("turn " * MAX_LENGTH + "[MASK]")) == 5


def test_choose(models: Mapping[str, Path]) -> None:
    """One of the choices is chosen, and the probabilities of all sum to 1."""
    choices = ["the kitchen", "paris", "the lights"]
    with load(models["choice"]) as model:
        choice = model.choose("turn off", choices)
        assert choice.text == choices[choice.index]
        assert choice.score == max(choice.scores)
        assert sum(choice.scores) == pytest.approx(1.0)
        for wrong in (list[str](), "the kitchen"):
            with pytest.raises(InputError, match="list"):
                model.choose("turn off", wrong)


OPERATIONS: dict[str, Callable[[Model, Any], object]] = {
    "classify": lambda model, text: model.classify(text),
    "understand": lambda model, text: model.understand(text),
    "tag": lambda model, text: model.tag(text),
    "answer": lambda model, text: model.answer("where", text),
    "embed": lambda model, text: model.embed(text),
    "fill": lambda model, text: model.fill(text),
    "choose": lambda model, text: model.choose("where", [text]),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_missing_head(models: Mapping[str, Path], operation: str) -> None:
    """An operation whose head the model lacks raises an error that names the heads and operations it has."""
    for name, path in models.items():
        with load(path) as model:
            if operation not in model.info.tasks:
                with pytest.raises(NoSuchHead) as caught:
                    OPERATIONS[operation](model, TEXT)
                assert all(word in str(caught.value) for word in (*model.info.heads, *model.info.tasks)), name


@pytest.mark.parametrize("text", ["", "   \n", "\0", "\ud800", None, 7, b"text"])
def test_texts_that_say_nothing(models: Mapping[str, Path], text: Any) -> None:
    """An empty text, half of a surrogate pair or no string at all is an InputError for every operation."""
    for path in models.values():
        with load(path) as model:
            for operation in model.info.tasks:
                with pytest.raises(InputError):
                    OPERATIONS[operation](model, text)


@pytest.mark.parametrize("threads", [0, -1, 65, 1.0, True, "2"])
def test_wrong_threads(models: Mapping[str, Path], threads: Any) -> None:
    """A number of threads that makes no sense is an InputError."""
    with pytest.raises(InputError, match="threads"):
        load(models["tags"], threads=threads)


def test_unknown_model_names_the_bundled_ones() -> None:
    """A name that no model has is UnknownModel."""
    with pytest.raises(UnknownModel, match="bundled models"):
        load("no-such-model")


def test_every_error_is_an_edge_error() -> None:
    """Callers can catch everything at once."""
    import edge_runtime

    for name in edge_runtime.__all__:
        value = getattr(edge_runtime, name)
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, EdgeError)


def test_closed_model(models: Mapping[str, Path]) -> None:
    """A closed model refuses texts too, whether or not it has read one before."""
    unread, read = load(models["tags"]), load(models["tags"])
    read.tag(TEXT)
    for model in (unread, read):
        model.close()
        with pytest.raises(BackendError, match="closed"):
            model.tag(TEXT)


def test_many_loads_leave_nothing_open(models: Mapping[str, Path]) -> None:
    """Loading and closing, also in vain, keeps no file open."""
    open_files = Path("/proc/self/fd")
    load(models["tags"]).close()
    before = len(list(open_files.iterdir()))
    for _ in range(20):
        with load(models["tags"]) as model:
            model.tag(TEXT)
        with pytest.raises(InputError):
            load(models["tags"], backend="abacus")
    assert len(list(open_files.iterdir())) == before


def test_standard_error_stays_clean(models: Mapping[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    """The native libraries' chatter does not reach standard error while a model is loaded, used and closed."""
    for backend in USABLE:
        with load(models["tags"], backend=backend, cache=False) as model:
            model.tag(TEXT)
    assert capfd.readouterr() == ("", "")
