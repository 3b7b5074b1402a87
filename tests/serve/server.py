"""A real `edge-runtime serve` in a process of its own, for tests and measurements.

with Server(folder) as server:
    server.unix                 # path of its Unix socket; `server.url` for clients that take one
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_runtime.server import vitals
from tests.serve.wire import Wire

START_SECONDS = 300.0
"""until a server must have said that it is ready; an emulated core on a busy machine needs a minute"""
STOP_SECONDS = 30.0

_CREDENTIALS = struct.Struct("3i")
"""struct ucred of unix(7): pid, uid, gid"""

TOKEN = "a token that only tests know"


class Server:
    """The daemon. Started by `with` or `start`; ready when that returns; what it logs is in `log`."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        models: Sequence[str | Path] = ("assistant",),
        inherited: Sequence[socket.socket] = (),
        environment: Mapping[str, str] | None = None,
        python: str | Path = sys.executable,
    ) -> None:
        """Prepare to start it.

        Args:
            folder: for its sockets and its log; short, because socket paths are.
            options: of the command, beside --model and --socket.
            models: names or paths.
            inherited: listening sockets to hand over as a service manager does, instead of --socket.
            environment: variables to be added.
            python: that runs it.
        """
        self.unix = folder / "edge.sock"
        self.url = f"unix://{self.unix}"
        self.log_file = folder / "server.log"
        self._inherited = [each.fileno() for each in inherited]
        self._command = [str(python), "-m", "edge_runtime.cli", "serve", *options]
        for model in models:
            self._command += ["--model", str(model)]
        if inherited:
            between = ",".join(map(str, self._inherited))
            self._command = [sys.executable, "-m", "tests.serve.handover", between, *self._command]
        else:
            self._command += ["--socket", str(self.unix)]
        self._notify = folder / "notify.sock"
        self._environment = {**os.environ, **(environment or {}), "NOTIFY_SOCKET": str(self._notify)}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server was not started"
        return self._process

    @property
    def pid(self) -> int:
        """Of the server itself, not of a worker."""
        return self.process.pid

    @property
    def log(self) -> str:
        """Everything that it and its workers wrote so far, in all its lives."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def start(self) -> None:
        """Start it and wait until it says that it is ready.

        Raises:
            RuntimeError: it ended instead, or said nothing; with what it logged.
        """
        self._notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, self.log_file.open("ab") as log:
            manager.bind(str(self._notify))
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                pass_fds=self._inherited,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            ended = os.pidfd_open(self._process.pid)
            try:
                watched: list[Any] = [manager, ended]
                while True:
                    ready, _, _ = select.select(watched, [], [], START_SECONDS)
                    if manager in ready and b"READY=1" in manager.recv(4096).split(b"\n"):
                        return
                    if not ready or ended in ready:
                        self.kill()
                        raise RuntimeError(f"the server did not become ready:\n{self.log}")
            finally:
                os.close(ended)

    def stop(self) -> int:
        """Ask it to end and wait until it has; kills it if it does not.

        Returns:
            Its exit status.

        Raises:
            RuntimeError: it had to be killed.
        """
        process = self.process
        if process.poll() is None:
            process.terminate()
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"the server did not end when it was told to:\n{self.log}") from None

    def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def connect(self) -> Wire:
        """A connection to its Unix socket."""
        return Wire.unix(self.unix)

    def workers(self) -> list[int]:
        """Process numbers of its children."""
        server = self.pid
        return [pid for pid in _processes() if _parent(pid) == server]

    def kill_workers(self) -> None:
        """End all of them at once, as `kill -9` does; one that was ending anyway may be gone before its turn."""
        for pid in self.workers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def private_bytes(self) -> int:
        """Private memory of it and of its workers."""
        return sum(vitals.process(pid).private_bytes or 0 for pid in (self.pid, *self.workers()))

    def open_descriptors(self) -> int:
        """Of it and of its workers."""
        return sum(vitals.process(pid).open_descriptors or 0 for pid in (self.pid, *self.workers()))

    def cpu_seconds(self) -> float:
        """Of it and of its workers, since they were started."""
        return sum(vitals.process(pid).cpu_seconds or 0.0 for pid in (self.pid, *self.workers()))


class Running(Server):
    """One that somebody else started on this machine, and that goes on afterwards."""

    def __init__(self, unix: Path) -> None:
        """`unix`: the path of its socket."""
        super().__init__(unix.parent)
        self.unix = unix
        self.url = f"unix://{unix}"
        self.log_file = Path(os.devnull)
        with self.connect() as wire:
            credentials = wire.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self._pid: int = _CREDENTIALS.unpack(credentials)[0]

    @property
    def pid(self) -> int:
        return self._pid

    def start(self) -> None:
        with self.connect() as wire:
            request(wire, "health")

    def stop(self) -> int:
        return 0


@contextmanager
def served(model: str, unix: Path | None) -> Iterator[Server]:
    """A server of `model` in a folder of its own; or the one that listens at `unix`, whatever it serves."""
    if unix is not None:
        yield Running(unix)
        return
    with tempfile.TemporaryDirectory(prefix="edge-") as folder, Server(Path(folder), models=[model]) as server:
        yield server


def token_file(folder: Path) -> Path:
    """A file with `TOKEN` that only its owner can read."""
    file = folder / "token"
    file.touch(mode=0o600)
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    return file


def free_port() -> int:
    """A TCP port of the loopback that nobody uses just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def request(wire: Wire, op: str, **fields: Any) -> Any:
    """The result of one request; the id is the operation's name.

    Raises:
        AssertionError: it was answered with an error.
    """
    wire.send({"id": op, "op": op, **fields})
    reply = wire.receive()
    assert reply is not None and "result" in reply, json.dumps(reply)
    return reply["result"]


def _processes() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal()]


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # state, parent; the name before them may hold anything
    return int(stat.rpartition(")")[2].split()[1])
