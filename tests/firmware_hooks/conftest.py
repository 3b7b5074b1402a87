"""What needs compilers is built once for all tests."""

from pathlib import Path
from typing import Any

import pytest

from tests.firmware_hooks import c_client


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
