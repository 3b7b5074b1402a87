"""Runs the study: `python -m tests.peers.accuracy BUILD --minilm FOLDER`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

from tests.peers.accuracy import calibration_size, collection, cost, report
from tests.peers.accuracy.cases import PRETRAINED, cases, train
from tests.peers.accuracy.corpora import sts_sentences
from tests.peers.accuracy.methods import METHODS
from tests.peers.accuracy.study import measure


def ablate(build: Path, minilm: Path) -> None:
    """`tests.peers.ablation` on the study's sentences."""
    sentences = build / "sentences.txt"
    sentences.write_text("".join(f"{each}\n" for each in sts_sentences()), encoding="utf-8")
    command = [sys.executable, "-m", "tests.peers.ablation", str(minilm), str(sentences), "--json"]
    (build / "ablation.json").write_bytes(subprocess.check_output(command))


def take_times(build: Path, minilm: Path) -> None:
    files = {"ours, fast": "ours-fast", "ours, best": "ours-best", "TensorFlow Lite PTQ": "int8"}
    folder = build / "models" / PRETRAINED
    cost.measure(minilm, {name: folder / f"{stem}.tflite" for name, stem in files.items()}, build)


def write(build: Path, minilm: Path) -> None:
    collection.collect(build, minilm)
    report.main()


def main() -> int:
    parser = argparse.ArgumentParser(description="compare ways to integers; what BUILD already holds is not redone")
    parser.add_argument("build", type=Path, help="folder for checkpoints, models, environments and measurements")
    parser.add_argument("--minilm", type=Path, required=True, help="checkpoint folder of all-MiniLM-L6-v2")
    parser.add_argument("--step", action="append", choices=STEPS, help="only this one; all in this order by default")
    arguments = parser.parse_args()
    # one thread everywhere: the figures are to be had again on any machine, and this one has other work
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    arguments.build.mkdir(parents=True, exist_ok=True)
    build, minilm = arguments.build.resolve(), arguments.minilm.resolve()
    for step in arguments.step or STEPS:
        STEPS[step](build, minilm)
    return 0


STEPS: dict[str, Callable[[Path, Path], None]] = {
    "train": train,
    "measure": lambda build, minilm: measure(list(cases(build, minilm)), list(METHODS), build),
    "calibration": lambda build, minilm: calibration_size.sweep(minilm, build),
    "ablation": ablate,
    "cost": take_times,
    "report": write,
}

if __name__ == "__main__":
    sys.exit(main())
