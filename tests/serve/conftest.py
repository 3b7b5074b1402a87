"""Servers for the tests of this folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.server import Server


@pytest.fixture(scope="session", autouse=True)
def _cache_for_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test touches the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_RUNTIME_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("EDGE_RUNTIME_BACKEND", raising=False)
        yield


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty folder whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="edge-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def server(_cache_for_session: None) -> Iterator[Server]:
    """A server with the bundled assistant that all tests of the session share; none may change its state."""
    with tempfile.TemporaryDirectory(prefix="edge-") as folder, Server(Path(folder)) as started:
        yield started
