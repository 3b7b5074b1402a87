"""The tree that a board gets, run by its own commands on every kind of core."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from firmware_hooks.payload import Target, build
from firmware_hooks.payload.assembly import KEYS, MODELS
from firmware_hooks.payload.release import CURRENT
from tests.arm.emulation import Userland

pytestmark = pytest.mark.arm

BOARDS = [
    ("arm64", "cortex-a53", Target("aarch64", "3.11"), "litert"),
    ("arm64", "cortex-a76", Target("aarch64", "3.11"), "litert-compiled"),
    ("arm64", "cortex-a72", Target("aarch64", "3.11", "tflite"), "tflite-runtime"),
    ("armhf", "cortex-a7", Target("armv7l", "3.11"), "tflite-runtime"),
]


@cache
def tree(target: Target) -> Path:
    """Built once for all cores."""
    folder = Path(mkdtemp(prefix="edge-payload-"))
    build(target, folder / "tree")
    return folder / "tree"


@pytest.mark.parametrize(("userland", "core", "target", "backend"), BOARDS, ids=str)
def test_commands_run(userland: str, core: str, target: Target, backend: str, tmp_path: Path) -> None:
    """The launchers answer with the packages beside them: no hub client, no accelerator, no installer."""
    root = tree(target)
    emulated = Userland(Path(os.environ.get("EDGE_ARM", "build/arm"), userland)).root.resolve()
    # -S: nothing but the release's packages; Debian's NumPy is where 32-bit boards have theirs
    alone = [] if target.from_system else ["-S"]

    def run(command: str, *arguments: str) -> str:
        environment = {
            "PATH": os.defpath,
            "HOME": str(tmp_path),
            "QEMU_CPU": core,
            "LC_ALL": "C.UTF-8",
            "ARM_RUNTIME": target.runtime,
        }
        launcher = root / CURRENT / "bin" / command
        done = subprocess.run(
            [emulated / "run", "-I", "-W", "ignore", *alone, launcher, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    answer = json.loads(run("edge-runtime", "ask", "turn off the kitchen lights", "--json"))
    assert "lightoff" in json.dumps(answer)
    findings = json.loads(run("edge-runtime", "doctor", "--json"))
    assert backend in json.dumps(findings)
    slots = ["--models", str(root / MODELS), "--keys", str(root / KEYS)]
    (model,) = json.loads(run("edge-flash", "model", "status", "--json", *slots))["models"]
    assert (model["slots"]["a"]["state"], model["slots"]["a"]["wrong"]) == ("good", None)
    assert "card" not in run("edge-flash", "--help")
    assert run("edge-boards", "detect")
