"""The stretch of a context that answers a question: transformers' …ForQuestionAnswering.

A context that is too long is read in the windows in which the runtime reads it. In those that do not hold the answer
start and end point at [CLS] (Devlin et al., 2019, `run_squad.py`), so that no stretch of them scores high.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from converter.data_sets.examples import Question
from converter.errors import TrainingError
from converter.metrics import answer_score
from converter.train.features import Features, Outputs, Taught, starts
from converter.train.model import HeadShape
from converter.train.tasks.task import Answers, Scores, Task, divergence, half
from converter.train.tokenisation import tokens
from edge_runtime.tasks import answering

if TYPE_CHECKING:
    from torch import Tensor

    from converter.checkpoint.configuration import Configuration
    from converter.train.tokenisation import Tokenisation
    from edge_runtime.windows import Window

ENDS = ("start", "end")
"""the two columns of the head's logits"""
CLS = 0


@dataclass(frozen=True, kw_only=True)
class WindowFeatures(Features):
    """A question and a window of its context."""

    window: Window
    target: tuple[int, int]
    """tokens at which the answer starts and ends"""

    def characters(self) -> tuple[dict[int, int], dict[int, int]]:
        """Tokens of the context by the character at which they start, and by the one before which they end."""
        encoding = self.window.encoding
        places = [
            (place, offset)
            for place, (offset, text) in enumerate(zip(encoding.offsets, encoding.texts, strict=True))
            if text == 1 and offset is not None
        ]
        return {offset[0]: place for place, offset in reversed(places)}, {offset[1]: place for place, offset in places}


class Answer(Task[Question, WindowFeatures]):
    name = "answer"
    architecture = "ForQuestionAnswering"
    learns_unlabelled: ClassVar[bool] = False

    @classmethod
    def collect(cls, examples: Sequence[Question], out_of_scope: str | None) -> Self:
        if not any(each.answers for each in examples):
            raise TrainingError("none of the training questions has an answer")
        return cls()

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        return cls()

    def heads(self, hidden: int) -> tuple[HeadShape, ...]:
        del hidden
        return (HeadShape("answer", "qa_outputs", len(ENDS), "tokens", ENDS),)

    def fields(self) -> dict[str, Any]:
        return {}

    def features(self, tokenisation: Tokenisation, examples: Sequence[Question]) -> list[WindowFeatures]:
        return [
            WindowFeatures(
                texts=(tokens(window.encoding),), example=number, window=window, target=_target(each, window)
            )
            for number, each in enumerate(examples)
            for window in tokenisation.windows(each.question, each.context)
        ]

    def unlabelled(self, line: str) -> Question:
        raise TrainingError(f"a question needs its context; {line!r} alone teaches nothing")

    def texts(self, example: Question) -> tuple[str, ...]:
        return (example.question, example.context)

    def key(self, example: Question) -> str:
        return example.context

    def check(self, name: str, examples: Sequence[Question]) -> None:
        if not any(each.answers for each in examples):
            raise TrainingError(f"none of the questions of {name} that are validated on has an answer")

    def loss(self, outputs: Outputs, batch: Sequence[WindowFeatures], smoothing: float) -> Tensor:
        import torch
        from torch.nn import functional

        losses = []
        for start, each in zip(starts(batch), batch, strict=True):
            rows = outputs["answer"][start : start + each.tokens]
            losses.append(functional.cross_entropy(rows.T, torch.tensor(each.target)))
        return torch.stack(losses).mean()

    def distance(self, outputs: Outputs, batch: Sequence[WindowFeatures], temperature: float) -> Tensor:
        import torch

        logits = outputs["answer"]
        losses = [logits.sum() * 0]
        for start, each in zip(starts(batch), batch, strict=True):
            for column, end in enumerate(ENDS):
                said = each.taught.get(end)
                if said is None or said.places is None:
                    continue
                row = logits[[start + int(place) for place in said.places], column]
                teacher = torch.from_numpy(said.logits[:, 0].astype(np.float32))
                losses.append(divergence(row[None], teacher[None], temperature) / len(ENDS))
        return torch.stack(losses).sum() / len(batch)

    def scores(
        self, examples: Sequence[Question], features: Sequence[WindowFeatures], outputs: Sequence[Mapping[str, Any]]
    ) -> Scores:
        windows: defaultdict[int, list[tuple[Window, Any]]] = defaultdict(list)
        for each, output in zip(features, outputs, strict=True):
            windows[each.example].append((each.window, output["answer"]))
        expected, predicted = [], []
        for number, example in enumerate(examples):
            # The runtime always gives an answer: it is judged where there is one.
            if example.answers and number in windows:
                read, logits = zip(*windows[number], strict=True)
                expected.append([answer.text for answer in example.answers])
                predicted.append(answering.find(example.context, read, logits).text)
        score = answer_score(expected, predicted)
        return {"exact": score.exact, "f1": score.f1}

    def rank(self, scores: Mapping[str, float]) -> float:
        return scores["f1"]

    def asked(self, examples: Sequence[Question], features: Sequence[WindowFeatures]) -> list[Question]:
        """Just the window's part of the context: a teacher with other tokens would cut elsewhere."""
        asked = []
        for each in features:
            example = examples[each.example]
            begin, end = each.window.span
            asked.append(replace(example, context=example.context[begin:end], answers=()))
        return asked

    def taught(self, features: Sequence[WindowFeatures], answers: Answers) -> list[dict[str, Taught]]:
        theirs: defaultdict[int, list[tuple[WindowFeatures, Any]]] = defaultdict(list)
        for each, output in zip(answers.features, answers.outputs, strict=True):
            theirs[each.example].append((each, output["answer"]))
        return [_laid(ours, theirs[number]) for number, ours in enumerate(features)]


def _target(example: Question, window: Window) -> tuple[int, int]:
    """The tokens of the first answer, if the window holds all of it."""
    if not example.answers:
        return CLS, CLS
    answer = example.answers[0]
    begin, end = answer.start, answer.start + len(answer.text)
    encoding = window.encoding
    inside = [
        (place, offset)
        for place, (offset, text) in enumerate(zip(encoding.offsets, encoding.texts, strict=True))
        if text == 1 and offset is not None
    ]
    if not inside or inside[0][1][0] > begin or inside[-1][1][1] < end:
        return CLS, CLS
    within = [place for place, offset in inside if offset[1] > begin and offset[0] < end]
    return (within[0], within[-1]) if within else (CLS, CLS)


def _laid(ours: WindowFeatures, theirs: Sequence[tuple[WindowFeatures, Any]]) -> dict[str, Taught]:
    """A teacher's logits at the tokens that start (end) at the same character as one of ours, and at [CLS]."""
    if len(theirs) != 1:
        return {}
    each, logits = theirs[0]
    shift = ours.window.span[0]
    result = {}
    for column, (end, own, other) in enumerate(zip(ENDS, ours.characters(), each.characters(), strict=True)):
        both = [(CLS, CLS)] + [(place, other[at - shift]) for at, place in own.items() if at - shift in other]
        chosen = logits[[there for _, there in both]][:, [column]]
        result[end] = Taught(half(chosen), np.array([here for here, _ in both], np.int32))
    return result
