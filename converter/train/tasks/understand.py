"""Intent and slots together, of one text: SqueezeBertForIntentAndSlots."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from converter.checkpoint.labels import label_list
from converter.data_sets.examples import Spoken
from converter.errors import TrainingError
from converter.metrics import accuracy, span_f1
from converter.train.augmentation import Augmentation, slot_values
from converter.train.features import IGNORED, Outputs, Taught
from converter.train.model import HeadShape
from converter.train.tasks.classify import class_distance, class_loss, class_taught, distinct
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


class Understand(Task[Spoken, WordFeatures]):
    name = "understand"
    architecture = "ForIntentAndSlots"
    confidence = "intent"
    varies = True

    def __init__(
        self, intents: Sequence[str], slots: Sequence[str], pooling: Literal["mean", "first"] = "mean"
    ) -> None:
        self.intents, self.slots = tuple(intents), tuple(slots)
        self.pooling: Literal["mean", "first"] = pooling
        self.augmentation = Augmentation()
        self._numbers = {name: number for number, name in enumerate(self.intents)}
        self._tags = {name: number for number, name in enumerate(self.slots)}

    @classmethod
    def collect(cls, examples: Sequence[Spoken], out_of_scope: str | None) -> Self:
        slots = tag_names([each.tags for each in examples if each.tags is not None])
        if len(slots) < 2:
            raise TrainingError("the training data tags no word; without slots give --task classify")
        return cls(distinct([each.label for each in examples], out_of_scope), slots)

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        pooling: Any = configuration.fields.get("intent_pooling", "mean")
        return cls(label_list(configuration, "intent_labels"), label_list(configuration, "slot_labels"), pooling)

    def heads(self, hidden: int) -> tuple[HeadShape, ...]:
        del hidden
        return (
            HeadShape("intent", "intent_classifier", len(self.intents), self.pooling, self.intents),
            HeadShape("slots", "slot_classifier", len(self.slots), "tokens", self.slots),
        )

    def fields(self) -> dict[str, Any]:
        return {
            "intent_labels": list(self.intents),
            "slot_labels": list(self.slots),
            "intent_pooling": self.pooling,
        }

    def features(self, tokenisation: Tokenisation, examples: Sequence[Spoken]) -> list[WordFeatures]:
        return [
            word_features(
                tokenisation, number, each.words, each.tags, self._tags, self._numbers.get(each.label, IGNORED)
            )
            for number, each in enumerate(examples)
        ]

    def unlabelled(self, line: str) -> Spoken:
        return Spoken(tuple(line.split()), "", None)

    def texts(self, example: Spoken) -> tuple[str, ...]:
        return (" ".join(example.words),)

    def stratum(self, example: Spoken) -> str:
        return example.label

    def check(self, name: str, examples: Sequence[Spoken]) -> None:
        for each in examples:
            if each.label not in self._numbers:
                raise TrainingError(f"{name} has the label {each.label!r}, which the training data lacks")

    def vary(self, examples: Sequence[Spoken], generator: random.Random) -> list[Spoken]:
        values = slot_values(examples)
        return [self.augmentation(each, values, generator) for each in examples]

    def loss(self, outputs: Outputs, batch: Sequence[WordFeatures], smoothing: float) -> Tensor:
        intents = class_loss(outputs["intent"], [each.label for each in batch], smoothing)
        return intents + tag_loss(outputs["slots"], batch)

    def distance(self, outputs: Outputs, batch: Sequence[WordFeatures], temperature: float) -> Tensor:
        intents = class_distance("intent", outputs["intent"], batch, temperature)
        return intents + tag_distance("slots", outputs["slots"], batch, temperature)

    def scores(
        self, examples: Sequence[Spoken], features: Sequence[WordFeatures], outputs: Sequence[Mapping[str, Any]]
    ) -> Scores:
        predicted = [self.intents[int(each["intent"][0].argmax())] for each in outputs]
        result = {"intent_accuracy": accuracy([each.label for each in examples], predicted)}
        tagged = [
            (example.tags, predicted_tags(self.slots, each, output["slots"]))
            for example, each, output in zip(examples, features, outputs, strict=True)
            if example.tags is not None
        ]
        if tagged:
            result["slot_f1"] = span_f1([tags for tags, _ in tagged], [tags for _, tags in tagged])
        return result

    def rank(self, scores: Mapping[str, float]) -> float:
        return scores["intent_accuracy"] + scores.get("slot_f1", 0.0)

    def check_teacher(self, teacher: Self) -> None:
        columns("intent", self.intents, teacher.intents)
        columns("slots", self.slots, teacher.slots)

    def taught(self, features: Sequence[WordFeatures], answers: Answers) -> list[dict[str, Taught]]:
        theirs: Understand = answers.task
        intents = class_taught("intent", self.intents, theirs.intents, answers.outputs)
        return [
            {**intent, "slots": tags_taught("slots", self.slots, theirs.slots, ours, each, output["slots"])}
            for intent, ours, each, output in zip(intents, features, answers.features, answers.outputs, strict=True)
        ]
