"""JSON lines: one object a line, with the names that tables' columns have; words with tags; questions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from converter.data_sets import columns
from converter.data_sets.bio import bio, is_tag
from converter.data_sets.examples import Example, Question, Spoken, Tagged, Task
from converter.data_sets.lines import read_lines
from converter.data_sets.squad import span
from converter.errors import TrainingError

Record = tuple[int, dict[str, Any]]
"""line number, object"""

WORDS, TAGS = ("words", "tokens"), ("tags", "ner_tags", "slots")


def read_json_lines(path: Path, task: Task) -> tuple[Example, ...]:
    """The objects of a file of JSON lines.

    Raises:
        TrainingError: a line is no JSON object, or lacks a field that the task needs.
    """
    return tuple(_example(record, task, _where(path, number)) for number, record in _records(path))


def guess_json_lines(path: Path) -> Task | None:
    """What the fields of the first line are for."""
    _, record = next(_records(path))
    meanings = columns.places(list(record))
    if _first(record, TAGS) is not None and _first(record, WORDS) is not None:
        return "understand" if "label" in meanings else "tag"
    if {"question", "context", "answers"} <= set(record):
        return "answer"
    if {"text", "pair", "score"} <= set(meanings):
        return "embed"
    return "classify" if {"text", "label"} <= set(meanings) else None


def _records(path: Path) -> Iterator[Record]:
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            try:
                record = json.loads(line)
            except ValueError as error:
                raise TrainingError(f"{path}: line {number} is not JSON: {error}") from error
            if not isinstance(record, dict):
                raise TrainingError(f'{path}: line {number} is not a JSON object such as {{"text": …, "label": …}}')
            yield number, record


def _example(record: dict[str, Any], task: Task, where: Callable[[], str]) -> Example:
    if task == "tag":
        return Tagged(*_tagged(record, where))
    if task == "answer":
        return _question(record, where)
    if task == "understand" and _first(record, TAGS) is not None:
        words, tags = _tagged(record, where)
        return Spoken(words, _text(record, "label", where), tags)
    if _first(record, WORDS) is not None and "text" not in record:
        record = {"text": " ".join(_strings(record, WORDS, where)), **record}
    meanings = {meaning: list(record)[place] for meaning, place in columns.places(list(record)).items()}
    row = {meaning: _string(record[name]) for meaning, name in meanings.items() if record[name] is not None}
    columns.check(row, task, where())
    return columns.example(task, row, where)


def _tagged(record: Mapping[str, Any], where: Callable[[], str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    words, tags = _strings(record, WORDS, where), _strings(record, TAGS, where)
    if len(words) != len(tags):
        raise TrainingError(f"{where()} has {len(words)} words and {len(tags)} tags")
    for word in words:
        if len(word.split()) != 1:
            raise TrainingError(f"{where()}: the word {word!r} is empty or holds white space")
    for tag in tags:
        if not is_tag(tag):
            raise TrainingError(f"{where()}: {tag!r} is not O, B-type or I-type")
    return tuple(words), bio(tags)


def _question(record: Mapping[str, Any], where: Callable[[], str]) -> Question:
    """As the Hugging Face hub has SQuAD (`answers: {text: […], answer_start: […]}`), or SQuAD's own list of objects."""
    context, given = _text(record, "context", where), record.get("answers")
    if isinstance(given, dict):
        texts, starts = given.get("text"), given.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise TrainingError(f"{where()}: answers must have as many entries of text as of answer_start")
        pairs = list(zip(texts, starts, strict=True))
    elif isinstance(given, list) and all(isinstance(answer, dict) for answer in given):
        pairs = [(answer.get("text"), answer.get("answer_start")) for answer in given]
    else:
        raise TrainingError(f"{where()} has no answers; give [] where the context does not say")
    question = _text(record, "question", where)
    return Question(
        str(record.get("id", "")), question, context, tuple(span(context, *pair, where()) for pair in pairs)
    )


def _first(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _strings(record: Mapping[str, Any], names: Sequence[str], where: Callable[[], str]) -> list[str]:
    value = _first(record, names)
    if not isinstance(value, list) or not value or not all(isinstance(entry, str) for entry in value):
        raise TrainingError(f"{where()}: {names[0]} must be a list of strings")
    return value


def _text(record: Mapping[str, Any], meaning: str, where: Callable[[], str]) -> str:
    value = _first(record, columns.NAMES.get(meaning, (meaning,)))
    if not isinstance(value, str) or not value.strip():
        raise TrainingError(f"{where()} has no {meaning}")
    return value.strip() if meaning == "label" else value


def _string(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _where(path: Path, number: int) -> Callable[[], str]:
    return lambda: f"{path}: line {number}"
