"""Learning from a checkpoint that was fine-tuned for the same task."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.checkpoint.configuration import read_configuration
from converter.data_sets import DataSet, read
from converter.errors import TrainingError
from converter.sizes import Size
from converter.train import teacher as teaching
from converter.train.options import Options
from converter.train.prediction import predict
from converter.train.schedule import Schedule
from converter.train.session import train
from converter.train.start import load
from converter.train.tasks import TASKS
from converter.train.teacher import Teacher
from converter.train.tokenisation import Tokenisation
from converter.trimming import trim
from edge_runtime.tokenizer import Tokenizer
from tests.converter import small_data

DATA: dict[str, Callable[[Path], Path]] = {
    "understand": small_data.understand,
    "classify": small_data.classify,
    "tag": small_data.tag,
    "answer": small_data.answer,
    "embed": small_data.embed,
}
LONGEST = 24


def options(tmp_path: Path, task: str, **change: Any) -> Options:
    folder = tmp_path / f"{task} data"
    folder.mkdir()
    made = Options(
        data=[DATA[task](folder)],
        task=task,  # type: ignore[arg-type]
        output=tmp_path / "teacher",
        vocabulary=small_data.vocabulary(tmp_path),
        size=Size(hidden=16, layers=1, heads=2, intermediate=32, groups=2, positions=LONGEST),
        schedule=Schedule(epochs=1, batch=16, rate=1e-2, dropout=0.0),
        validation_share=0.3,
    )
    return replace(made, **change)


def spelt(folder: Path) -> Tokenisation:
    """The tokenizer of a checkpoint, all words but "in", "the" and "is" cut into letters: as a trimmed one would."""
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    letters = [form for letter in "abcdefghijklmnopqrstuvwxyz" for form in (letter, f"##{letter}")]
    content["model"]["vocab"] = {**vocabulary, **{form: len(vocabulary) + i for i, form in enumerate(letters)}}
    kept = {vocabulary[word]: 1 for word in ("in", "the", "is")}
    counts = {**kept, **{len(vocabulary) + i: 1 for i in range(len(letters))}}
    text, _ = trim(json.dumps(content), counts, 5 + 3 + 3 + len(letters))
    return Tokenisation(Tokenizer(text.encode()), 4 * LONGEST)


def taught(folder: Path, task: Any, data: DataSet[Any], cache: Path) -> tuple[Any, list[dict[str, Any]]]:
    """A student's features with a tokenizer of its own, and what the teacher in `folder` says of them."""
    teacher = Teacher(folder, task, bfloat16=False)
    features = task.features(spelt(folder), data.examples)
    return features, teacher.teach(task, data.examples, features, cache)


@pytest.mark.parametrize("task", list(DATA))
def test_student(tmp_path: Path, task: str) -> None:
    """A student of another width and another vocabulary learns from a teacher, whatever the task."""
    teacher = options(tmp_path, task)
    asked: list[int] = []
    train(teacher)
    train(
        replace(
            teacher,
            output=tmp_path / "student",
            teacher=teacher.output,
            size=Size(hidden=8, layers=1, heads=2, intermediate=16, groups=2, positions=LONGEST),
            vocabulary_size=len(small_data.WORDS) - 1,
        ),
        on_teaching=lambda done, _: asked.append(done),
    )
    assert asked
    assert read_configuration(tmp_path / "student").fields["training"]["teacher"] == "teacher"


def test_words(tmp_path: Path) -> None:
    """What a teacher says of a word stands at its first piece, however the student's tokenizer cuts it."""
    made = options(tmp_path, "tag")
    train(made)
    data = read(made.data[0], "tag")
    task = TASKS["tag"].of(read_configuration(made.output))
    features, said = taught(made.output, task, data, tmp_path / "cache")
    model, tokenisation = load(made.output, task)
    own = task.features(tokenisation, data.examples)
    for ours, theirs, each, output in zip(features, own, said, predict(model, own), strict=True):
        assert len(ours.texts[0]) > len(theirs.texts[0])
        assert each["tags"].places.tolist() == list(ours.places)
        assert np.allclose(each["tags"].logits, output["tags"][list(theirs.places)], atol=1e-2)


