"""Releases that all tests share, and slots with one good model in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_hooks.slots.slots import Slots
from tests.firmware_hooks.power_cuts import scenarios
from tests.firmware_hooks.slots import releases as made
from tests.firmware_hooks.slots.releases import Releases


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    """Versions 1 to 4 of a model, and the key they are signed with."""
    return made.make(tmp_path_factory.mktemp("releases"), made.VERSIONS)


@pytest.fixture
def slots(tmp_path: Path, releases: Releases) -> Slots:
    """Slots of a board on which version 1 is good; the self-test only reads."""
    found = scenarios.slots(tmp_path / "models", releases)
    scenarios.one(found, releases)
    return found
