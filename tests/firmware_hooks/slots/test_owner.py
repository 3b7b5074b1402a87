"""Root at work in the folder of the server's user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.firmware_hooks.slots.releases import NAME, Releases
from tests.firmware_hooks.slots.test_flash import run, said

pytestmark = pytest.mark.flash

OWNER = 65534
"""nobody"""


def test_what_root_writes_is_the_owners(tmp_path: Path, releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    """What root pushes, confirms and starts in another user's folder is that user's, who can go on there."""
    models = tmp_path / "models"
    models.mkdir()
    os.chown(models, OWNER, OWNER)
    monkeypatch.setenv("EDGE_FLASH_MODELS", str(models))
    monkeypatch.setenv("EDGE_FLASH_KEYS", str(releases.keys))
    pushed = said("model", "push", releases.models[1], "--signature", releases.signature(1))
    assert pushed["state"] == "trial"
    assert said("model", "start")["models"][0]["name"] == NAME
    assert said("model", "confirm")["state"] == "good"
    found = list(models.rglob("*"))
    assert len(found) > 5
    assert {(each.lstat().st_uid, each.lstat().st_gid) for each in found} == {(OWNER, OWNER)}
    assert run("model", "status").exit_code == 0
