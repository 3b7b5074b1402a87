"""Gathers what the study has left in its folder into docs/accuracy/results.json."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.peers.accuracy import calibration_size, results
from tests.peers.accuracy.cases import cases
from tests.peers.accuracy.study import measured
from tests.peers.environments import PACKAGES

HERE = ("ai-edge-litert", "numpy", "onnx", "onnxruntime", "torch", "transformers")
ELSEWHERE = ("tensorflow", "quantizer")


def collect(build: Path, minilm: Path) -> None:
    """Write what `build` holds."""
    results.write(
        {
            "machine": {"cpu": _cpu(), "threads": 1, "system": f"{platform.system()} {platform.machine()}"},
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in HERE},
                **dict(package.split("==") for name in ELSEWHERE for package in PACKAGES[name]),
            },
            "measurements": [asdict(each) for each in measured(cases(build, minilm), build)],
            "calibration size": [asdict(each) for each in calibration_size.points(build)],
            **dict(_parts(build)),
        }
    )


def _parts(build: Path) -> Iterator[tuple[str, Any]]:
    """Tables that other steps left."""
    for name in ("ablation", "cost", "instructions"):
        path = build / f"{name}.json"
        if path.exists():
            yield name, json.loads(path.read_text("utf-8"))


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
