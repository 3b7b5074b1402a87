"""What a training that was ended goes on from: one file in its output folder, written aside and renamed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converter.errors import TrainingError

FOLDER = ".training"


class Resumption:
    """The state of one stage of a training."""

    def __init__(self, output: Path, stage: str, options: Mapping[str, Any]) -> None:
        """Args:
        output: the checkpoint's folder.
        stage: "training" or "tuning".
        options: what a state is only good for, as JSON has it.
        """
        self.path = working_folder(output) / f"{stage}.pt"
        # What JSON makes of it is what will be read again.
        self.options = json.loads(json.dumps(options))

    def save(self, state: Mapping[str, Any]) -> None:
        """A kill, whenever it comes, leaves the last state whole."""
        import torch

        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(".part")
        torch.save({"options": json.dumps(self.options), "state": dict(state)}, aside)
        aside.replace(self.path)

    def load(self) -> dict[str, Any] | None:
        """What an earlier run left; None without one.

        Raises:
            TrainingError: that run had other options, or the file is damaged.
        """
        import torch

        if not self.path.exists():
            return None
        try:
            found = torch.load(self.path, weights_only=True)
            options, state = json.loads(found["options"]), dict(found["state"])
        except Exception as error:
            raise TrainingError(f"{self.path} is damaged: give --fresh to start anew") from error
        other = sorted(
            name for name in {*options, *self.options} if options.get(name, None) != self.options.get(name, None)
        )
        if other:
            raise TrainingError(
                f"{self.path.parent.parent} holds a training begun with other options ({', '.join(other)}): give them "
                "as they were to go on, or --fresh to start anew"
            )
        return state


def working_folder(output: Path) -> Path:
    """Where a training keeps what is of no use once it has ended."""
    return output / FOLDER


def discard(output: Path) -> None:
    """Removes all that a training kept to go on from."""
    shutil.rmtree(working_folder(output), ignore_errors=True)
