"""Streams that a model reads: a result for each window, and one for the whole text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import InputError, Model, NoSuchHead, TooLong, load
from edge_runtime.streaming.reader import Reader
from edge_runtime.tasks.results import WindowResult
from edge_runtime.windows import OVERLAP
from tests.edge_runtime.test_windows import words
from tests.edge_runtime.tiny_checkpoint import MAX_LENGTH

TEXT = "turn off the lights in paris, berlin and o'clock. 中国 é play in the kitchen!"
QUESTION = "paris in berlin"
TASKS: dict[str, tuple[str, Callable[[Model, str], Any]]] = {
    "classify": ("classification", lambda model, text: model.classify(text)),
    "understand": ("assistant", lambda model, text: model.understand(text)),
    "tag": ("tags", lambda model, text: model.tag(text)),
    "answer": ("answer", lambda model, text: model.answer(QUESTION, text)),
    "embed": ("embedding", lambda model, text: model.embed(text)),
}
MERGED_BY_MEAN = ("classify", "embed")


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(task: str, models: Mapping[str, Path]) -> Model:
    return load(models[TASKS[task][0]], overflow="window")


def open_reader(task: str, model: Model, **arguments: Any) -> Reader:
    return model.read_stream(task, question=QUESTION if task == "answer" else None, **arguments)


def read(reader: Reader, text: str, model: Model | None = None) -> list[WindowResult]:
    """Feed a text in blocks of 7 bytes and run every window."""
    data = text.encode()
    found = [
        reader.run(window, model) for start in range(0, len(data), 7) for window in reader.feed(data[start : start + 7])
    ]
    return found + [reader.run(window, model) for window in reader.close()]


def plain(result: Any) -> Any:
    return result.tolist() if isinstance(result, np.ndarray) else result


def room(task: str) -> int:
    """Tokens of text in the longest window."""
    return MAX_LENGTH - (3 + 3 if task == "answer" else 2)


def test_one_window_is_the_whole_text(task: str, model: Model) -> None:
    """Of a text that fits into one window, the window's result and the merged one are what the whole text gives."""
    reader = open_reader(task, model)
    found = read(reader, TEXT)
    assert [(window.index, window.start, window.end) for window in found] == [(0, 0, len(TEXT))]
    expected = plain(TASKS[task][1](model, TEXT))
    assert plain(found[0].result) == expected
    assert plain(reader.result()) == expected
    assert plain(reader.result()) == expected
    assert not reader.truncated


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_windows_that_coincide(task: str, model: Model, steps: int) -> None:
    """Where a stream's windows are those of the overflow policy, so is the merged result."""
    overlap = room(task) // OVERLAP
    text = words(room(task) + steps * (room(task) - overlap))
    reader = open_reader(task, model, window=MAX_LENGTH, overlap=overlap)
    assert len(read(reader, text)) == 1 + steps
    merged, expected = reader.result(), TASKS[task][1](model, text)
    if task == "embed":
        assert np.allclose(merged, expected, atol=1e-6)
    elif task == "classify":
        assert [(one.label, pytest.approx(one.score)) for one in merged] == [(one.label, one.score) for one in expected]
    else:
        assert merged == expected


def test_offsets_count_in_the_whole_stream(task: str, model: Model) -> None:
    """Windows and what was found in them have their places in the stream."""
    text = f"{words(60)} paris, {words(70)}"
    for window in read(open_reader(task, model, window=20), text):
        assert 0 <= window.start < window.end <= len(text)
        found = window.result
        places = (
            found if task == "tag" else found.slots if task == "understand" else [found] if task == "answer" else []
        )
        assert all(text[place.start : place.end] == place.text for place in places)
        assert all(window.start <= place.start < place.end <= window.end for place in places)


def test_defaults(task: str, model: Model) -> None:
    """A window is as long as the model takes; a quarter overlaps where places matter, nothing where they do not."""
    reader = open_reader(task, model)
    assert reader.window == MAX_LENGTH
    assert reader.overlap == (0 if task in MERGED_BY_MEAN else room(task) // OVERLAP)


def test_another_model_object(task: str, model: Model, models: Mapping[str, Path]) -> None:
    """Windows may be run on another object of the same model file, and on no other model."""
    text = words(100)
    with load(models[TASKS[task][0]]) as again, load(models["other"]) as other:
        mine, its = open_reader(task, model), open_reader(task, model)
        assert [plain(one.result) for one in read(mine, text)] == [plain(one.result) for one in read(its, text, again)]
        assert plain(mine.result()) == plain(its.result())
        with pytest.raises(InputError, match="another model"):
            read(open_reader(task, model), text, other)


def test_out_of_turn(task: str, model: Model) -> None:
    """Windows are run in order, and the result is there when the stream is closed and all have been run."""
    reader = open_reader(task, model, window=12, overlap=0)
    windows = reader.feed(words(30).encode())
    with pytest.raises(InputError, match="turn of window 0"):
        reader.run(windows[1])
    reader.run(windows[0])
    with pytest.raises(InputError, match="still open"):
        reader.result()
    windows += reader.close()
    with pytest.raises(InputError, match=f"1 of {len(windows)} windows"):
        reader.result()
    for window in windows[1:]:
        reader.run(window)
    assert reader.result() is not None
    with pytest.raises(InputError, match="turn of window"):
        reader.run(windows[0])


@pytest.mark.parametrize("text", ["", " \n\t", "\0\u200d"])
def test_empty_text(task: str, model: Model, text: str) -> None:
    """A text without tokens is an InputError, as for a whole text."""
    reader = open_reader(task, model)
    assert read(reader, text) == []
    with pytest.raises(InputError, match="the text is empty"):
        reader.result()


def test_pairs_are_classified(models: Mapping[str, Path]) -> None:
    """`classify` takes a first text, and gives what it gives for the pair."""
    with load(models["classification"]) as model:
        reader = model.read_stream("classify", question="turn off", top_k=1)
        read(reader, "the lights")
        assert reader.result() == model.classify("turn off", "the lights", top_k=1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"task": "fill"}, InputError, "classify, understand, tag, answer, embed, not 'fill'"),
        ({"task": "answer", "question": "who?"}, NoSuchHead, "answer"),
        ({"task": "embed"}, NoSuchHead, "embed"),
        ({"task": "tag", "question": "who?"}, InputError, "tag takes no question"),
        ({"task": "classify", "top_k": 0}, InputError, "top_k"),
        ({"task": "classify", "window": MAX_LENGTH + 1}, InputError, "window is"),
        ({"task": "classify", "window": 2}, InputError, "window must be"),
        ({"task": "classify", "overlap": MAX_LENGTH}, InputError, "overlap must be"),
        ({"task": "classify", "question": "turn off the " * 20}, TooLong, "leaves no room"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], message: str, assistant: Model) -> None:
    """What cannot be read is refused before the first byte."""
    with pytest.raises(error, match=message):
        assistant.read_stream(**arguments)


def test_answers_need_a_question(models: Mapping[str, Path]) -> None:
    """`answer` without a question is an InputError."""
    with load(models["answer"]) as model, pytest.raises(InputError, match="answer needs a question"):
        model.read_stream("answer")
