"""One label for a text or a pair: transformers' …ForSequenceClassification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from converter.checkpoint.labels import numbered_labels
from converter.data_sets.examples import Labelled
from converter.errors import TrainingError
from converter.metrics import accuracy
from converter.train.features import IGNORED, Features, Outputs, Taught
from converter.train.model import HeadShape
from converter.train.tasks.task import Answers, Scores, Task, columns, divergence, half, rows_of
from converter.train.tokenisation import tokens

if TYPE_CHECKING:
    from torch import Tensor

    from converter.checkpoint.configuration import Configuration
    from converter.train.tokenisation import Tokenisation


@dataclass(frozen=True, kw_only=True)
class ClassFeatures(Features):
    """A text or a pair."""

    label: int


class Classify(Task[Labelled, ClassFeatures]):
    name = "classify"
    architecture = "ForSequenceClassification"
    confidence = "classification"

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._numbers = {name: number for number, name in enumerate(self.labels)}

    @classmethod
    def collect(cls, examples: Sequence[Labelled], out_of_scope: str | None) -> Self:
        return cls(distinct([each.label for each in examples], out_of_scope))

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        return cls(numbered_labels(configuration, label_count(configuration)))

    def heads(self, hidden: int) -> tuple[HeadShape, ...]:
        del hidden
        return (HeadShape("classification", "classifier", len(self.labels), "pooler", self.labels),)

    def fields(self) -> dict[str, Any]:
        return {**numbered(self.labels), "problem_type": "single_label_classification"}

    def features(self, tokenisation: Tokenisation, examples: Sequence[Labelled]) -> list[ClassFeatures]:
        return [
            ClassFeatures(
                texts=(tokens(tokenisation.encode(each.text, each.pair)),),
                example=number,
                label=self._numbers.get(each.label, IGNORED),
            )
            for number, each in enumerate(examples)
        ]

    def unlabelled(self, line: str) -> Labelled:
        text, _, pair = line.partition("\t")
        return Labelled(text, "", pair or None)

    def texts(self, example: Labelled) -> tuple[str, ...]:
        return (example.text,) if example.pair is None else (example.text, example.pair)

    def stratum(self, example: Labelled) -> str:
        return example.label

    def check(self, name: str, examples: Sequence[Labelled]) -> None:
        for each in examples:
            if each.label not in self._numbers:
                raise TrainingError(f"{name} has the label {each.label!r}, which the training data lacks")

    def loss(self, outputs: Outputs, batch: Sequence[ClassFeatures], smoothing: float) -> Tensor:
        return class_loss(outputs["classification"], [each.label for each in batch], smoothing)

    def distance(self, outputs: Outputs, batch: Sequence[ClassFeatures], temperature: float) -> Tensor:
        return class_distance("classification", outputs["classification"], batch, temperature)

    def scores(
        self, examples: Sequence[Labelled], features: Sequence[ClassFeatures], outputs: Sequence[Mapping[str, Any]]
    ) -> Scores:
        predicted = [self.labels[int(each["classification"][0].argmax())] for each in outputs]
        return {"accuracy": accuracy([each.label for each in examples], predicted)}

    def rank(self, scores: Mapping[str, float]) -> float:
        return scores["accuracy"]

    def check_teacher(self, teacher: Self) -> None:
        columns("classification", self.labels, teacher.labels)

    def taught(self, features: Sequence[ClassFeatures], answers: Answers) -> list[dict[str, Taught]]:
        return class_taught("classification", self.labels, answers.task.labels, answers.outputs)


def distinct(labels: Sequence[str], out_of_scope: str | None) -> tuple[str, ...]:
    """All labels, sorted, with the one for what is out of scope at the end.

    Raises:
        TrainingError: fewer than two labels, or one of them is what out-of-scope texts are to be called.
    """
    found = sorted(set(labels))
    if out_of_scope is not None:
        if out_of_scope in found:
            raise TrainingError(
                f"the training data already has the label {out_of_scope!r}, kept for out-of-scope texts"
            )
        found.append(out_of_scope)
    if len(found) < 2:
        raise TrainingError(f"the training data has only the label {', '.join(found)}; two or more are needed")
    return tuple(found)


def numbered(labels: Sequence[str]) -> dict[str, Any]:
    """Labels as transformers' config.json has them."""
    return {
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
    }


def label_count(configuration: Configuration) -> int:
    """Of a checkpoint with one classifier."""
    from converter.checkpoint.weights import open_weights

    return open_weights(configuration.path.parent).rows("classifier.weight")


def class_loss(logits: Tensor, labels: Sequence[int], smoothing: float) -> Tensor:
    """Cross-entropy of logits [texts, labels]; 0 where no label is known, and by so much less where some are not."""
    import torch
    from torch.nn import functional

    known = [place for place, label in enumerate(labels) if label != IGNORED]
    if not known:
        return logits.sum() * 0
    targets = torch.tensor([labels[place] for place in known])
    loss = functional.cross_entropy(logits[known], targets, label_smoothing=smoothing)
    return loss * (len(known) / len(labels))


def class_distance(head: str, logits: Tensor, batch: Sequence[Features], temperature: float) -> Tensor:
    """Divergence from the teacher's labels."""
    known, targets = rows_of(batch, head)
    return divergence(logits[known], targets, temperature) if known else logits.sum() * 0


def class_taught(
    head: str, own: Sequence[str], teachers: Sequence[str], outputs: Sequence[Mapping[str, Any]]
) -> list[dict[str, Taught]]:
    """The teacher's logits in the order of our labels."""
    chosen = columns(head, own, teachers)
    return [{head: Taught(half(each[head][:, chosen]))} for each in outputs]
