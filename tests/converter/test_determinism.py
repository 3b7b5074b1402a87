"""Equal inputs give equal files: on every CPU, whatever its vector instructions, BLAS kernels and number of threads."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.converter.random_checkpoint import make

CONVERT = """\
import sys
import converter, converter.conversion
from contextlib import nullcontext
if sys.argv[4] != "1":
    converter.conversion.threadpool_limits = lambda **_: nullcontext()
converter.convert(sys.argv[1], sys.argv[2], calibration=sys.argv[3], name="same")
"""


def machines() -> dict[str, dict[str, str]]:
    """Environments that make this machine compute as others do: the newest kernels are those that it can run."""
    found = probed()
    newest = "SkylakeX" if {"X86_V4", "AVX512_SKX"} & set(found) else "Sandybridge"
    kernels = {name: {"OPENBLAS_CORETYPE": name} for name in ("Prescott", "Haswell", newest)}
    return {
        "as it is": {},
        **kernels,
        "two threads": {"OPENBLAS_NUM_THREADS": "2"},
        "no vectors": {"NPY_DISABLE_CPU_FEATURES": " ".join(found)},
    }


def probed() -> list[str]:
    """The instruction sets that NumPy would use here and can do without."""
    probe = "from numpy._core._multiarray_umath import __cpu_dispatch__ as d, __cpu_features__ as f; "
    probe += "print(*[name for name in d if f[name]])"
    return subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough that BLAS cuts its products into blocks."""
    folder = tmp_path_factory.mktemp("determinism")
    sizes: dict[str, Any] = {"hidden_size": 96, "intermediate_size": 192, "initializer_range": 0.2}
    make(folder / "checkpoint", "SqueezeBertForSequenceClassification", embedding_size=96, **sizes)
    words = ["turn", "off", "the", "light", "é", "e", "中", ","]
    lines = [" ".join(words[(i * j) % 8] for j in range(1, 3 + i % 9)) for i in range(40)]
    (folder / "texts").write_text("\n".join(lines), encoding="utf-8")
    return folder


def digest(folder: Path, name: str, environment: dict[str, str]) -> str:
    """Of the file that a process of its own makes."""
    output = folder / f"{name.replace(' ', '-')}.tflite"
    threads = environment.get("OPENBLAS_NUM_THREADS", "1")
    command = [sys.executable, "-c", CONVERT, str(folder / "checkpoint"), str(output), str(folder / "texts"), threads]
    result = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return hashlib.sha256(output.read_bytes()).hexdigest()


def test_file_is_the_same_on_every_cpu(checkpoint: Path) -> None:
    """BLAS kernels of three generations, two threads, and NumPy without vector instructions give one file."""
    digests = {name: digest(checkpoint, name, environment) for name, environment in machines().items()}
    assert len(set(digests.values())) == 1, digests
