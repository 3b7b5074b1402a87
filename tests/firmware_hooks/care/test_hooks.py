"""Users' programs, really run."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

import pytest

from firmware_hooks.care import hooks as running
from firmware_hooks.care.hooks import Hooks


def write(folder: Path, name: str, text: str, mode: int = 0o755) -> Path:
    place = folder / "on-ready" / name
    place.parent.mkdir(exist_ok=True)
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(mode)
    return place


def finish(hooks: Hooks) -> None:
    """Until nothing is due any more."""
    end = time.monotonic() + 20
    while hooks.busy:
        assert time.monotonic() < end
        hooks.tick(time.monotonic())
        if hooks._process is not None:
            ended = os.pidfd_open(hooks._process.pid)
            select.select([ended], [], [], 0.1)
            os.close(ended)


def gone(pid: int) -> bool:
    """Whether a process ends, reaped or not; one that was killed does so when its turn comes on a busy machine."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


def test_in_order_with_their_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks run one after the other by their names, and get what is documented and nothing of Python's or systemd's."""
    said = tmp_path / "said"
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    write(tmp_path, "20-second", f"echo second >> {said}")
    write(tmp_path, "10-first", f"sleep 0.2; env >> {said}; echo first >> {said}; exit 3")
    write(tmp_path, "30-third", f'echo "$EDGE_EVENT $EDGE_STATE" >> {said}')
    write(tmp_path, "15-not-executable", f"echo never >> {said}", 0o644)
    write(tmp_path, "15-editor~", f"echo never >> {said}")
    write(tmp_path, ".hidden", f"echo never >> {said}")
    hooks = Hooks(tmp_path, 10)
    hooks.fire("on-ready", {"EDGE_STATE": "ready"})
    finish(hooks)
    lines = said.read_text().splitlines()
    assert [line for line in lines if "=" not in line] == ["first", "second", "on-ready ready"]
    variables = {line.partition("=")[0] for line in lines if "=" in line}
    assert {"PATH", "EDGE_EVENT", "EDGE_STATE"} <= variables
    assert not variables & {"PYTHONPATH", "NOTIFY_SOCKET"}


def test_one_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that takes too long is ended, whatever it ignores, with all it started; the next one runs."""
    monkeypatch.setattr(running, "GRACE", 0.2)
    pids, said = tmp_path / "pids", tmp_path / "said"
    write(tmp_path, "10-hangs", f"trap '' TERM\nsleep 1000 &\necho $$ $! > {pids}\nwait; wait; sleep 1000")
    write(tmp_path, "20-next", f"echo next > {said}")
    hooks = Hooks(tmp_path, 1.0)
    hooks.fire("on-ready", {})
    finish(hooks)
    assert said.read_text() == "next\n"
    assert all(map(gone, map(int, pids.read_text().split())))


def test_what_cannot_be_run_and_what_is_too_much(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is no program is told and passed over; of too many events the oldest are left out."""
    bad = write(tmp_path, "10-bad", "")
    bad.write_text("#!/nowhere\n")
    said = tmp_path / "said"
    write(tmp_path, "20-good", f"echo $EDGE_NUMBER >> {said}")
    hooks = Hooks(tmp_path, 10)
    for number in range(running.MAX_WAITING):
        hooks.fire("on-ready", {"EDGE_NUMBER": str(number)})
    finish(hooks)
    assert said.read_text().split() == [str(n) for n in range(running.MAX_WAITING // 2, running.MAX_WAITING)]
    assert "cannot be run" in caplog.text
    assert "left out" in caplog.text


def test_closing_ends_the_one_that_runs(tmp_path: Path) -> None:
    """At the end no hook lives on."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    write(tmp_path, "10-runs", f"echo $$ > {fifo}; exec sleep 1000")
    hooks = Hooks(tmp_path, 100)
    hooks.fire("on-ready", {})
    hooks.tick(time.monotonic())
    pid = int(fifo.read_text())
    hooks.close()
    assert gone(pid)
    assert not hooks.busy


def test_no_folder(tmp_path: Path) -> None:
    """Without hooks nothing happens."""
    hooks = Hooks(tmp_path / "nowhere", 10)
    hooks.fire("on-ready", {})
    assert not hooks.busy
