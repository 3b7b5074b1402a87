"""A fine-tuned checkpoint that teaches: what it says of the training texts is found out once, and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converter.checkpoint.configuration import read_configuration
from converter.errors import TrainingError
from converter.train.features import F
from converter.train.prediction import predict
from converter.train.start import load
from converter.train.tasks.task import Answers, E, Task

BLOCK = 4096
"""examples asked about at once, so that progress can be shown"""


class Teacher:
    """Knows the same task as the student, whatever family and tokenizer it has."""

    def __init__(self, folder: Path, task: Task[Any, Any], bfloat16: bool) -> None:
        """Args:
        folder: its checkpoint.
        task: the student's.
        bfloat16: whether to compute in it.

        Raises:
            TrainingError: it was trained for another task, or lacks one of the student's labels.
            CheckpointError: it cannot be read.
        """
        configuration = read_configuration(folder)
        architecture = (configuration.fields.get("architectures") or ["Model"])[0]
        expected = task.architecture
        if not str(architecture).endswith(expected):
            raise TrainingError(
                f"{folder} is a {architecture}; to teach {task.name} it must be a checkpoint that was trained for it "
                f"(…{expected})"
            )
        self.task = type(task).of(configuration)
        task.check_teacher(self.task)
        self.model, self.tokenisation = load(folder, self.task)
        self.dtype = torch.bfloat16 if bfloat16 else torch.float32
        weights = hashlib.sha256()
        for name, tensor in self.model.state_dict().items():
            weights.update(name.encode() + tensor.numpy().tobytes())
        self.digest = weights.hexdigest()

    def teach(
        self,
        task: Task[E, F],
        examples: Sequence[E],
        features: Sequence[F],
        cache: Path,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> list[dict[str, Any]]:
        """What the teacher says of examples, laid on the student's features: `Taught` by head for each of them.

        Args:
            task: the student's.
            examples: all.
            features: the student's, of these examples.
            cache: folder in which the teacher's logits are kept as float16.
            progress: called with the examples asked about, and all of them.
        """
        asked = task.asked(examples, features)
        theirs = self.task.features(self.tokenisation, asked)
        outputs = self._outputs(theirs, cache, progress)
        return list(task.taught(features, Answers(theirs, outputs, self.task)))

    def _outputs(
        self, features: Sequence[Any], cache: Path, progress: Callable[[int, int], None]
    ) -> list[dict[str, Any]]:
        digest = hashlib.sha256(self.digest.encode())
        for each in features:
            for text in each.texts:
                digest.update(np.array([len(text), *text.ids, *text.types], np.int32).tobytes())
        path = cache / f"teacher-{digest.hexdigest()[:16]}.npz"
        if not path.exists():
            found: list[dict[str, Any]] = []
            for start in range(0, len(features), BLOCK):
                found += predict(self.model, features[start : start + BLOCK], self.dtype)
                progress(len(found), len(features))
            cache.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(".part")
            heads = {head.name: np.concatenate([each[head.name] for each in found]) for head in self.model.heads}
            with aside.open("wb") as file:
                np.savez(file, **{name: rows.astype(np.float16) for name, rows in heads.items()})  # type: ignore[arg-type]
            aside.replace(path)
        with np.load(path) as kept:
            heads = {name: kept[name] for name in kept.files}
        return self._cut(features, heads)

    def _cut(self, features: Sequence[Any], heads: dict[str, Any]) -> list[dict[str, Any]]:
        """Rows of all features by head → by feature."""
        result: list[dict[str, Any]] = [{} for _ in features]
        for head in self.model.heads:
            row = 0
            for each, found in zip(features, result, strict=True):
                count = each.tokens if head.over == "tokens" else len(each.texts)
                found[head.name] = heads[head.name][row : row + count]
                row += count
        return result
