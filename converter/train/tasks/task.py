"""What every task says of itself, and the parts of losses that several share."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from converter.errors import TrainingError
from converter.train.features import F, Features, Outputs, Taught

if TYPE_CHECKING:
    from torch import Tensor

    from converter.checkpoint.configuration import Configuration
    from converter.train.model import HeadShape
    from converter.train.tokenisation import Tokenisation

E = TypeVar("E")
Scores = dict[str, float]


@dataclass(frozen=True)
class Answers:
    """What a teacher said of examples."""

    features: Sequence[Any]
    """the examples as it read them"""
    outputs: Sequence[Mapping[str, Any]]
    """of each by head, [texts or tokens, width] as NumPy has it"""
    task: Any
    """with the teacher's own labels"""


class Task(ABC, Generic[E, F]):
    """What is learnt from examples E, which the network meets as features F."""

    name: ClassVar[str]
    architecture: ClassVar[str]
    """transformers' class without the family's name in front"""
    confidence: ClassVar[str | None] = None
    """the head whose temperature and threshold are set on validation texts"""
    learns_unlabelled: ClassVar[bool] = True
    """whether a teacher can teach on a line of text alone"""
    varies: ClassVar[bool] = False
    """whether `vary` changes anything"""

    # -- making one

    @classmethod
    @abstractmethod
    def collect(cls, examples: Sequence[E], out_of_scope: str | None) -> Self:
        """The task of learning these examples.

        Raises:
            TrainingError: there is nothing to tell apart in them.
        """

    @classmethod
    @abstractmethod
    def of(cls, configuration: Configuration) -> Self:
        """The task that a checkpoint was trained for, with its labels.

        Raises:
            CheckpointError: its labels are not usable.
        """

    # -- the network

    @abstractmethod
    def heads(self, hidden: int) -> tuple[HeadShape, ...]:
        """What stands on an encoder of this width."""

    @abstractmethod
    def fields(self) -> dict[str, Any]:
        """What config.json says of the heads."""

    # -- examples

    @abstractmethod
    def features(self, tokenisation: Tokenisation, examples: Sequence[E]) -> list[F]:
        """Examples as the network reads them: at least one of each, in their order."""

    @abstractmethod
    def unlabelled(self, line: str) -> E:
        """A text of which only the teacher knows something."""

    @abstractmethod
    def texts(self, example: E) -> tuple[str, ...]:
        """One text, or the two of a pair."""

    def stratum(self, example: E) -> str:
        """Examples are set aside for validation from each of these alike."""
        del example
        return ""

    def key(self, example: E) -> str:
        """Examples with the same one stay on one side when some are set aside."""
        return "\t".join(self.texts(example))

    def check(self, name: str, examples: Sequence[E]) -> None:
        """Raises TrainingError if validation examples ask for what is not learnt."""

    def vary(self, examples: Sequence[E], generator: random.Random) -> list[E]:
        """The examples of one epoch."""
        del generator
        return list(examples)

    # -- judging

    @abstractmethod
    def loss(self, outputs: Outputs, batch: Sequence[F], smoothing: float) -> Tensor:
        """Of a batch against its own targets."""

    @abstractmethod
    def distance(self, outputs: Outputs, batch: Sequence[F], temperature: float) -> Tensor:
        """Of a batch to what the teacher said of it."""

    @abstractmethod
    def scores(self, examples: Sequence[E], features: Sequence[F], outputs: Sequence[Mapping[str, Any]]) -> Scores:
        """How good outputs are, by name of the metric, 0 to 1 each (correlations −1 to 1)."""

    @abstractmethod
    def rank(self, scores: Mapping[str, float]) -> float:
        """What the best epoch has the most of."""

    # -- a teacher

    def asked(self, examples: Sequence[E], features: Sequence[F]) -> list[E]:
        """What a teacher is asked about, one for each of `features`."""
        return [examples[each.example] for each in features]

    def check_teacher(self, teacher: Self) -> None:
        """Raises TrainingError if a teacher cannot teach this; `width` is the student's."""

    @abstractmethod
    def taught(self, features: Sequence[F], answers: Answers) -> list[dict[str, Taught]]:
        """What a teacher said, laid on the student's features; empty where the two have nothing in common."""


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student), mean over rows [n, width] (Hinton et al., 2015, section 2)."""
    from torch.nn import functional

    log_teacher = functional.log_softmax(teacher / temperature, dim=-1)
    log_student = functional.log_softmax(student / temperature, dim=-1)
    result = functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    return result * temperature**2


def columns(head: str, own: Sequence[str], teachers: Sequence[str]) -> list[int]:
    """Which of the teacher's outputs stands for each of our labels.

    Raises:
        TrainingError: it does not know one of them.
    """
    unknown = sorted(set(own) - set(teachers))
    if unknown:
        raise TrainingError(f"the teacher's {head} lacks the label {unknown[0]!r}: it was trained on other data")
    return [list(teachers).index(label) for label in own]


def half(logits: Any) -> Any:
    """As float16, which is what is kept."""
    return np.asarray(logits, np.float32).astype(np.float16)


def rows_of(batch: Sequence[Features], head: str) -> tuple[list[int], Any]:
    """The examples of a batch that a teacher spoke of in a head for whole texts, and its logits [n, width]."""
    import torch

    known = [place for place, each in enumerate(batch) if head in each.taught]
    if not known:
        return [], torch.zeros(0)
    logits = np.concatenate([batch[place].taught[head].logits for place in known])
    return known, torch.from_numpy(logits.astype(np.float32))
