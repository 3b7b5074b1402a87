"""The training itself: epochs of packed batches, the best epoch's weights, and going on where a run was ended."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from converter.train.features import Features, pack_features
from converter.train.packing import by_tokens
from converter.train.prediction import predict
from converter.train.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor, nn

    from converter.train.resumption import Resumption
    from converter.train.tasks.task import Task

# Adam's usual setting for transformers; the word embeddings are updated lazily and without decay, because a batch
# touches a few hundred of their thirty thousand rows.
BETAS = (0.9, 0.98)
LONGEST_GRADIENT = 1.0
MIXED = 32
"""batches whose examples are sorted by length together: neighbours are alike in length, and others in every epoch"""
FEW_TEXTS = 50
"""kept aside: with fewer, one text is more than a fiftieth of a score"""


@dataclass(frozen=True)
class Step:
    """What is told of every batch."""

    epoch: int
    epochs: int
    examples: int
    """of this epoch so far"""
    of: int
    loss: float
    """mean of this epoch so far"""
    tokens: int
    """trained on in this run"""
    seconds: float
    """that they took"""


@dataclass(frozen=True)
class ValidationSet:
    """Validation examples of one data set."""

    name: str
    examples: Sequence[Any]
    features: Sequence[Any]


@dataclass
class Epoch:
    """One epoch's outcome."""

    number: int
    loss: float
    rank: float
    """mean over data sets of what the task ranks by"""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """by data set, by metric"""
    tokens: int = 0
    seconds: float = 0.0
    """of training, without the validation"""


