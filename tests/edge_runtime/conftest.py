"""Real model files, made once a session by the converter from tiny checkpoints, and a cache folder for the tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_runtime.model import Model, load
from tests.edge_runtime import tiny_models


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A model file for each checkpoint of `tiny_checkpoint.CONFIGS`, and `other`: `assistant` with other weights."""
    return tiny_models.convert_all(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True, scope="session")
def _cache_for_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test touches the user's own cache; one that needs an empty one sets EDGE_RUNTIME_CACHE again."""
    patch = pytest.MonkeyPatch()
    patch.setenv("EDGE_RUNTIME_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.delenv("EDGE_RUNTIME_BACKEND", raising=False)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDGE_RUNTIME_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def assistant(models: Mapping[str, Path]) -> Model:
    """The intent and slot model, loaded once."""
    return load(models["assistant"])