def test_answers(tmp_path: Path) -> None:
    """What a teacher says of where an answer starts and ends is matched by characters, and [CLS] with [CLS]."""
    made = options(tmp_path, "answer")
    train(made)
    data = read(made.data[0], "answer")
    task = TASKS["answer"].of(read_configuration(made.output))
    features, said = taught(made.output, task, data, tmp_path / "cache")
    model, tokenisation = load(made.output, task)
    own = task.features(tokenisation, data.examples)
    for ours, theirs, each, output in zip(features, own, said, predict(model, own), strict=True):
        for column, end in enumerate(("start", "end")):
            places, logits = each[end].places.tolist(), each[end].logits[:, 0]
            assert places[0] == 0
            for here, there in ((0, 0), (ours.target[column], theirs.target[column])):
                assert logits[places.index(here)] == pytest.approx(output["answer"][there, column], abs=1e-2)


def test_labels_by_name(tmp_path: Path) -> None:
    """A teacher's labels may be in another order, and more than the student's."""
    made = options(tmp_path, "classify")
    train(made)
    data = read(made.data[0], "classify")
    straight, turned = TASKS["classify"](["off", "on"]), TASKS["classify"](["on", "off"])  # type: ignore[call-arg]
    rows = [taught(made.output, task, data, tmp_path / "cache")[1] for task in (straight, turned)]
    for one, other in zip(*rows, strict=True):
        assert np.array_equal(one["classification"].logits, other["classification"].logits[:, ::-1])


def test_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a teacher said is kept: the same texts are not computed again."""
    made = options(tmp_path, "classify")
    train(made)
    data = read(made.data[0], "classify")
    task = TASKS["classify"].of(read_configuration(made.output))
    _, first = taught(made.output, task, data, tmp_path / "cache")
    monkeypatch.delattr(teaching, "predict")
    _, second = taught(made.output, task, data, tmp_path / "cache")
    assert all(
        np.array_equal(a["classification"].logits, b["classification"].logits)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("task", ["understand", "classify", "tag", "embed"])
def test_unlabelled(tmp_path: Path, task: str) -> None:
    """Texts without labels are trained on as well, with the teacher's word alone."""
    made = options(tmp_path, task)
    train(made)
    (tmp_path / "lines.txt").write_text("turn on the light in the hall\nthe hall is dark\n\nwhere is anna?\n")
    train(replace(made, output=tmp_path / "student", teacher=made.output, unlabelled=[tmp_path / "lines.txt"]))
    assert read_configuration(tmp_path / "student").fields["training"]["unlabelled"] == ["lines.txt"]


def test_the_teachers_word(tmp_path: Path) -> None:
    """With all the weight on it, a student says what its teacher says, not what the data say."""
    made = options(tmp_path, "understand", schedule=Schedule(epochs=24, patience=24, batch=8, rate=1e-2, dropout=0.0))
    train(made)
    data = made.data[0]
    swapped = tmp_path / "swapped"
    shutil.copytree(data, swapped)
    other = {"light_on": "light_off", "light_off": "light_on"}
    labels = (data / "label").read_text().split()
    (swapped / "label").write_text("".join(f"{other[label]}\n" for label in labels))
    schedule = replace(made.schedule, alpha=1.0, temperature=1.0)
    student = replace(made, output=tmp_path / "student", teacher=made.output, schedule=schedule)
    outcome = train(replace(student, data=[swapped], validation_data=[data], validation_share=0.0))
    assert outcome.scores["home/train"]["intent_accuracy"] > 0.9


def test_unusable_teacher(tmp_path: Path) -> None:
    """A teacher of another task, or one without a label that is to be learnt, is refused by name."""
    made = options(tmp_path, "classify")
    train(made)
    with pytest.raises(TrainingError, match=r"SqueezeBertForSequenceClassification; to teach tag"):
        train(options(tmp_path, "tag", output=tmp_path / "student", teacher=made.output))
    other = tmp_path / "other.tsv"
    other.write_text("the hall\ton\nthe attic\tup\nin the hall\ton\nin the attic\tup\n")
    with pytest.raises(TrainingError, match="classification lacks the label 'up'"):
        train(replace(made, data=[other], output=tmp_path / "student", teacher=made.output))


def test_unlabelled_questions(tmp_path: Path) -> None:
    """A line of text teaches nothing about answers."""
    made = options(tmp_path, "answer", teacher=tmp_path, unlabelled=[tmp_path / "lines.txt"])
    with pytest.raises(TrainingError, match="answer cannot be taught on texts alone"):
        train(made)