class Training:
    """A model on its way: `run` trains it, `state` and `restore` hold all that the way depends on."""

    def __init__(
        self,
        model: nn.Module,
        task: Task[Any, Any],
        lessons: Callable[[int], Sequence[Features]],
        validation: Sequence[ValidationSet],
        schedule: Schedule,
    ) -> None:
        """Args:
        model: a `Model`, or a simulation of one.
        task: judges what comes out of it.
        lessons: gives what is trained on in an epoch, counted from 1; the same for the same number.
        validation: what the best epoch is chosen by.
        schedule: see there.
        """
        self.model, self.task, self.lessons, self.validation = model, task, lessons, validation
        self.schedule = schedule
        self.dtype = torch.bfloat16 if schedule.bfloat16 else torch.float32
        self.epochs: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self._batch = 0
        """next one of the epoch"""
        self._losses: list[float] = []
        self._tokens = 0
        self._seconds = 0.0
        self._optimisers = _optimisers(model, schedule)
        self.learnt = [p for p in model.parameters() if p.requires_grad]

    def run(
        self,
        on_step: Callable[[Step], None],
        on_epoch: Callable[[Epoch], None],
        resumption: Resumption | None = None,
    ) -> list[Epoch]:
        """Trains to the end from wherever it stands, and leaves the model with the weights of its best epoch.

        Returns:
            every epoch's outcome.
        """
        if not self.epochs and not self._batch:
            torch.manual_seed(self.schedule.seed)
        while not self._ended():
            self._train(on_step, resumption)
            epoch = self._judge()
            self.epochs.append(epoch)
            on_epoch(epoch)
            if epoch is self.best_epoch:
                self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            if resumption is not None:
                resumption.save(self.state())
        self.model.load_state_dict(self.best)
        return self.epochs

    @property
    def best_epoch(self) -> Epoch:
        return best(self.epochs)

    def _ended(self) -> bool:
        done = len(self.epochs)
        return done >= self.schedule.epochs or (
            done > 0 and done - self.best_epoch.number >= self.schedule.patience and not self._batch
        )

    def _train(self, on_step: Callable[[Step], None], resumption: Resumption | None) -> None:
        """One epoch, or what is left of it."""
        number = len(self.epochs) + 1
        examples = self.lessons(number)
        made = batches(examples, self.schedule, number)
        done = sum(len(batch) for batch in made[: self._batch])
        run_tokens, run_seconds = 0, 0.0
        saved = time.monotonic()
        for batch in made[self._batch :]:
            began = time.monotonic()
            done += len(batch)
            share = (number - 1 + done / len(examples)) / self.schedule.epochs
            self._losses.append(self._step(batch, share))
            tokens = sum(each.tokens for each in batch)
            now = time.monotonic()
            run_tokens, run_seconds = run_tokens + tokens, run_seconds + now - began
            self._tokens, self._seconds, self._batch = (
                self._tokens + tokens,
                self._seconds + now - began,
                self._batch + 1,
            )
            loss = float(np.mean(self._losses))
            on_step(Step(number, self.schedule.epochs, done, len(examples), loss, run_tokens, run_seconds))
            if resumption is not None and now - saved >= self.schedule.save_every:
                resumption.save(self.state())
                saved = time.monotonic()

    def _step(self, batch: Sequence[Features], share: float) -> float:
        rate = self.schedule.rate * self.schedule.factor(share)
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad()
        loss = self._loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(
            [p for p in self.learnt if p.grad is not None and not p.grad.is_sparse], LONGEST_GRADIENT, foreach=True
        )
        for optimiser in self._optimisers:
            optimiser.step()
        return float(loss.detach())

    def _loss(self, batch: Sequence[Features]) -> Tensor:
        schedule = self.schedule
        outputs = self.model(pack_features(batch), self.dtype, schedule.dropout)
        own = self.task.loss(outputs, batch, schedule.smoothing)
        if not any(each.taught for each in batch):
            return own
        return (1 - schedule.alpha) * own + schedule.alpha * self.task.distance(outputs, batch, schedule.temperature)

    def _judge(self) -> Epoch:
        scores = {each.name: evaluate(self.model, self.task, each, self.dtype) for each in self.validation}
        rank = float(np.mean([self.task.rank(each) for each in scores.values()]))
        number = len(self.epochs) + 1
        epoch = Epoch(number, float(np.mean(self._losses)), rank, scores, self._tokens, round(self._seconds, 3))
        self._batch, self._losses, self._tokens, self._seconds = 0, [], 0, 0.0
        return epoch

    def state(self) -> dict[str, Any]:
        """All that `restore` needs, as `torch.save` takes it."""
        return {
            "model": self.model.state_dict(),
            "best": self.best,
            "optimisers": [each.state_dict() for each in self._optimisers],
            "random": torch.get_rng_state(),
            "epochs": [asdict(each) for each in self.epochs],
            "batch": self._batch,
            "losses": self._losses,
            "tokens": self._tokens,
            "seconds": self._seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave."""
        self.model.load_state_dict(state["model"])
        self.best = state["best"]
        for optimiser, each in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(each)
        torch.set_rng_state(state["random"])
        self.epochs = [Epoch(**each) for each in state["epochs"]]
        self._batch, self._losses = state["batch"], list(state["losses"])
        self._tokens, self._seconds = state["tokens"], state["seconds"]


def evaluate(
    model: nn.Module, task: Task[Any, Any], validation: ValidationSet, dtype: torch.dtype = torch.float32
) -> dict[str, float]:
    """The task's scores, and the number of examples as "texts"."""
    outputs = predict(model, validation.features, dtype)
    scores = task.scores(validation.examples, validation.features, outputs)
    return {**scores, "texts": len(validation.examples)}


def best(epochs: Sequence[Epoch]) -> Epoch:
    """The last of those with the highest rank; where few texts were kept aside, of those that one text sets apart.

    On five texts an epoch is a fifth better by one of them, which says less than the epochs that were learnt since.
    """
    highest = max(each.rank for each in epochs)
    alike = max(_of_one_text(each) for each in epochs)
    return max((each for each in epochs if each.rank >= highest - alike), key=lambda each: each.number)


def _of_one_text(epoch: Epoch) -> float:
    """What one text more or less changes a rank by; 0 where there are many."""
    texts = min((scores.get("texts", FEW_TEXTS) for scores in epoch.scores.values()), default=FEW_TEXTS)
    return 1 / max(texts, 1) + 1e-9 if texts < FEW_TEXTS else 0.0


def judge(model: nn.Module, task: Task[Any, Any], validation: Sequence[ValidationSet]) -> Epoch:
    """Epoch 0: what the model scores as it is."""
    scores = {each.name: evaluate(model, task, each) for each in validation}
    return Epoch(0, 0.0, float(np.mean([task.rank(each) for each in scores.values()])), scores)


def batches(examples: Sequence[Features], schedule: Schedule, epoch: int) -> list[list[Features]]:
    """An epoch's batches in random order: within each texts are about as long as each other."""
    generator = random.Random(f"{schedule.seed}/{epoch}")  # noqa: S311 (a repeatable shuffle, no secret)
    order = list(range(len(examples)))
    generator.shuffle(order)
    lengths = [each.tokens for each in examples]
    made: list[list[int]] = []
    for mixed in by_tokens(lengths, order, MIXED * schedule.batch_tokens):
        mixed.sort(key=lambda i: lengths[i])
        for numbers in by_tokens(lengths, mixed, schedule.batch_tokens):
            made += [numbers[i : i + schedule.batch] for i in range(0, len(numbers), schedule.batch)]
    generator.shuffle(made)
    return [[examples[i] for i in numbers] for numbers in made]


def _optimisers(model: nn.Module, schedule: Schedule) -> list[torch.optim.Optimizer]:
    from torch import nn

    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    sparse = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and name.endswith("word_embeddings") and module.weight.requires_grad:
            module.sparse = True
            sparse.append(module.weight)
    rest = [p for p in model.parameters() if p.requires_grad and not any(p is table for table in sparse)]
    decayed = [p for p in rest if p.dim() > 1 and id(p) not in tables]
    others = [p for p in rest if p.dim() <= 1 or id(p) in tables]
    groups = [{"params": decayed, "weight_decay": schedule.decay}, {"params": others, "weight_decay": 0.0}]
    optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=schedule.rate, betas=BETAS, fused=True)]
    if sparse:
        optimisers.append(torch.optim.SparseAdam(sparse, lr=schedule.rate, betas=BETAS))
    return optimisers
