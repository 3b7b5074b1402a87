"""Labelled data → what a model scores on it, asked through the methods that its users ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np

from converter import metrics
from converter.data_sets import Example, Labelled, Question, Similar, Spoken, Tagged, Task
from converter.data_sets.bio import OUTSIDE
from converter.errors import EvaluationError
from edge_runtime.errors import InputError
from edge_runtime.model import Model
from edge_runtime.tasks.results import Entity

REFUSED = ""
"""in the place of the label of a text that is not recognised; no label is empty"""
MOST_NAMES = 5
"""shown of labels that a model does not have"""

E = TypeVar("E")
T = TypeVar("T")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Scores:
    """Of one model on one task."""

    task: Task
    figures: dict[str, float]
    """by name, 1 is perfect; shares of refused texts are shares"""
    counts: dict[str, int]
    """what was scored"""
    notes: list[str] = field(default_factory=list)
    """why a figure may be lower than the model is good"""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def score(
    model: Model,
    task: Task,
    examples: Sequence[Example],
    out_of_scope: Sequence[str] = (),
    progress: Progress = lambda *_: None,
) -> Scores:
    """Ask a model about every example.

    Args:
        model: a loaded model, or a checkpoint (`reference.load`).
        task: what to ask.
        examples: of that task (`data_sets.read`).
        out_of_scope: texts that "understand" should refuse.
        progress: called with (examples done, examples).

    Raises:
        NoSuchHead: the model has no head for the task.
        TooLong: a text has more tokens than the model takes, and its overflow policy is "error".
        EvaluationError: there are no examples, or `out_of_scope` is given for another task.
    """
    if not examples:
        raise EvaluationError("there is no example to score")
    if out_of_scope and task != "understand":
        raise EvaluationError(f"out-of-scope texts are for understand, which refuses; {task} always answers")
    if task == "understand":
        return _understand(model, [e for e in examples if isinstance(e, Spoken)], out_of_scope, progress)
    if task == "classify":
        return _classify(model, [e for e in examples if isinstance(e, Labelled)], progress)
    if task == "tag":
        return _tag(model, [e for e in examples if isinstance(e, Tagged)], progress)
    if task == "answer":
        return _answer(model, [e for e in examples if isinstance(e, Question)], progress)
    return _embed(model, [e for e in examples if isinstance(e, Similar)], progress)


def word_tags(words: Sequence[str], entities: Iterable[Entity]) -> tuple[str, ...]:
    """BIO tags of words from entities of their text, which is the words with one space between each two.

    A word belongs to an entity that covers any of its characters, the first of several.
    """
    tags = [OUTSIDE] * len(words)
    spans = []
    start = 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + 1
    for entity in entities:
        position = "B"
        for place, (first, end) in enumerate(spans):
            if first < entity.end and entity.start < end and tags[place] == OUTSIDE:
                tags[place] = f"{position}-{entity.type}"
                position = "I"
    return tuple(tags)


def _understand(model: Model, examples: Sequence[Spoken], strange: Sequence[str], progress: Progress) -> Scores:
    texts = [*(example.text for example in examples), *strange]
    heard = [_asked(lambda text=text: model.understand(text)) for text in _watched(texts, progress)]  # type: ignore[misc]
    known, unknown = heard[: len(examples)], heard[len(examples) :]
    intents = [(h.intent if h else None) or REFUSED for h in known]
    labels = [example.label for example in examples]
    figures = {
        "intent_accuracy": metrics.accuracy(labels, intents),
        "intent_macro_f1": metrics.macro_f1(labels, intents),
    }
    counts = {"examples": len(examples)}
    tagged = [(e, h.slots if h else ()) for e, h in zip(examples, known, strict=True) if e.tags is not None]
    if tagged:
        expected = [example.tags or () for example, _ in tagged]
        figures["slot_f1"] = metrics.span_f1(expected, [word_tags(e.words, slots) for e, slots in tagged])
        counts["with_slots"] = len(tagged)
    figures["refused"] = intents.count(REFUSED) / len(intents)
    if strange:
        refused = sum(1 for h in unknown if h is None or h.intent is None)
        figures["out_of_scope_refused"] = refused / len(unknown)
        figures["out_of_scope_auroc"] = metrics.auroc(
            [h.score if h else 0.0 for h in known], [h.score if h else 0.0 for h in unknown]
        )
        counts["out_of_scope"] = len(strange)
    return Scores("understand", figures, counts, _strangers(model, "classification", labels))


def _classify(model: Model, examples: Sequence[Labelled], progress: Progress) -> Scores:
    found = []
    for example in _watched(examples, progress):
        ranked = _asked(lambda e=example: model.classify(e.text, e.pair, top_k=1))  # type: ignore[misc]
        found.append(ranked[0].label if ranked else REFUSED)
    labels = [example.label for example in examples]
    figures = {"accuracy": metrics.accuracy(labels, found), "macro_f1": metrics.macro_f1(labels, found)}
    return Scores("classify", figures, {"examples": len(examples)}, _strangers(model, "classification", labels))


def _tag(model: Model, examples: Sequence[Tagged], progress: Progress) -> Scores:
    found = [
        word_tags(example.words, _asked(lambda e=example: model.tag(e.text)) or ())  # type: ignore[misc]
        for example in _watched(examples, progress)
    ]
    kinds = [tag[2:] for example in examples for tag in example.tags if tag != OUTSIDE]
    figures = {"entity_f1": metrics.span_f1([example.tags for example in examples], found)}
    counts = {"examples": len(examples), "entities": sum(tag[0] == "B" for e in examples for tag in e.tags)}
    return Scores("tag", figures, counts, _strangers(model, "tagging", kinds))


def _answer(model: Model, examples: Sequence[Question], progress: Progress) -> Scores:
    found = []
    for example in _watched(examples, progress):
        answer = _asked(lambda e=example: model.answer(e.question, e.context))  # type: ignore[misc]
        found.append(answer.text if answer else "")
    result = metrics.answer_score([[answer.text for answer in e.answers] for e in examples], found)
    without = sum(not example.answers for example in examples)
    notes = [f"{without} questions have no answer in their context, and the model always gives one"] if without else []
    counts = {"examples": len(examples), "without_an_answer": without}
    return Scores("answer", {"exact_match": result.exact, "f1": result.f1}, counts, notes)


def _embed(model: Model, examples: Sequence[Similar], progress: Progress) -> Scores:
    # data sets of pairs have many a text twice
    vectors: dict[str, Any] = {}

    def vector(text: str) -> Any:
        if text not in vectors:
            vectors[text] = _asked(lambda: model.embed(text))
        return vectors[text]

    cosines = []
    for example in _watched(examples, progress):
        a, b = vector(example.text), vector(example.pair)
        cosines.append(0.0 if a is None or b is None else float(np.dot(a, b)))
    if len(examples) < 2:
        raise EvaluationError("a correlation needs two pairs of texts")
    result = metrics.correlation([example.score for example in examples], cosines)
    return Scores("embed", {"spearman": result.spearman, "pearson": result.pearson}, {"examples": len(examples)})


def _asked(ask: Callable[[], T]) -> T | None:
    """What the model says; None to a text in which it finds no token (control characters alone)."""
    try:
        return ask()
    except InputError as error:
        if type(error) is InputError:
            return None
        raise


def _watched(examples: Sequence[E], progress: Progress) -> Iterable[E]:
    for done, example in enumerate(examples):
        progress(done, len(examples))
        yield example
    progress(len(examples), len(examples))


def _strangers(model: Model, kind: str, names: Sequence[str]) -> list[str]:
    """A note where data has labels or types that the model does not: each of their examples counts as wrong."""
    head = next(name for name, of in model.info.heads.items() if of == kind)
    known = {_type(label) if kind == "tagging" else label for label in model.info.labels[head]}
    counts: Mapping[str, int] = {name: names.count(name) for name in sorted(set(names) - known)}
    if not counts:
        return []
    listed = ", ".join(list(counts)[:MOST_NAMES]) + (", …" if len(counts) > MOST_NAMES else "")
    return [
        f"the model knows no {listed}: {sum(counts.values())} of the data's count as wrong; --rename can join names"
    ]


def _type(label: str) -> str:
    return label[2:] if label[:2] in ("B-", "I-") else label
