"""`edge-runtime top`, on a real pseudo-terminal and on a pipe."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import Client, EdgeError
from tests.serve.server import Server

ROWS, COLUMNS = 24, 80
SECONDS = 60.0
"""until something must have been shown; a busy machine needs some"""
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
TEXT = "turn off the kitchen lights"


def top(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "edge_runtime.cli", "top", *arguments]


class Terminal:
    """`top` on a terminal of 80 by 24."""

    def __init__(self, url: str) -> None:
        self.master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        # what a shell starts in the background ignores SIGINT, and so do its children, unless somebody sees to it
        here = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                top(url, "--interval", "0.1"),
                stdin=self.slave,
                stdout=self.slave,
                stderr=self.slave,
                start_new_session=True,
                env={**environment, "TERM": "xterm"},
            )
        finally:
            signal.signal(signal.SIGINT, here)
        self.seen = b""

    def wait_for(self, what: bytes) -> None:
        """Read until it shows `what`, after all that was waited for before."""
        until = time.monotonic() + SECONDS
        while (place := self.seen.find(what)) < 0:
            assert select.select([self.master], [], [], max(0, until - time.monotonic()))[0], self.seen[-2000:]
            self.seen += os.read(self.master, 65536)
        self.seen = self.seen[place + len(what) :]

    def settings_are_back(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def end(self) -> int:
        return self.process.wait(SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@contextmanager
def terminal(url: str) -> Iterator[Terminal]:
    made = Terminal(url)
    try:
        yield made
    finally:
        made.close()


def test_screen(server: Server, client: Client) -> None:
    """It fills the other screen with the server's state, within 80 columns and 24 lines, and shows what happens."""
    with terminal(server.url) as shown:
        shown.wait_for(ENTER)
        shown.wait_for(b"ready")
        client.understand(TEXT)
        shown.wait_for(b"understand")
        shown.wait_for(b"\x1b[H")
        shown.wait_for(b"\x1b[H")
        page = shown.seen
        while b"\x1b[J" not in page:
            page += os.read(shown.master, 65536)
        lines = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", page.split(b"\x1b[J")[0]).decode().split("\r\n")
        assert len(lines) <= ROWS
        assert all(len(line) <= COLUMNS for line in lines), lines
        for word in ("requests", "queue", "connections", "streams", "cpu", "memory", "p50", "p95", "p99", "assistant"):
            assert any(word in line for line in lines), word


@pytest.mark.parametrize("key", [b"q", b"\x04"])
def test_key_ends_it(key: bytes, server: Server) -> None:
    """`q` ends it with status 0 and gives the terminal back."""
    with terminal(server.url) as shown:
        shown.wait_for(b"requests")
        os.write(shown.master, key)
        shown.wait_for(LEAVE)
        assert shown.end() == 0
        assert shown.settings_are_back()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_ends_it(number: signal.Signals, status: int, server: Server) -> None:
    """A signal ends it and gives the terminal back too; Ctrl-C is the usual way to leave and no failure."""
    with terminal(server.url) as shown:
        shown.wait_for(b"requests")
        shown.process.send_signal(number)
        shown.wait_for(LEAVE)
        assert shown.end() == status
        assert shown.settings_are_back()


def test_suspended(server: Server) -> None:
    """While it is suspended the terminal is the shell's; continued, it takes it again."""
    with terminal(server.url) as shown:
        shown.wait_for(b"requests")
        shown.process.send_signal(signal.SIGTSTP)
        _, state = os.waitpid(shown.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(state)
        shown.wait_for(LEAVE)
        assert shown.settings_are_back()
        shown.process.send_signal(signal.SIGCONT)
        shown.wait_for(ENTER)
        shown.wait_for(b"requests")
        os.write(shown.master, b"q")
        assert shown.end() == 0


def test_server_that_comes_back(short_path: Path) -> None:
    """While the server is away the screen says so; when it is back, it goes on."""
    with Server(short_path) as server, terminal(server.url) as shown:
        shown.wait_for(b"requests")
        server.kill()
        shown.wait_for(b"no answer")
        server.start()
        shown.wait_for(b"ready  up")
        os.write(shown.master, b"q")
        assert shown.end() == 0


def reading(*arguments: str) -> Any:
    done = subprocess.run(top(*arguments, "--once", "--json"), capture_output=True, text=True, check=True)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
    return json.loads(done.stdout)


def test_once(short_path: Path) -> None:
    """One reading counts everything since the server was started."""
    with Server(short_path) as server, Client(server.url, timeout=60.0) as client:
        for _ in range(7):
            client.understand(TEXT)
        for _ in range(2):
            with pytest.raises(EdgeError):
                client.answer("who", "ada")
        found = reading(server.url)
        totals = {(each["op"], each["outcome"]): each["total"] for each in found["outcomes"]}
        assert totals["understand", "ok"] == 7
        assert sum(count for (_, outcome), count in totals.items() if outcome == "no_such_head") == 2
        (model,) = found["models"]
        assert 0 < model["p50_ms"] <= model["p95_ms"] <= model["p99_ms"]
        assert model["requests_per_s"] == pytest.approx(7 / found["seconds"])
        assert (found["state"], found["streams"], found["connections"]) == ("ready", 0, 2)
        assert found["resident_mb"] > 10
        text = subprocess.run(top(server.url, "--once"), capture_output=True, text=True, check=True).stdout
        assert "\x1b" not in text and "assistant" in text and "understand" in text


def test_pace(short_path: Path) -> None:
    """A server that was slowed down says so, with the reason."""
    with Server(short_path) as server, Client(server.url, timeout=60.0) as client:
        assert (reading(server.url)["pace"], reading(server.url)["slowed_for"]) == (1.0, "")
        client.slow_down(0.4, 600.0, "cpu-thermal at 81 °C")
        found = reading(server.url)
        assert (found["pace"], found["slowed_for"]) == (0.4, "cpu-thermal at 81 °C")
        text = subprocess.run(top(server.url, "--once"), capture_output=True, text=True, check=True).stdout
        assert "at a pace of 40% (cpu-thermal at 81 °C)" in text


def test_lines(server: Server) -> None:
    """Where the output is no terminal it is a line each time, as text or as JSON, without control sequences."""
    for more in ([], ["--json"]):
        with subprocess.Popen(
            top(server.url, "--interval", "0.1", *more), stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(3)]
            process.terminate()
            assert process.wait(SECONDS) in (-signal.SIGTERM, 143)
        for line in lines:
            assert "\x1b" not in line
            assert json.loads(line)["state"] == "ready" if more else "ready" in line


def test_nobody_there() -> None:
    """Where no server is, it says so in one line and fails."""
    done = subprocess.run(top("unix:///nowhere/edge.sock"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
