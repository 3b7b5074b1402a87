"""A cache of the tests' own, and what the marked groups need, named by the environment; missing is an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import converted

# a busy machine is no failure
settings.register_profile("usual", deadline=None)
# emulated cores are twenty times slower; the same examples are tried at full length on the workstation
settings.register_profile(
    "emulated", deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile(os.environ.get("EDGE_TEST_EXAMPLES", "usual"))


def named_by(variable: str, what: str) -> Path:
    """The path in an environment variable.

    Raises:
        pytest.UsageError: the variable is unset or the path does not exist.
    """
    value = os.environ.get(variable)
    if not value or not Path(value).exists():
        raise pytest.UsageError(f"{variable} must name {what} (CONTRIBUTING.md); it is {value or 'unset'}")
    return Path(value).absolute()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test touches the user's own weight cache, or is told by the user's environment or tuning how to run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_RUNTIME_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("EDGE_RUNTIME_BACKEND", raising=False)
        patch.setenv("EDGE_RUNTIME_TUNING", "off")
        yield


@pytest.fixture(scope="session", autouse=True)
def _converted_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Models that several tests, and the processes of pytest-xdist, convert are converted by the first."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= "converted"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        if converted.FOLDER not in os.environ:
            patch.setenv(converted.FOLDER, str(folder))
        yield


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
