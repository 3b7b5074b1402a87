"""What the marked groups of tests need, found through the environment. Missing is an error, not a skip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def named_by(variable: str, what: str) -> Path:
    """The path in an environment variable.

    Raises:
        pytest.UsageError: the variable is unset or the path does not exist.
    """
    value = os.environ.get(variable)
    if not value or not Path(value).exists():
        raise pytest.UsageError(f"{variable} must name {what} (CONTRIBUTING.md); it is {value or 'unset'}")
    return Path(value).absolute()


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder with all-MiniLM-L6-v2's config, weights and tokenizer."""
    return named_by("EDGE_MINILM", "the unpacked checkpoint of all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def base() -> Path:
    """The folder with SqueezeBERT-base's checkpoint and, beside it, the model.tflite converted from it."""
    return named_by("EDGE_BASE", "SqueezeBERT-base's checkpoint with model.tflite in it")


@pytest.fixture(scope="session")
def tflite_python() -> Path:
    """An interpreter whose packages are tflite-runtime's."""
    return named_by("EDGE_TFLITE_PYTHON", "a Python with tflite-runtime 2.14.0")
