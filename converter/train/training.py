"""The training itself: epochs of batches, the best epoch's weights, calibration on the validation texts."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from converter.train.corpus import OUTSIDE, Example
from converter.train.encoding import IGNORED, Encoded, Labels, batches, punctuate
from converter.train.scores import accuracy, span_f1

if TYPE_CHECKING:
    from torch import Tensor, nn

Step = Callable[[int, int, int, int], None]
"""called after every batch with epoch (from 1), epochs, batch (from 1), batches"""

# Adam's usual setting for transformers; the word embeddings are updated lazily and without decay, because a batch
# touches a few hundred of their thirty thousand rows.
BETAS = (0.9, 0.98)
LONGEST_GRADIENT = 1.0


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    epochs: int = 20
    patience: int = 6
    """epochs without a better validation score before training ends early"""
    batch: int = 64
    rate: float = 1e-3
    """highest learning rate: reached by `warm_up`, then falls linearly to 0"""
    warm_up: float = 0.06
    """share of all steps"""
    decay: float = 0.01
    """weight decay of all matrices but the word embeddings"""
    smoothing: float = 0.05
    """of the intent labels"""
    punctuation: float = 0.3
    """share of the training texts that get a full stop, question or exclamation mark at their end"""
    exchange: float = 0.3
    """probability of a slot's value to be replaced by another of its values"""
    digits: float = 0.3
    """share of the training texts whose number words become digits"""
    bfloat16: bool = False
    seed: int = 1


@dataclass(frozen=True)
class ValidationSet:
    """Validation examples of one corpus."""

    name: str
    examples: Sequence[Example]
    encoded: Sequence[Encoded]


@dataclass(frozen=True)
class Scores:
    """What one corpus' validation examples gave."""

    intent_accuracy: float
    slot_f1: float | None
    texts: int


@dataclass
class Epoch:
    """One epoch's outcome."""

    number: int
    loss: float
    scores: Mapping[str, Scores] = field(default_factory=dict)

    @property
    def rank(self) -> float:
        """What the best epoch is the best by: the mean over corpora of accuracy, and of F1 where there are slots."""
        accuracies = [scores.intent_accuracy for scores in self.scores.values()]
        f1s = [scores.slot_f1 for scores in self.scores.values() if scores.slot_f1 is not None]
        return float(np.mean(accuracies) + (np.mean(f1s) if f1s else 0.0))


