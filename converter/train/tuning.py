"""Quantisation-aware fine-tuning: the last epochs of a training, computed in the integers that will be exported."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from converter.arrangement import arrange
from converter.calibration import LONGEST, MOST_TEXTS, encode
from converter.checkpoint import read
from converter.checkpoint.configuration import read_configuration
from converter.train.encoding import Encoded, Labels
from converter.train.training import Epoch, Schedule, Step, ValidationSet, evaluate, fit

if TYPE_CHECKING:
    from torch import nn

    from converter.arrangement import Arrangement
    from converter.train.simulated import SimulatedModel

EPOCHS = 3
RATE = 0.1
"""of the training's own highest rate: the weights are where they should be but for rounding"""


def simulate(model: nn.Module, folder: Path, texts: Sequence[str]) -> tuple[SimulatedModel, Arrangement]:
    """`model` as the integer graph of the checkpoint that was saved of it in `folder`, calibrated on `texts`."""
    from converter.train.simulated import SimulatedModel

    network = read(folder)
    arranged = arrange(network, encode(network, texts[:MOST_TEXTS], LONGEST), "fast")
    return SimulatedModel(model, read_configuration(folder), network, arranged), arranged


def tune(
    simulated: SimulatedModel,
    examples: Callable[[random.Random], Sequence[Encoded]],
    validation: Sequence[ValidationSet],
    labels: Labels,
    marks: Sequence[int],
    schedule: Schedule,
    on_step: Step,
    on_epoch: Callable[[Epoch], None],
) -> Epoch:
    """Trains on for a few epochs at a low rate; arguments as for `fit`.

    Returns:
        The best epoch, with whose weights the model is left: number 0 where no training was the best.
    """
    before = {name: tensor.clone() for name, tensor in simulated.state_dict().items()}
    start = Epoch(0, 0.0, {each.name: evaluate(simulated, each, labels) for each in validation})
    gentle = replace(schedule, epochs=EPOCHS, rate=schedule.rate * RATE, patience=EPOCHS, bfloat16=False)
    epochs = fit(simulated, examples, validation, labels, marks, gentle, on_step, on_epoch)
    best = max([start, *epochs], key=lambda each: (each.rank, each.number))
    if best is start:
        simulated.load_state_dict(before)
    return best
