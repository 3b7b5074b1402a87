"""A server with a model for each operation, and both clients of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_runtime import Client, Model, load
from tests.edge_runtime.client.driver import KINDS, Driver
from tests.edge_runtime.client.hostile import Hostile, Talk
from tests.serve.server import Server

PATIENT = ("--deadline-ms", "60000")
"""options of a server that refuses nobody because the machine is busy"""
SERVED = ("assistant", "classification", "tags", "answer", "fill", "choice", "embedding")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty folder whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="edge-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def server(models: Mapping[str, Path]) -> Iterator[Server]:
    """A server that no test may stop, with all of `SERVED`."""
    with (
        tempfile.TemporaryDirectory(prefix="edge-") as folder,
        Server(Path(folder), *PATIENT, models=[models[name] for name in SERVED]) as started,
    ):
        yield started


@pytest.fixture(scope="session")
def in_process(models: Mapping[str, Path]) -> Iterator[Mapping[str, Model]]:
    """The same models without a server."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(load(models[name])) for name in SERVED}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each of the clients."""
    found: str = request.param
    return found


@pytest.fixture
def driver(kind: str, server: Server) -> Iterator[Driver]:
    """Each of the clients, at `server`."""
    with Driver(kind, server.url, timeout=60.0) as made:
        yield made


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """The client that waits, at `server`."""
    with Client(server.url, timeout=60.0) as made:
        yield made


@pytest.fixture
def hostile(short_path: Path) -> Iterator[Callable[[Talk], Hostile]]:
    """Starts a server that talks to its clients as it is told."""
    with ExitStack() as stack:
        yield lambda talk: stack.enter_context(Hostile(short_path, talk))
