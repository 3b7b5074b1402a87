"""The student's training against the teacher's states, and what of it survives a kill."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from converter.distil.targets import Shard, Statistics, batches, read_shard
from converter.errors import TrainingError
from converter.train.packing import Packed, pack

if TYPE_CHECKING:
    from converter.train.encoder import Encoder

BETAS = (0.9, 0.98)
DECAY = 0.01
LONGEST_GRADIENT = 1.0
CHECKPOINT = "training.pt"
SMALLEST_DEVIATION = 0.1
"""of a layer's median deviation: channels that the teacher hardly uses do not count for more than that"""
VALIDATION_TOKENS = 16384
AVERAGED = 50
"""steps that a point of the loss curve is the mean of"""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a student learns."""

    tokens: int
    """to be trained on in all, texts met again counted again"""
    batch: int = 4096
    """tokens of one step"""
    rate: float = 1e-3
    """highest learning rate: reached after `warm_up` of the tokens, then falls to 0 along a cosine"""
    warm_up: float = 0.02
    seed: int = 1
    bfloat16: bool = True
    save_every: float = 120.0
    """seconds between two checkpoints"""

    def factor(self, done: int) -> float:
        """Of the highest rate, after `done` tokens."""
        share = done / self.tokens
        if share < self.warm_up:
            return (share + self.batch / self.tokens) / (self.warm_up + self.batch / self.tokens)
        return 0.5 * (1 + float(np.cos(np.pi * min(1.0, (share - self.warm_up) / (1 - self.warm_up)))))


@dataclass
class Point:
    """Of the loss curve."""

    tokens: int
    loss: float
    validation: float | None = None
    """loss on held-out text"""
    similarity: float | None = None
    """mean cosine between the student's sentence vectors and the teacher's, on held-out text"""


@dataclass
class Progress:
    """Where a training stands."""

    tokens: int = 0
    passes: int = 0
    shard: int = 0
    """next one of the pass"""
    batch: int = 0
    """next one of the shard"""
    seconds: float = 0.0
    """spent on training so far, in all runs"""
    curve: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Goals:
    """What of the teacher's the student's states are held against."""

    student_layers: tuple[int, ...]
    """0 is in front of the first; one for each layer of the targets"""
    basis: Tensor
    """[teacher's width, student's width]"""
    statistics: Statistics


class Distillation:
    """A student on its way. `run` trains it; `save` and `load` keep all that the way depends on."""

    def __init__(
        self,
        student: Encoder,
        goals: Goals,
        folder: Path,
        shards: Sequence[int],
        schedule: Schedule,
        ready: Callable[[int], None],
        options: dict[str, Any],
    ) -> None:
        """Args:
        student: as `initialise` left it, or with any weights if `load` follows.
        goals: see there.
        folder: the targets'.
        shards: numbers of those to train on; the first of the folder, 0, is for validation.
        schedule: see there.
        ready: returns once a shard is there.
        options: what a checkpoint must have been made with to be gone on from.
        """
        self.student, self.goals, self.folder, self.shards = student, goals, folder, shards
        self.schedule, self.ready, self.options = schedule, ready, options
        self.progress = Progress()
        self.table = student.word_embeddings
        # Of 30,522 rows a batch touches some hundred: the others are left alone.
        self.table.sparse = True
        others = [(name, p) for name, p in student.named_parameters() if p is not self.table.weight]
        self.dense = [p for name, p in others if not name.startswith("pooler.")]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                [
                    {"params": [p for p in self.dense if p.dim() > 1], "weight_decay": DECAY},
                    {"params": [p for p in self.dense if p.dim() <= 1], "weight_decay": 0.0},
                ],
                lr=schedule.rate,
                betas=BETAS,
                fused=True,
            ),
            torch.optim.SparseAdam([self.table.weight], lr=schedule.rate, betas=BETAS),
        ]
        self.weights = self._channel_weights()
        self.dtype = torch.bfloat16 if schedule.bfloat16 else torch.float32

    def _channel_weights(self) -> Tensor:
        """[layers, student's width]: 1 / variance of the states that the student is to have."""
        shard = self._shard(0)
        rows = []
        for layer in range(len(self.goals.student_layers)):
            states = self._targets(shard, layer, np.arange(min(16384, shard.states.shape[1])))
            deviation = states.std(0)
            rows.append(deviation.clamp_min(SMALLEST_DEVIATION * float(deviation.median())) ** -2)
        return torch.stack(rows)

    def _shard(self, number: int) -> Shard:
        self.ready(number)
        return read_shard(self.folder, number)

    def _targets(self, shard: Shard, layer: int, tokens: Any) -> Tensor:
        statistics = self.goals.statistics
        states = shard.states[layer][tokens].astype(np.float32)
        states *= statistics.scales(layer)
        states += statistics.means[layer]
        basis = self.goals.basis
        whole = torch.from_numpy(states)
        return whole if basis.shape[0] == basis.shape[1] else whole @ basis

    def losses(self, shard: Shard, texts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Loss of a batch, and the mean cosine of its sentence vectors."""
        starts = shard.starts
        batch = pack([shard.ids[starts[i] : starts[i] + shard.lengths[i]].tolist() for i in texts])
        row = np.concatenate(
            [np.arange(starts[texts[k]], starts[texts[k]] + shard.lengths[texts[k]]) for k in batch.order]
        )
        states = self.student.states(batch, self.dtype)
        loss = torch.zeros(())
        for place, layer in enumerate(self.goals.student_layers):
            target = self._targets(shard, place, row)
            own = states[layer].float()
            loss = loss + ((own - target).square() * self.weights[place]).mean() / len(self.goals.student_layers)
        vectors, similarity = self._sentences(batch, own, target)
        return loss + vectors, similarity

    def _sentences(self, batch: Packed, own: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of the sentence vectors, and of the matrices of their similarities to each other."""
        ours, theirs = (functional.normalize(batch.mean(states)) for states in (own, target))
        cosine = (ours * theirs).sum(1).mean()
        matrix = (ours @ ours.T - theirs @ theirs.T).square().mean()
        return (1 - cosine) + 10 * matrix, cosine.detach()

    def run(self, on_point: Callable[[Point, float], None], checkpoint: Path) -> None:
        """Trains to the end, from wherever it stands.

        Args:
            on_point: told of every point of the curve, and of the tokens per second since the last.
            checkpoint: folder to keep what a later run goes on from.
        """
        saved = last = time.monotonic()
        losses: list[float] = []
        since = self.progress.tokens
        for shard, texts in self._ahead():
            losses.append(self._step(shard, texts))
            now = time.monotonic()
            if len(losses) == AVERAGED or self.progress.tokens >= self.schedule.tokens:
                point = Point(self.progress.tokens, float(np.mean(losses)))
                if len(self.progress.curve) % 10 == 9 or self.progress.tokens >= self.schedule.tokens:
                    point.validation, point.similarity = self.validate()
                self.progress.curve.append(point)
                on_point(point, (self.progress.tokens - since) / (now - last))
                losses, since = [], self.progress.tokens
                self.progress.seconds += now - last
                last = time.monotonic()
                if last - saved > self.schedule.save_every:
                    self.save(checkpoint)
                    saved = time.monotonic()
        self.save(checkpoint)

    def _ahead(self) -> Any:
        """The batches from where training stands to its end; each pass takes the shards in another order."""
        progress = self.progress
        while progress.tokens < self.schedule.tokens:
            order = list(self.shards)
            if progress.passes:
                random.Random(f"{self.schedule.seed}/{progress.passes}").shuffle(order)  # noqa: S311 (repeatable)
            while progress.shard < len(order):
                number = order[progress.shard]
                shard = self._shard(number)
                generator = random.Random(f"{self.schedule.seed}/{progress.passes}/{number}")  # noqa: S311 (repeatable)
                for texts in list(batches(shard, self.schedule.batch, generator))[progress.batch :]:
                    progress.batch += 1
                    yield shard, texts
                    if progress.tokens >= self.schedule.tokens:
                        return
                progress.shard, progress.batch = progress.shard + 1, 0
            progress.passes, progress.shard = progress.passes + 1, 0

    def _step(self, shard: Shard, texts: Sequence[int]) -> float:
        rate = self.schedule.rate * self.schedule.factor(self.progress.tokens)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad()
        loss, _ = self.losses(shard, texts)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.dense, LONGEST_GRADIENT)
        for optimiser in self.optimisers:
            optimiser.step()
        self.progress.tokens += int(shard.lengths[list(texts)].sum())
        return float(loss.detach())

    def validate(self) -> tuple[float, float]:
        """Loss and mean cosine of sentence vectors on the first texts of shard 0."""
        shard = self._shard(0)
        losses, cosines, done = [], [], 0
        with torch.inference_mode():
            for texts in batches(shard, self.schedule.batch, random.Random(0)):  # noqa: S311 (always the same)
                loss, cosine = self.losses(shard, texts)
                losses.append(float(loss))
                cosines.append(float(cosine))
                done += int(shard.lengths[texts].sum())
                if done >= VALIDATION_TOKENS:
                    break
        return float(np.mean(losses)), float(np.mean(cosines))

    def save(self, folder: Path) -> None:
        """Writes aside and renames: a kill leaves the last checkpoint whole."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "options": self.options,
            "student": self.student.state_dict(),
            "optimisers": [each.state_dict() for each in self.optimisers],
            "progress": json.dumps(asdict(self.progress)),
            "basis": self.goals.basis,
        }
        aside = folder / f".{CHECKPOINT}"
        torch.save(state, aside)
        aside.replace(folder / CHECKPOINT)

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from what `read_checkpoint` gave."""
        self.student.load_state_dict(state["student"])
        for optimiser, each in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(each)
        progress = json.loads(state["progress"])
        self.progress = Progress(**{**progress, "curve": [Point(**point) for point in progress["curve"]]})


def read_checkpoint(folder: Path, options: dict[str, Any]) -> dict[str, Any] | None:
    """What an earlier run left, or None.

    Raises:
        TrainingError: it was a run with other options, or the file is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:
        raise TrainingError(f"{path} cannot be read ({error}); remove it to start anew") from error
    found = state["options"]
    other = sorted(name for name in options if found.get(name) != options[name])
    if other:
        raise TrainingError(
            f"{folder} holds a training begun with other options ({', '.join(other)}); give them as they were, "
            "or --fresh to start anew"
        )
    return state
