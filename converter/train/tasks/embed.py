"""Sentence vectors whose cosine says how alike two texts are: a base model with the mean of its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from converter.checkpoint.pooling import embedding_pooling
from converter.data_sets.examples import Similar
from converter.errors import TrainingError
from converter.metrics import correlation
from converter.train.features import Features, Outputs, Taught
from converter.train.model import HeadShape
from converter.train.tasks.task import Answers, Scores, Task, half
from converter.train.tokenisation import tokens

if TYPE_CHECKING:
    from torch import Tensor

    from converter.checkpoint.configuration import Configuration
    from converter.train.tokenisation import Tokenisation

SHARPNESS = 20.0
"""by which cosines are multiplied in CoSENT's loss, as its author has it"""
RELATIONS = 10.0
"""how much the differences of all cosines within a batch count beside each vector's own"""


@dataclass(frozen=True, kw_only=True)
class PairFeatures(Features):
    """Two texts, or one of which only the teacher knows something."""

    score: float | None


class Embed(Task[Similar, PairFeatures]):
    name = "embed"
    architecture = "Model"

    def __init__(self, pooling: Literal["mean", "first"] = "mean") -> None:
        self.pooling: Literal["mean", "first"] = pooling
        self.same_width = True

    @classmethod
    def collect(cls, examples: Sequence[Similar], out_of_scope: str | None) -> Self:
        if len({each.score for each in examples}) < 2:
            raise TrainingError("all pairs of the training data have the same score")
        return cls()

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        return cls(embedding_pooling(configuration.path.parent))

    def heads(self, hidden: int) -> tuple[HeadShape, ...]:
        return (HeadShape("embedding", None, hidden, self.pooling),)

    def fields(self) -> dict[str, Any]:
        return {}

    def features(self, tokenisation: Tokenisation, examples: Sequence[Similar]) -> list[PairFeatures]:
        return [
            PairFeatures(
                texts=tuple(tokens(tokenisation.encode(text)) for text in self.texts(each)),
                example=number,
                score=each.score if each.pair else None,
            )
            for number, each in enumerate(examples)
        ]

    def unlabelled(self, line: str) -> Similar:
        return Similar(line, "", 0.0)

    def texts(self, example: Similar) -> tuple[str, ...]:
        return (example.text, example.pair) if example.pair else (example.text,)

    def loss(self, outputs: Outputs, batch: Sequence[PairFeatures], smoothing: float) -> Tensor:
        """CoSENT (Su, 2022): a pair with the higher score should have the higher cosine, whatever the scores' scale."""
        import torch
        from torch.nn import functional

        vectors = functional.normalize(outputs["embedding"])
        firsts, scores, row = [], [], 0
        for each in batch:
            if each.score is not None:
                firsts.append(row)
                scores.append(each.score)
            row += len(each.texts)
        if not firsts:
            return vectors.sum() * 0
        cosines = (vectors[firsts] * vectors[[first + 1 for first in firsts]]).sum(1) * SHARPNESS
        wanted = torch.tensor(scores)
        differences = (cosines[:, None] - cosines[None])[wanted[:, None] < wanted[None]]
        return torch.logsumexp(torch.cat([torch.zeros(1), differences]), 0)

    def distance(self, outputs: Outputs, batch: Sequence[PairFeatures], temperature: float) -> Tensor:
        """Of the vectors to the teacher's, where they are as long; and of their cosines to each other."""
        import torch
        from torch.nn import functional

        rows: list[int] = []
        targets = []
        row = 0
        for each in batch:
            if "embedding" in each.taught:
                rows += range(row, row + len(each.texts))
                targets.append(each.taught["embedding"].logits)
            row += len(each.texts)
        if not rows:
            nothing: Tensor = outputs["embedding"].sum() * 0
            return nothing
        own = functional.normalize(outputs["embedding"][rows])
        teacher = functional.normalize(torch.from_numpy(np.concatenate(targets).astype(np.float32)))
        relations: Tensor = (own @ own.T - teacher @ teacher.T).square().mean() * RELATIONS
        if own.shape[1] != teacher.shape[1]:
            return relations
        distance: Tensor = relations + 1 - (own * teacher).sum(1).mean()
        return distance

    def scores(
        self, examples: Sequence[Similar], features: Sequence[PairFeatures], outputs: Sequence[Mapping[str, Any]]
    ) -> Scores:
        cosines = []
        for each in outputs:
            first, second = each["embedding"]
            cosines.append(float(first @ second / np.sqrt((first @ first) * (second @ second) + 1e-30)))
        found = correlation([each.score for each in examples], cosines)
        return {"spearman": found.spearman, "pearson": found.pearson}

    def rank(self, scores: Mapping[str, float]) -> float:
        return scores["spearman"]

    def taught(self, features: Sequence[PairFeatures], answers: Answers) -> list[dict[str, Taught]]:
        return [{"embedding": Taught(half(each["embedding"]))} for each in answers.outputs]
