"""Every way from a checkpoint to outputs: a file made once under a folder, and a run of it on token ids."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import converter
from converter.arrangement import Effort
from converter.calibration import LONGEST, MOST_TEXTS, default_texts, encode, read_texts
from converter.network import Network
from tests.integer_walk import walk
from tests.peers import environments
from tests.peers.accuracy import exchange, onnx_peer, tflite
from tests.peers.accuracy.tflite import Outputs, run_ours

CALIBRATION_FILE = "calibration.txt"
"""in a checkpoint's folder: a sample of what it was trained on; the converter's own sample where there is none"""


@dataclass(frozen=True)
class Subject:
    """A checkpoint, and the folder in which whatever is made of it is kept."""

    checkpoint: Path
    network: Network
    folder: Path
    build: Path
    """where `environments` keeps the peers'"""

    @property
    def calibration(self) -> Path | None:
        path = self.checkpoint / CALIBRATION_FILE
        return path if path.exists() else None

    def calibration_ids(self) -> list[list[int]]:
        """What everyone calibrates on; our converter keeps an eighth of it for its report."""
        lines = default_texts() if self.calibration is None else read_texts(self.calibration)
        return [sample["ids"][0].tolist() for sample in encode(self.network, lines[:MOST_TEXTS], LONGEST)]


@dataclass(frozen=True)
class Made:
    """A model file, what making it took, and how to run it."""

    path: Path
    seconds: float
    run: Callable[[Path, Sequence[Sequence[int]]], Outputs]


def float32(subject: Subject) -> Made:
    """ONNX Runtime, of transformers' own classes."""
    return _made(subject, "float.onnx", lambda path: onnx_peer.export(subject.network, path), onnx_peer.run)


def onnx_static(subject: Subject) -> Made:
    return _onnx(subject, "static.onnx", lambda source, path: _static(subject, source, path, None))


def onnx_static_products(subject: Subject) -> Made:
    return _onnx(
        subject, "static-products.onnx", lambda source, path: _static(subject, source, path, onnx_peer.MATRIX_PRODUCTS)
    )


def onnx_dynamic(subject: Subject) -> Made:
    return _onnx(subject, "dynamic.onnx", onnx_peer.dynamic)


def tensorflow(subject: Subject) -> Made:
    return _made(subject, "int8.tflite", lambda _: _tensorflow(subject), tflite.run)


def ai_edge_quantizer(subject: Subject) -> Made:
    tensorflow(subject)  # it starts from TensorFlow's float conversion
    return _made(
        subject, "quantizer.tflite", lambda _: _elsewhere("quantizer", "quantizer_peer.py", subject), tflite.run
    )


def ours(effort: Effort) -> Callable[[Subject], Made]:
    def make(subject: Subject) -> Made:
        def convert(path: Path) -> None:
            converter.convert(subject.checkpoint, path, calibration=subject.calibration, effort=effort)

        return _made(subject, f"ours-{effort}.tflite", convert, run_ours)

    return make


METHODS: dict[str, Callable[[Subject], Made]] = {
    "float32": float32,
    "ours, fast": ours("fast"),
    "ours, best": ours("best"),
    "TensorFlow Lite PTQ": tensorflow,
    "ai-edge-quantizer": ai_edge_quantizer,
    "ONNX static": onnx_static,
    "ONNX static, products only": onnx_static_products,
    "ONNX dynamic": onnx_dynamic,
}


def float_tensors(model: Path) -> int | None:
    """How many of a TFLite file's tensors are floats; None for other files."""
    if model.suffix != ".tflite":
        return None
    return sum(tensor.type.startswith("float") for tensor in walk(model.read_bytes()).tensors)


def _made(
    subject: Subject,
    name: str,
    make: Callable[[Path], None],
    run: Callable[[Path, Sequence[Sequence[int]]], Outputs],
) -> Made:
    path = subject.folder / name
    began = time.perf_counter()
    if not path.exists():
        make(path)
    return Made(path, time.perf_counter() - began, run)


def _onnx(subject: Subject, name: str, make: Callable[[Path, Path], None]) -> Made:
    source = float32(subject).path
    prepared = subject.folder / "prepared.onnx"
    if not prepared.exists():
        onnx_peer.prepare(source, prepared)
    return _made(subject, name, lambda path: make(prepared, path), onnx_peer.run)


def _static(subject: Subject, source: Path, target: Path, operators: list[str] | None) -> None:
    onnx_peer.static(source, subject.calibration_ids(), target, operators)


def _tensorflow(subject: Subject) -> None:
    exchange.write_network(subject.network, subject.folder)
    exchange.write_texts(subject.calibration_ids(), subject.folder / exchange.CALIBRATION)
    _elsewhere("tensorflow", "tensorflow_peer.py", subject)


def _elsewhere(environment: str, program: str, subject: Subject) -> None:
    """Run one of the peers' programs with its own Python."""
    command = [
        environments.python(subject.build, environment),
        str(Path(__file__).with_name(program)),
        str(subject.folder),
    ]
    quiet = {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TQDM_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
    }
    subprocess.run(command, check=True, env={**os.environ, **quiet}, stdout=sys.stderr)
