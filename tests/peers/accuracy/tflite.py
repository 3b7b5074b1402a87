"""Runs TFLite files on token ids, ours and others', in the same LiteRT kernels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import edge_runtime
from converter.network import Array

Outputs = list[dict[str, Array]]
"""of each text, by head: [S, labels], or [1, labels] where the head pools"""


def run(model: Path, texts: Iterable[Sequence[int]]) -> Outputs:
    """Run `model`, whose one signature maps `ids` [1, S] to the heads, on each of `texts` at its exact length."""
    interpreter = Interpreter(str(model), num_threads=1)
    runner = interpreter.get_signature_runner()
    details = runner.get_output_details()
    results = []
    for ids in texts:
        outputs = runner(ids=np.array([ids], np.int32))
        results.append({name: _real(value, details[name]) for name, value in outputs.items()})
    return results


def run_ours(model: Path, texts: Sequence[Sequence[int]]) -> Outputs:
    """Run one of our own model files, as any user of it would."""
    # no cache of packed weights: a study's models are loaded once
    with edge_runtime.load(model, cache=False) as loaded:
        return [{n: np.asarray(v, np.float32) for n, v in loaded.run(list(ids)).items()} for ids in texts]


def _real(value: Any, detail: dict[str, Any]) -> Array:
    """Integers as what they stand for; floats as they are."""
    scale, zero_point = detail["quantization"]
    real: Array = value.astype(np.float32) if not scale else (value.astype(np.float32) - zero_point) * np.float32(scale)
    return real.reshape(-1, real.shape[-1])
