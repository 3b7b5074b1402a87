"""Small releases: our own packages and one model, in the very form that boards get; no wheel is needed for them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from firmware_hooks.install import bundle
from firmware_hooks.install.bundle import Bundle
from firmware_hooks.install.on_board import probe
from firmware_hooks.payload import pins, wheels
from firmware_hooks.payload.target import Target

ON_BOARD = Path(bundle.__file__).with_name("on_board.py")
PYTHON = "/usr/bin/python3"
"""the system's own: what a board runs the installer with"""


def here() -> Target:
    """This machine, for its own Python."""
    found = probe(Path("/"))
    command = [PYTHON, "-I", "-c", "import sys; print(*sys.version_info[:2], sep='.')"]
    asked = subprocess.run(command, capture_output=True, text=True, check=True)
    return Target(found["machine"], asked.stdout.strip())


def make(folder: Path, monkeypatch: pytest.MonkeyPatch, more: Mapping[str, bytes] | None = None) -> Bundle:
    """A bundle without third parties' packages.

    Args:
        folder: to make it in.
        monkeypatch: leaves the lock file out.
        more: files of our own packages to replace or add.
    """
    from firmware_hooks.payload import packages

    own = packages.own()
    monkeypatch.setattr(pins, "read", lambda _: [])
    monkeypatch.setattr(wheels, "gather", lambda *_: {})
    monkeypatch.setattr(packages, "own", lambda: {**own, **(more or {})})
    folder.mkdir()
    return bundle.make(here(), folder, models=["assistant"], key=None, trusted=[], wheels=None)


def install(root: Path, made: Bundle, content: bytes | None = None, **order: Any) -> tuple[dict[str, Any], list[str]]:
    """Let a process of the system's own Python install a bundle → its last answer, and the steps before.

    Args:
        root: of the file system.
        made: the bundle.
        content: what arrives; the archive if None.
        order: as in `on_board`.
    """
    with subprocess.Popen([PYTHON, "-I", ON_BOARD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(made.order(root=str(root), **order)).encode() + b"\n")
        process.stdin.flush()
        answers: list[dict[str, Any]] = []
        for line in process.stdout:
            answers.append(json.loads(line))
            if "offset" in answers[-1]:
                rest = (made.path.read_bytes() if content is None else content)[answers[-1]["offset"] :]
                try:
                    process.stdin.write(rest)
                    process.stdin.close()
                except BrokenPipeError:
                    pass
    return answers[-1], [str(answer["step"]) for answer in answers if "step" in answer]


def whole(root: Path) -> str | None:
    """The release that `current` leads to, every byte of which is as its list says; None if there is none yet."""
    link = root / "opt/edge-runtime/current"
    if not link.is_symlink():
        return None
    files = json.loads((link / "release.json").read_text())["files"]
    for name, digest in files.items():
        if not digest.startswith("-> "):
            assert hashlib.sha256((link / name).read_bytes()).hexdigest() == digest, name
    return Path(link.readlink()).name


def runs(root: Path) -> bool:
    """Whether the installed `edge-flash` sees a verified model in its slots."""
    environment = {
        "PYTHONPATH": str(root / "opt/edge-runtime/current/packages"),
        "EDGE_FLASH_MODELS": str(root / "var/lib/edge-runtime/models"),
        "EDGE_FLASH_KEYS": str(root / "etc/edge-runtime/keys"),
    }
    code = "from firmware_hooks.flash.cli import main; main()"
    command = [sys.executable, "-c", code, "model", "status", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (model,) = json.loads(done.stdout)["models"]
    return bool(model["slots"]["a"]["state"] == "good" and model["slots"]["a"]["wrong"] is None)
