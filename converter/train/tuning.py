"""Quantisation-aware fine-tuning: the last epochs of a training, computed in the integers that will be exported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.arrangement import arrange
from converter.calibration import LONGEST, MOST_TEXTS, encode
from converter.checkpoint import read
from converter.checkpoint.configuration import read_configuration
from converter.train.schedule import Schedule
from converter.train.training import Epoch, Step, Training, ValidationSet, best, judge

if TYPE_CHECKING:
    from converter.arrangement import Arrangement
    from converter.train.features import Features
    from converter.train.model import Model
    from converter.train.resumption import Resumption
    from converter.train.simulated import SimulatedModel
    from converter.train.tasks.task import Task

RATE = 0.1
"""of the training's own highest rate: the weights are where they should be but for rounding"""


def simulate(model: Model, folder: Path, texts: Sequence[str]) -> tuple[SimulatedModel, Arrangement]:
    """`model` as the integer graph of the checkpoint that was saved of it in `folder`, calibrated on `texts`."""
    from converter.train.simulated import SimulatedModel

    network = read(folder)
    arranged = arrange(network, encode(network, texts[:MOST_TEXTS], LONGEST), "fast")
    return SimulatedModel(model, read_configuration(folder), network, arranged), arranged


def tune(
    simulated: SimulatedModel,
    task: Task[Any, Any],
    lessons: Callable[[int], Sequence[Features]],
    validation: Sequence[ValidationSet],
    schedule: Schedule,
    on_step: Callable[[Step], None],
    on_epoch: Callable[[Epoch], None],
    resumption: Resumption,
) -> list[Epoch]:
    """Trains on for a few epochs at a low rate; arguments as for `Training`.

    Returns:
        What the integers score before, as epoch 0, and after each epoch. The model is left with the weights of the
        `best` of them.
    """
    before = {name: tensor.clone() for name, tensor in simulated.state_dict().items()}
    start = judge(simulated, task, validation)
    gentle = replace(schedule, epochs=schedule.integer_epochs, rate=schedule.rate * RATE)
    gentle = replace(gentle, patience=gentle.epochs)
    training = Training(simulated, task, lessons, validation, gentle)
    state = resumption.load()
    if state is not None:
        training.restore(state)
    epochs = [start, *training.run(on_step, on_epoch, resumption)]
    if best(epochs) is start:
        simulated.load_state_dict(before)
    return epochs
