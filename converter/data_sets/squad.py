"""SQuAD's JSON, v1.1 and v2.0: articles of paragraphs of questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from converter.data_sets.examples import Question, Span
from converter.errors import TrainingError


def parse_squad(content: Any, path: Path) -> tuple[Question, ...]:
    """The questions of a file's JSON; those of v2.0 that the context does not answer have no answers.

    Raises:
        TrainingError: a field is missing, or an answer does not stand in its context.
    """
    questions = list(_questions(content, path))
    if not questions:
        raise TrainingError(f"{path} holds no questions")
    return tuple(questions)


def span(context: str, text: Any, start: Any, where: str) -> Span:
    """An answer where it stands: at `start`, or else at the occurrence nearest to it.

    Starts are off in data that was normalised or translated after it was labelled.

    Raises:
        TrainingError: the text is not in the context.
    """
    if not isinstance(text, str) or not text.strip():
        raise TrainingError(f"{where} has an answer without text")
    start = start if isinstance(start, int) and start >= 0 else 0
    if context.startswith(text, start):
        return Span(start, text)
    before, after = context.rfind(text, 0, start + len(text)), context.find(text, start)
    found = [place for place in (before, after) if place >= 0]
    if not found:
        raise TrainingError(f"{where}: the answer {text!r} does not stand in its context")
    return Span(min(found, key=lambda place: abs(place - start)), text)


def _questions(content: Any, path: Path) -> Iterator[Question]:
    for article in _list(content, "data", str(path)):
        for paragraph in _list(article, "paragraphs", f"{path}: an article"):
            context = _text(paragraph, "context", f"{path}: a paragraph")
            for question in _list(paragraph, "qas", f"{path}: the paragraph {context[:30]!r}"):
                identity = str(question.get("id", "")) if isinstance(question, dict) else ""
                where = f"{path}: question {identity or '(without an id)'}"
                asked = _text(question, "question", where)
                answers = _list(question, "answers", where)
                spans = [
                    span(context, answer.get("text"), answer.get("answer_start"), where)
                    for answer in answers
                    if isinstance(answer, dict)
                ]
                yield Question(identity, asked, context, tuple(spans))


def _list(holder: Any, name: str, where: str) -> Sequence[Any]:
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, list):
        raise TrainingError(f"{where} has no list {name!r}; is it SQuAD's JSON, v1.1 or v2.0?")
    return value


def _text(holder: Any, name: str, where: str) -> str:
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise TrainingError(f"{where} has no text {name!r}; is it SQuAD's JSON, v1.1 or v2.0?")
    return value
