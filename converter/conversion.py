"""The line of stages from a checkpoint folder to a model file."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from converter import card, checkpoint, evaluation, flatbuffer, inspection, model_file, trained, verdict
from converter.arrangement import EFFORTS, Effort, Progress, arrange, follow
from converter.calibration import LONGEST, MOST_TEXTS, default_texts, encode, read_texts
from converter.errors import CalibrationError, ConverterError, FormatError
from converter.inspection import Inspection
from converter.plan import Plan
from edge_runtime.manifest import NAME

HELD_OUT = 8
"""one text in so many is not calibrated on but measured with …"""
MOST_HELD_OUT = 32
"""… up to this many"""
TRAINED = "trained"
"""in place of an effort: the checkpoint says how it is to be quantised"""


@dataclass(frozen=True)
class Report:
    """What came of a conversion."""

    inspection: Inspection
    effort: str
    """that was asked for, or `trained`: the checkpoint says how it is to be quantised"""
    accuracy: dict[str, Any]
    """on held-out calibration text, as the file's manifest has it; empty where there was too little"""
    warnings: list[str]
    """sentences: what is not as good as it should be, and what to do"""
    calibration_texts: int
    calibration_tokens: int
    outlier_channels: list[int]
    """of the residual stream, that have tensors of their own in front of some LayerNorm"""
    overflow_neurons: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def convert(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    calibration: str | os.PathLike[str] | None = None,
    heads: Sequence[str] | None = None,
    name: str | None = None,
    effort: Effort = "best",
    progress: Progress | None = None,
) -> Report:
    """Turn a checkpoint folder into one fully-integer model file.

    Args:
        source: a Hugging Face folder (`converter.checkpoint.read` says what may be in it).
        output: the `.tflite` to write; an older file is replaced in one step.
        calibration: texts, one per line (text<TAB>text is a pair); a general English sample by default. A few
            hundred lines like those that the model will see are enough.
        heads: which heads of a base model to make (`converter.checkpoint.read`).
        name: the model's name in its manifest: letters, digits and `._-`; made from the output's file name by default.
        effort: `fast`, or `best` (about twice the time), which rounds weights with an eye on what the layers compute.
            A checkpoint trained with `--quantisation-aware` brings its own ranges and needs neither.
        progress: called as the work goes on.

    Raises:
        ConverterError: with what is wrong and where.
    """
    source, output = Path(source), Path(output)
    texts = None if calibration is None else Path(calibration)
    # what can be told at once is not found out after minutes of work
    checked = _name(output.stem) if name is None else name
    if not NAME.fullmatch(checked):
        raise FormatError(f"{name!r} is no model's name: use up to 100 letters, digits, '.', '_' and '-'")
    if effort not in EFFORTS:
        raise ConverterError(f"there is no effort {effort!r}: choose one of {', '.join(EFFORTS)}")
    if not output.parent.is_dir():
        raise FormatError(f"{output} cannot be written: there is no folder {output.parent}")
    with threadpool_limits(limits=1, user_api="blas"):
        return _convert(source, output, texts, heads, checked, effort, progress or (lambda *_: None))


def _convert(
    source: Path,
    output: Path,
    calibration: Path | None,
    heads: Sequence[str] | None,
    name: str,
    effort: Effort,
    say: Progress,
) -> Report:
    say("checkpoint", 0, 1)
    network = checkpoint.read(source, heads)
    say("checkpoint", 1, 1)
    lines = default_texts() if calibration is None else read_texts(calibration)
    lines, held_out = split(lines[: MOST_TEXTS + MOST_HELD_OUT])
    samples = encode(network, lines, LONGEST)
    tokens = sum(s["ids"].shape[1] for s in samples)
    if not samples:
        raise CalibrationError("the tokenizer finds no token in the calibration text")
    # other heads than the checkpoint's own were not trained
    settled = trained.read(source) if heads is None else None
    if settled is None:
        done: str = effort
        arranged = arrange(network, samples, effort, say)
    else:
        done = TRAINED
        arranged = follow(network, settled.plan, settled.ranges, say)
    content = flatbuffer.write(arranged.integers, name)
    plan = arranged.plan
    quantisation = {
        "scheme": "int8 activations, one scale a tensor; int8 weights, one scale an output channel; int32 biases",
        "effort": done,
        "calibration": {
            "texts": len(samples),
            "tokens": tokens,
            "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        },
        "outlier_channels": plan.giants,
        "overflow_neurons": _overflow_neurons(plan),
    }
    accuracy: dict[str, Any] = {}
    if held_out:
        scores = evaluation.simulate(network, arranged, held_out, lambda done, of: say("evaluation", done, of))
        accuracy = {"texts": len(held_out), "heads": evaluation.summary(scores)}
    about = model_file.manifest(
        network, arranged.integers, content, name=name, quantisation=quantisation, accuracy=accuracy
    )
    entries = {
        model_file.MANIFEST: json.dumps(about, ensure_ascii=False, indent=1),
        model_file.TOKENIZER: network.tokenizer,
        model_file.CARD: card.write(about, network.details),
        model_file.PLAN: json.dumps(plan.to_json()),
    }
    model_file.write(output, model_file.assemble(content, entries))
    say("report", 0, 1)
    report = Report(
        inspection=inspection.inspect(output),
        effort=done,
        accuracy=accuracy,
        warnings=verdict.warnings(accuracy, done),
        calibration_texts=len(samples),
        calibration_tokens=tokens,
        outlier_channels=plan.giants,
        overflow_neurons=_overflow_neurons(plan),
    )
    say("report", 1, 1)
    return report


def _name(stem: str) -> str:
    """A file name as a model's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:100] or "model"


def split(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """→ texts to calibrate on, texts to measure with; none of the latter where there are few."""
    if len(lines) < 2 * HELD_OUT:
        return list(lines), []
    held_out = list(lines[::HELD_OUT])[:MOST_HELD_OUT]
    chosen = set(held_out)
    return [line for line in lines if line not in chosen][:MOST_TEXTS], held_out


def _overflow_neurons(plan: Plan) -> int:
    return sum(len(h.overflow) for layer in plan.layers for h in layer.hidden)
