"""Installations over a real sshd, with the wheels of the lock; the server that is started is the real one.

There is no systemd where tests run: `systemctl` is a script that starts and stops the installed server.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from firmware_hooks.errors import HookError
from firmware_hooks.install import remote
from tests.firmware_hooks import sshd
from tests.firmware_hooks.install import small

pytestmark = pytest.mark.flash

REPOSITORY = Path(__file__).resolve().parents[3]
SYSTEMCTL = """\
#!/bin/sh
# systemctl, as far as an installation needs it
R=@ROOT@
case "$*" in
    "stop edge-runtime.service"*|"stop edge-runtime.socket"*)
        [ -f $R/pid ] || exit 0
        kill "$(cat $R/pid)"
        while kill -0 "$(cat $R/pid)" 2> /dev/null; do sleep 0.1; done
        rm $R/pid ;;
    "restart edge-runtime.service")
        rm -f $R/run/edge-runtime/edge.sock
        $R/opt/edge-runtime/current/bin/edge-runtime serve --slots $R/var/lib/edge-runtime/models \\
            --socket $R/run/edge-runtime/edge.sock > $R/log 2>&1 < /dev/null &
        echo $! > $R/pid
        while [ ! -S $R/run/edge-runtime/edge.sock ]; do
            kill -0 "$(cat $R/pid)" 2> /dev/null || { echo "Job for edge-runtime.service failed" >&2; exit 1; }
            sleep 0.1
        done ;;
    "restart --no-block"*|"restart edge-runtime.socket"|daemon-reload) ;;
    *) exit 1 ;;
esac
"""
"""the server needs no other packages than those installed: it is started by the very launcher"""


@dataclass(frozen=True)
class Board:
    """A root folder, and an sshd that leads to it."""

    root: Path
    url: str
    ssh: str

    def flash(self, *arguments: object, ssh: str = "") -> subprocess.CompletedProcess[str]:
        """`edge-flash ssh` as a process, as a workstation starts it."""
        command = [sys.executable, "-m", "firmware_hooks.flash.cli", "ssh", self.url, "--root", self.root, *arguments]
        environment = {**os.environ, "EDGE_FLASH_SSH": ssh or self.ssh}
        return subprocess.run(
            [*map(str, command)], capture_output=True, text=True, check=False, cwd=REPOSITORY, env=environment
        )

    def said(self, *arguments: object) -> Any:
        done = self.flash(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ask(self) -> str:
        """What the running server says, asked by the installed command."""
        url = f"unix://{self.root}/run/edge-runtime/edge.sock"
        command = [
            str(self.root / "opt/edge-runtime/current/bin/edge-runtime"),
            "call",
            url,
            "turn off the kitchen lights",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    root = tmp_path / "root"
    for folder in ("run/systemd/system", "run/edge-runtime", "bin"):
        (root / folder).mkdir(parents=True)
    command = root / "bin/systemctl"
    command.write_text(SYSTEMCTL.replace("@ROOT@", str(root)))
    command.chmod(0o755)
    with sshd.running(environment={"PATH": f"{root}/bin:/usr/bin:/bin"}) as daemon:
        try:
            yield Board(root, f"ssh://root@127.0.0.1:{daemon.port}", daemon.ssh)
        finally:
            with suppress(OSError, ValueError):
                os.kill(int((root / "pid").read_text()), signal.SIGKILL)


def test_from_nothing_to_an_answer_and_back(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at, installed, answering; again; a release that does not start is gone back from; taken away."""
    plan = board.said("--dry-run")
    assert plan["system"]["current"] is None
    assert not (board.root / "opt").exists()

    # the connection breaks after five of thirty megabytes
    cut = tmp_path / "ssh-that-breaks"
    cut.write_text(
        f"#!{sys.executable}\nimport os, subprocess, sys\n"
        f"ssh = subprocess.Popen({board.ssh.split()!r} + sys.argv[1:], stdin=subprocess.PIPE)\n"
        "left = 5_000_000\n"
        "while left > 0 and (piece := os.read(0, min(left, 65536))):\n"
        "    ssh.stdin.write(piece); ssh.stdin.flush(); left -= len(piece)\n"
        "ssh.stdin.close(); sys.exit(ssh.wait())\n"
    )
    cut.chmod(0o755)
    broken = board.flash(ssh=str(cut))
    assert broken.returncode == 1
    assert "goes on from there" in broken.stderr
    (arrived,) = (board.root / "opt/edge-runtime/incoming").iterdir()
    assert 0 < arrived.stat().st_size < 5_000_000

    first = board.said()
    assert first["release"] == plan["release"]
    assert (first["started"], first["previous"], first["models"]) == (True, None, ["assistant"])
    assert "iot_hue_lightoff" in board.ask()
    served = (board.root / "pid").read_text()

    # a release whose server ends at once
    broken_server = {"edge_runtime/commands/serve.py": b"raise SystemExit(7)\n"}
    made = small.make(tmp_path / "bad", monkeypatch, broken_server)
    monkeypatch.setenv("EDGE_FLASH_SSH", board.ssh)
    with pytest.raises(HookError, match=rf"went back to {first['release']}, which answers"):
        remote.order(board.url, made.order(root=str(board.root)), sudo=False, archive=made.path)
    assert small.whole(board.root) == first["release"]
    assert "iot_hue_lightoff" in board.ask()
    assert (board.root / "pid").read_text() != served

    gone = board.said("--uninstall", "--purge")
    assert "/opt/edge-runtime" in gone["removed"]
    left = [path for path in board.root.rglob("*edge-runtime*") if "run/" not in str(path)]
    assert left == []


def test_refusals(board: Board) -> None:
    """A board that cannot be reached, or whose shell says something first, is one sentence."""
    away = Board(board.root, "ssh://root@127.0.0.1:9", board.ssh).flash()
    assert away.returncode == 1
    assert "did not answer" in away.stderr
    assert board.flash("--purge").stderr.strip().endswith("--purge goes with --uninstall")
    assert "Traceback" not in away.stderr
