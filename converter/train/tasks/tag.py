"""A tag for every word, BIO: transformers' …ForTokenClassification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from converter.checkpoint.labels import numbered_labels
from converter.data_sets.examples import Tagged
from converter.errors import TrainingError
from converter.metrics import span_f1
from converter.train.features import Outputs, Taught
from converter.train.model import HeadShape
from converter.train.tasks.classify import label_count, numbered
from converter.train.tasks.task import Answers, Scores, Task, columns
from converter.train.tasks.words import (
    WordFeatures,
    predicted_tags,
    tag_distance,
    tag_loss,
    tag_names,
    tags_taught,
    word_features,
)

if TYPE_CHECKING:
    from torch import Tensor

    from converter.checkpoint.configuration import Configuration
    from converter.train.tokenisation import Tokenisation


class Tag(Task[Tagged, WordFeatures]):
    name = "tag"
    architecture = "ForTokenClassification"

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._numbers = {name: number for number, name in enumerate(self.labels)}

    @classmethod
    def collect(cls, examples: Sequence[Tagged], out_of_scope: str | None) -> Self:
        labels = tag_names([each.tags for each in examples])
        if len(labels) < 2:
            raise TrainingError("the training data tags no word with anything but O")
        return cls(labels)

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        return cls(numbered_labels(configuration, label_count(configuration)))

    def heads(self, hidden: int) -> tuple[HeadShape, ...]:
        del hidden
        return (HeadShape("tags", "classifier", len(self.labels), "tokens", self.labels),)

    def fields(self) -> dict[str, Any]:
        return numbered(self.labels)

    def features(self, tokenisation: Tokenisation, examples: Sequence[Tagged]) -> list[WordFeatures]:
        return [
            # A text that only the teacher knows something of has no tags.
            word_features(tokenisation, number, each.words, each.tags or None, self._numbers)
            for number, each in enumerate(examples)
        ]

    def unlabelled(self, line: str) -> Tagged:
        return Tagged(tuple(line.split()), ())

    def texts(self, example: Tagged) -> tuple[str, ...]:
        return (" ".join(example.words),)

    def loss(self, outputs: Outputs, batch: Sequence[WordFeatures], smoothing: float) -> Tensor:
        return tag_loss(outputs["tags"], batch)

    def distance(self, outputs: Outputs, batch: Sequence[WordFeatures], temperature: float) -> Tensor:
        return tag_distance("tags", outputs["tags"], batch, temperature)

    def scores(
        self, examples: Sequence[Tagged], features: Sequence[WordFeatures], outputs: Sequence[Mapping[str, Any]]
    ) -> Scores:
        predicted = [
            predicted_tags(self.labels, each, output["tags"]) for each, output in zip(features, outputs, strict=True)
        ]
        return {"f1": span_f1([each.tags for each in examples], predicted)}

    def rank(self, scores: Mapping[str, float]) -> float:
        return scores["f1"]

    def check_teacher(self, teacher: Self) -> None:
        columns("tags", self.labels, teacher.labels)

    def taught(self, features: Sequence[WordFeatures], answers: Answers) -> list[dict[str, Taught]]:
        theirs: Tag = answers.task
        return [
            {"tags": tags_taught("tags", self.labels, theirs.labels, ours, each, output["tags"])}
            for ours, each, output in zip(features, answers.features, answers.outputs, strict=True)
        ]
