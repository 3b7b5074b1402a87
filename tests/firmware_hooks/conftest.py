"""What needs compilers is built once for all tests."""

import os
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.firmware_hooks import c_client
from tests.serve.server import Server


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The C client, with undefined behaviour and bad addresses trapped."""
    return c_client.build(tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bare-metal example built for both boards."""
    folder = tmp_path_factory.mktemp("firmware")
    c_client.build_boards(folder)
    return folder


class Terminal:
    """A terminal's end as a port: reading does not wait."""

    def __init__(self, end: int) -> None:
        self._end = end
        os.set_blocking(end, False)

    def read(self, most: int) -> bytes | None:
        try:
            return os.read(self._end, most)
        except BlockingIOError:
            return None

    def write(self, data: bytes) -> int:
        return os.write(self._end, data)


@pytest.fixture
def assistant_port(tmp_path: Path) -> Iterator[Terminal]:
    """A port with a server at its other end."""
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    name = os.ttyname(theirs)
    os.close(theirs)
    with Server(tmp_path, "--serial", f"{name}?baud=115200"):
        yield Terminal(ours)
    os.close(ours)
