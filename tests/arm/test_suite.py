"""The runtime's own tests on emulated cores: what of them is in CI, and what is left out."""

from __future__ import annotations

import subprocess
import sys
import tomllib

from tests.arm.emulation import REPOSITORY
from tests.arm.suite import COMPUTING, EVERYTHING, LEFT_OUT, MATRIX


def test_left_out_tests_exist() -> None:
    """Every test that is left out on ARM is one that pytest knows, so that none is left out by a name of the past."""
    entries = tomllib.loads(LEFT_OUT.read_text(encoding="utf-8"))["left_out"]
    names = [name for entry in entries for name in entry["tests"]]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--collect-only", *names]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert all(entry["because"] for entry in entries)


def test_what_runs() -> None:
    """The matrix has every backend, and the part that computes is a part of everything."""
    assert {run.backend for run in MATRIX} == {"litert-compiled", "litert", "tflite-runtime"}
    assert {run.userland for run in MATRIX} == {"arm64", "armhf"}
    assert all(path.startswith(EVERYTHING) and (REPOSITORY / path).exists() for path in COMPUTING)