def fit(
    model: nn.Module,
    examples: Callable[[random.Random], Sequence[Encoded]],
    validation: Sequence[ValidationSet],
    labels: Labels,
    marks: Sequence[int],
    schedule: Schedule,
    on_step: Step,
    on_epoch: Callable[[Epoch], None],
) -> list[Epoch]:
    """Trains `model` in place and leaves it with the weights of its best epoch.

    Args:
        model: as `models.build` makes it.
        examples: gives what is trained on in an epoch; always the same number.
        validation: what the best epoch is chosen by.
        labels: of both heads.
        marks: token ids of the punctuation that texts may end with.
        schedule: how long and how fast.
        on_step: told of every batch.
        on_epoch: told of every epoch.

    Returns:
        every epoch's outcome.
    """
    import torch

    generator = random.Random(schedule.seed)  # noqa: S311 (a repeatable shuffle, no secret)
    per_epoch = -(-len(examples(generator)) // schedule.batch)
    optimisers, schedulers = _optimisers(model, schedule, per_epoch * schedule.epochs)
    epochs: list[Epoch] = []
    best: dict[str, Tensor] = {}
    for number in range(1, schedule.epochs + 1):
        model.train()
        losses = []
        epoch_examples = [
            punctuate(each, marks, generator) if marks and generator.random() < schedule.punctuation else each
            for each in examples(generator)
        ]
        for step, batch in enumerate(batches(epoch_examples, schedule.batch, generator), start=1):
            with torch.autocast("cpu", torch.bfloat16, enabled=schedule.bfloat16):
                ids, mask = padded(batch)
                logits = model(ids, mask)
            loss = _loss(logits, batch, schedule.smoothing)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(
                [p for p in model.parameters() if p.grad is not None and not p.grad.is_sparse], LONGEST_GRADIENT
            )
            for optimiser, scheduler in zip(optimisers, schedulers, strict=True):
                optimiser.step()
                scheduler.step()
                optimiser.zero_grad()
            losses.append(float(loss.detach()))
            on_step(number, schedule.epochs, step, per_epoch)
        epoch = Epoch(number, float(np.mean(losses)), {each.name: evaluate(model, each, labels) for each in validation})
        epochs.append(epoch)
        on_epoch(epoch)
        if epoch.rank >= max(each.rank for each in epochs):
            best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        if number - max(epochs, key=lambda each: (each.rank, each.number)).number >= schedule.patience:
            break
    model.load_state_dict(best)
    return epochs


def evaluate(model: nn.Module, validation: ValidationSet, labels: Labels) -> Scores:
    """Accuracy of the labels, and F1 of the slots word by word (a word's tag is that of its first token)."""
    intents, slots = predict(model, validation.encoded, bool(labels.slots))
    right = accuracy([each.label for each in validation.encoded], [int(row.argmax()) for row in intents])
    if not labels.slots or not any(example.tags for example in validation.examples):
        return Scores(right, None, len(validation.examples))
    expected, predicted = [], []
    for example, encoded, row in zip(validation.examples, validation.encoded, slots, strict=True):
        if example.tags is None:
            continue
        best = row.argmax(axis=-1)
        expected.append(example.tags)
        predicted.append([labels.slots[int(best[token])] if token >= 0 else OUTSIDE for token in encoded.word_tokens])
    return Scores(right, span_f1(expected, predicted), len(validation.examples))


def predict(
    model: nn.Module, examples: Sequence[Encoded], slots: bool
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """Logits in the order of `examples`: intents [texts, labels], and per text of slots [S, tags] if asked for."""
    import torch

    model.eval()
    order: list[int] = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))
    intents: dict[int, NDArray[np.float32]] = {}
    tags: dict[int, NDArray[np.float32]] = {}
    with torch.no_grad():
        done = 0
        for batch in batches(examples, 128, None):
            logits = model(*padded(batch))
            for row, example in enumerate(batch):
                place = order[done + row]
                intents[place] = logits["intent"][row].float().numpy()
                if slots:
                    tags[place] = logits["slots"][row, : len(example.ids)].float().numpy()
            done += len(batch)
    return np.stack([intents[i] for i in range(len(examples))]), [tags[i] for i in range(len(tags))]


def padded(batch: Sequence[Encoded]) -> tuple[Tensor, Tensor]:
    """Ids and mask, both [batch, longest]; 0 stands where a text has ended."""
    import torch

    longest = max(len(each.ids) for each in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros(len(batch), longest, dtype=torch.long)
    for row, each in enumerate(batch):
        ids[row, : len(each.ids)] = torch.tensor(each.ids)
        mask[row, : len(each.ids)] = 1
    return ids, mask


def _loss(logits: Mapping[str, Tensor], batch: Sequence[Encoded], smoothing: float) -> Tensor:
    """Cross-entropy of the intents plus, where a text's tags are known, that of its words' slots."""
    import torch
    from torch.nn import functional

    loss = functional.cross_entropy(
        logits["intent"].float(), torch.tensor([each.label for each in batch]), label_smoothing=smoothing
    )
    if "slots" not in logits or all(each.tags is None for each in batch):
        return loss
    tags = torch.full(logits["slots"].shape[:2], IGNORED, dtype=torch.long)
    for row, each in enumerate(batch):
        if each.tags is not None:
            tags[row, : len(each.tags)] = torch.tensor(each.tags)
    return loss + functional.cross_entropy(logits["slots"].float().flatten(0, 1), tags.flatten(), ignore_index=IGNORED)


def _optimisers(model: nn.Module, schedule: Schedule, steps: int) -> tuple[list[Any], list[Any]]:
    import torch

    table = model.transformer.get_input_embeddings()  # type: ignore[operator, union-attr]
    table.sparse = True
    others = [parameter for parameter in model.parameters() if parameter is not table.weight]
    optimisers = [
        torch.optim.AdamW(
            [
                {"params": [p for p in others if p.dim() > 1], "weight_decay": schedule.decay},
                {"params": [p for p in others if p.dim() <= 1], "weight_decay": 0.0},
            ],
            lr=schedule.rate,
            betas=BETAS,
        ),
        torch.optim.SparseAdam([table.weight], lr=schedule.rate, betas=BETAS),
    ]
    warm_up = max(1, round(steps * schedule.warm_up))

    def factor(step: int) -> float:
        return min((step + 1) / warm_up, max(0.0, (steps - step) / max(1, steps - warm_up)))

    return optimisers, [torch.optim.lr_scheduler.LambdaLR(each, factor) for each in optimisers]
