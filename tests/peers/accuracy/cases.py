"""The checkpoints of the study, in the order in which the document lists them, and how they are made."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.peers.accuracy import finetuning, squeezebert
from tests.peers.accuracy.methods import CALIBRATION_FILE
from tests.peers.accuracy.study import Case

PRETRAINED, FINE_TUNED = "all-MiniLM-L6-v2", "MiniLM, fine-tuned"
SQUEEZEBERT = {4: "SqueezeBERT, groups of 4", 1: "SqueezeBERT, no groups"}
SEEDS = (1, 2, 3)
ONCE = ("similarity",)
"""trained with the first seed only: the pretrained weights are a model of this task, too"""


def cases(build: Path, minilm: Path) -> Iterator[Case]:
    folder = build / "checkpoints"
    yield Case(PRETRAINED, "similarity", minilm)
    for task in finetuning.HEADS:
        for seed in SEEDS[:1] if task in ONCE else SEEDS:
            yield Case(FINE_TUNED, task, folder / f"{task}-{seed}", seed)
    for groups, model in SQUEEZEBERT.items():
        yield from (Case(model, "intents", folder / f"squeezebert-g{groups}-{seed}", seed) for seed in SEEDS)


def train(build: Path, minilm: Path) -> None:
    """Train what is not yet there; every checkpoint takes minutes on one core."""
    for case in cases(build, minilm):
        # the calibration texts are the last thing that a training leaves
        if case.seed is None or (case.folder / CALIBRATION_FILE).exists():
            continue
        began = time.perf_counter()
        torch.manual_seed(case.seed)
        if case.model == FINE_TUNED:
            finetuning.HEADS[case.task](finetuning.Trainer(minilm, case.seed), case.folder)
        else:
            groups = next(number for number, model in SQUEEZEBERT.items() if model == case.model)
            squeezebert.intents(minilm, groups, case.seed, case.folder)
        print(f"{case.folder.name}: trained in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
