"""A training that is killed goes on where it stood, and ends as if nothing had happened."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from converter.errors import TrainingError
from converter.sizes import Size
from converter.train.options import Options
from converter.train.resumption import FOLDER
from converter.train.schedule import Schedule
from converter.train.session import train
from converter.train.training import Step
from tests.converter import small_data

EPOCHS = 4


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(
        data=[small_data.understand(tmp_path)],
        output=tmp_path / "out",
        vocabulary=small_data.vocabulary(tmp_path),
        size=Size(hidden=16, layers=1, heads=2, intermediate=32, groups=2, positions=16),
        schedule=Schedule(epochs=EPOCHS, batch=4, rate=1e-2, save_every=0.0),
        validation_share=0.34,
    )


class KilledError(Exception):
    """Stands for the end of the process."""


def killed_after(steps: int, options: Options) -> None:
    """Trains for so many batches and no more."""
    seen = 0

    def count(_: Step) -> None:
        nonlocal seen
        seen += 1
        if seen == steps:
            raise KilledError

    with pytest.raises(KilledError):
        train(options, on_step=count)


@pytest.mark.parametrize(("steps", "bfloat16"), [(2, False), (9, True), (21, False)])
def test_same_weights(options: Options, tmp_path: Path, steps: int, bfloat16: bool) -> None:
    """Wherever a training ends, going on gives the weights and the course of one that was not ended."""
    options = dataclasses.replace(options, schedule=dataclasses.replace(options.schedule, bfloat16=bfloat16))
    whole = train(dataclasses.replace(options, output=tmp_path / "whole"))
    killed_after(steps, options)
    assert (options.output / FOLDER / "training.pt").exists()
    resumed = train(options)
    one, other = (load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", options.output))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert [epoch.loss for epoch in resumed.epochs] == [epoch.loss for epoch in whole.epochs]
    assert not (options.output / FOLDER).exists()


def test_same_weights_in_integers(options: Options, tmp_path: Path) -> None:
    """A kill during the last epochs, which are trained in integers, changes nothing either."""
    options = dataclasses.replace(
        options, quantisation_aware=True, schedule=dataclasses.replace(options.schedule, epochs=1, batch=12)
    )
    train(dataclasses.replace(options, output=tmp_path / "whole"))
    killed_after(4, options)
    assert (options.output / FOLDER / "tuning.pt").exists()
    train(options)
    one, other = (load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", options.output))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_kill(options: Options, tmp_path: Path) -> None:
    """After `kill -9` the same command goes on, at the epoch that it was in or the next."""
    words = [
        sys.executable,
        "-c",
        "from converter.cli import main; main()",
        "train",
        *map(str, options.data),
        "-o",
        str(options.output),
    ]
    words += ["--vocabulary", str(options.vocabulary), "--validation", "0.34", "--epochs", "300", "--patience", "300"]
    words += "--hidden 16 --layers 1 --heads 2 --groups 2 --positions 16 --batch 4 --save-every 0".split()
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 3:"):
                break
        process.kill()
    assert process.returncode == -signal.SIGKILL
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = next(line for line in process.stderr if line.startswith("epoch"))
        process.kill()
    assert int(first.removeprefix("epoch ").partition(":")[0]) >= 3


def test_other_options(options: Options) -> None:
    """What was begun with other options is not gone on from: the message names them, and --fresh begins anew."""
    killed_after(3, options)
    other = dataclasses.replace(options, schedule=dataclasses.replace(options.schedule, rate=2e-3))
    with pytest.raises(TrainingError, match=r"other options \(rate\).*--fresh"):
        train(other)
    train(dataclasses.replace(other, fresh=True))


def test_damaged_state(options: Options) -> None:
    """A damaged state is named."""
    folder = options.output / FOLDER
    folder.mkdir(parents=True)
    (folder / "training.pt").write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match=r"training\.pt is damaged: give --fresh"):
        train(options)
