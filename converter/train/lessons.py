"""What is trained on, epoch by epoch: examples, varied where the task does so, with what a teacher says of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from converter.train.examples import Material
from converter.train.features import Features
from converter.train.tokenisation import Tokenisation

if TYPE_CHECKING:
    from converter.train.teacher import Teacher

VARIANTS = 4
"""with a teacher, varied texts come again after so many epochs, for the teacher has to be asked about each"""


class Lessons:
    """Gives an epoch's features: always the same for the same epoch."""

    def __init__(
        self,
        material: Material,
        tokenisation: Tokenisation,
        seed: int,
        teacher: Teacher | None,
        cache: Path,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        """Args:
        material: what there is.
        tokenisation: the student's.
        seed: of the variation.
        teacher: who is asked about everything.
        cache: folder for what the teacher said.
        progress: called while the teacher is asked.
        """
        self.material, self.tokenisation, self.seed = material, tokenisation, seed
        self.teacher, self.cache, self.progress = teacher, cache, progress
        self._variant: int | None = None
        self._features: list[Features] = []

    def __call__(self, epoch: int) -> list[Features]:
        variant = 0
        if self.material.task.varies:
            variant = epoch if self.teacher is None else (epoch - 1) % VARIANTS
        if variant != self._variant:
            self._variant, self._features = variant, self._make(variant)
        return self._features

    def _make(self, variant: int) -> list[Features]:
        material, task = self.material, self.material.task
        generator = random.Random(f"{self.seed}/variant/{variant}")  # noqa: S311 (repeatable, no secret)
        examples = [*task.vary(material.everything, generator), *material.unlabelled]
        features = task.features(self.tokenisation, examples)
        if self.teacher is None:
            return features
        taught = self.teacher.teach(task, examples, features, self.cache, self.progress)
        return [replace(each, taught=said) for each, said in zip(features, taught, strict=True)]
