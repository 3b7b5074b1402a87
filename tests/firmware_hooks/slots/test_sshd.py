"""Models pushed over ssh to a real sshd on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.firmware_hooks import sshd
from tests.firmware_hooks.slots.releases import Releases

pytestmark = pytest.mark.flash

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def target(tmp_path: Path, releases: Releases, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a board: an sshd at the loopback, with a key bound to `edge-flash model receive`."""
    receive = (
        f"cd {REPOSITORY} && {sys.executable} -m firmware_hooks.flash.cli model receive --models {tmp_path}/models "
        f"--keys {releases.keys} --url unix://{tmp_path}/none.sock"
    )
    with sshd.running(f'restrict,command="{receive}"') as server:
        monkeypatch.setenv("EDGE_FLASH_SSH", server.ssh)
        yield f"ssh://root@127.0.0.1:{server.port}"


def flash(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`edge-flash` as a process, as a workstation starts it."""
    command = [sys.executable, "-m", "firmware_hooks.flash.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=os.environ)


def said(*arguments: object) -> Any:
    result = flash(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_push_status_rollback(target: str, releases: Releases) -> None:
    """A key that may do nothing but `model receive` is enough to push, look, confirm and roll back."""
    for version in (1, 2):
        releases.signature(version)
        pushed = said("model", "push", releases.models[version], "--to", target)
        assert (pushed["changed"], pushed["version"], pushed["state"]) == (True, version, "trial")
        assert said("model", "confirm", "--to", target)["state"] == "good"
    refused = flash("model", "push", releases.models[1], "--to", target)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "version 1 is not newer than 2" in refused.stderr
    assert said("model", "rollback", "--to", target)["version"] == 1
    states = {
        name: slot["state"] for name, slot in said("model", "status", "--to", target)["models"][0]["slots"].items()
    }
    assert states == {"a": "good", "b": "bad"}


def test_nobody_there(target: str) -> None:
    """An ssh that gets nowhere is one line, after what ssh itself says."""
    result = flash("model", "status", "--to", "ssh://root@127.0.0.1:9")
    assert result.returncode == 1
    assert "Connection refused" in result.stderr
    assert "did not answer (ssh ended with status 255)" in result.stderr
