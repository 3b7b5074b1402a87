"""Clients that misbehave, in a process of their own: they come at a steady, modest rate, and it ends by itself.

    python -m tests.serve.bad_clients PATH

It reads one line from standard input to know when to stop, and then prints how much it did.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

PAUSE = 0.01
"""seconds between two actions"""
LONGEST = 120.0
"""seconds after which it ends whatever happens"""
SILENT, SLOW, DEAF = 20, 20, 5
"""connections of each kind at a time; the server takes 256 in all"""
DEEP = b"[" * 100_000 + b"\n"
NULS = b"\x00" * 50_000 + b"\n"
ENDLESS = b"x" * 200_000
FLOOD = b"x\n" * 100_000
HELLO = b'{"id": 0, "op": "hello"}\n'
BIG_REPLY = b'{"id": 1, "op": "metrics"}\n' * 20


class Crowd:
    """All of them, while the `with` statement lasts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None
        self.actions = 0
        """connections made and messages sent, once it is over"""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.serve.bad_clients", os.fspath(self._path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def under_way(self) -> None:
        """Wait until each kind of them is there."""
        assert self._process is not None and self._process.stdout is not None
        assert self._process.stdout.readline() == b"under way\n"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        written, _ = self._process.communicate(b"stop\n", LONGEST)
        self.actions = json.loads(written.splitlines()[-1])


class _Connection:
    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.socket.setblocking(False)

    def send(self, data: bytes) -> bool:
        """Send what the kernel takes; False once the server has ended the connection."""
        try:
            self.socket.send(data)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


class _Group:
    """Connections of one kind; those that the server ended are made anew."""

    def __init__(self, path: str, size: int, greeting: bytes) -> None:
        self._path, self._greeting = path, greeting
        self._members = [self._join() for _ in range(size)]
        self._turn = 0

    def act(self, data: bytes) -> None:
        """Let the next one send something."""
        self._turn = (self._turn + 1) % len(self._members)
        if not self._members[self._turn].send(data):
            self._members[self._turn].socket.close()
            self._members[self._turn] = self._join()

    def _join(self) -> _Connection:
        made = _Connection(self._path)
        made.send(self._greeting)
        return made


def misbehave(path: str) -> int:
    """Until standard input says stop → how many actions that were."""
    silent = _Group(path, SILENT, b"")
    slow = _Group(path, SLOW, HELLO)
    deaf = _Group(path, DEAF, HELLO)
    print("under way", flush=True)
    actions = SILENT + SLOW + DEAF
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        if select.select([sys.stdin], [], [], PAUSE)[0]:
            break
        match actions % 9:
            case 0:
                silent.act(b"")
            case 1 | 2:
                slow.act(b"{")
            case 3:
                deaf.act(BIG_REPLY)
            case 4:
                _once(path, HELLO + DEEP)
            case 5:
                _once(path, HELLO + NULS)
            case 6:
                _once(path, HELLO + ENDLESS)
            case 7:
                _once(path, HELLO + FLOOD)
            case _:
                # asks, and is gone before the answer
                _once(path, b'{"id": 1, "op": "ask", "text": "play some jazz"}\n')
        actions += 1
    return actions


def _once(path: str, data: bytes) -> None:
    with suppress(OSError):
        connection = _Connection(path)
        connection.send(data)
        connection.socket.close()


if __name__ == "__main__":
    print(misbehave(sys.argv[1]))
