"""A worker process, as the server sees it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from edge_runtime.errors import BackendError, EdgeError, InputError, ModelError, UnknownModel
from edge_runtime.server import worker as work
from edge_runtime.server.job import Job
from edge_runtime.server.wire import Unpacker, pack

_START_ERRORS: dict[str, type[EdgeError]] = {each.code: each for each in (InputError, ModelError, UnknownModel)}


class WorkerProcess(asyncio.Protocol):
    """One worker: what it is doing, and a way to give it more. `start` makes it."""

    def __init__(
        self,
        answered: Callable[[WorkerProcess, Job, tuple[Any, ...]], None],
        ended: Callable[[WorkerProcess, list[Job]], None],
    ) -> None:
        self.running: deque[Job] = deque()
        """oldest first; it answers in this order"""
        self.streams = 0
        """that are open there"""
        self.started = self.last_answer = 0.0
        """on the monotonic clock"""
        self.info = b""
        """its model's description, JSON"""
        self.retired = False
        """its end is no accident"""
        self._answered, self._ended = answered, ended
        self._unpacker = Unpacker()
        self._transport: asyncio.Transport | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reaped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, settings: work.Settings) -> None:
        """Start the process; return when its model is loaded and tested.

        Raises:
            EdgeError: it cannot be, with the reason.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "edge_runtime.server.worker", str(theirs.fileno()), settings.to_json()]
            try:
                self._process = subprocess.Popen(
                    command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno()
                )
            except OSError as error:
                ours.close()
                raise BackendError(f"no worker process can be started: {error.strerror}") from None
        await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)
        await self._ready

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it may still be given work."""
        return not self.retired and self._transport is not None and not self._transport.is_closing()

    def send(self, job: Job) -> None:
        """Give it a job, to be done after those it has."""
        assert self._transport is not None
        self.running.append(job)
        self._transport.write(pack((len(self.running), job.kind, *job.arguments)))

    def retire(self) -> None:
        """Let it end by itself after what it is doing."""
        self.retired = True
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()

    async def wait(self) -> None:
        """Until it has ended and is reaped."""
        await self._reaped

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for message in self._unpacker.feed(data):
            if message[0] == work.READY:
                self.info = message[1]
                self.started = self.last_answer = time.monotonic()
                self._ready.set_result(None)
            elif message[0] == work.FAILED:
                self._ready.set_exception(_START_ERRORS.get(message[1], BackendError)(message[2]))
            else:
                job = self.running.popleft()
                self._answered(self, job, (message[0] == work.DONE, *message[2:]))

    def connection_lost(self, _: Exception | None) -> None:
        jobs = list(self.running)
        self.running.clear()
        asyncio.get_running_loop().create_task(self._reap())
        if not self._ready.done():
            self._ready.set_exception(BackendError("the worker process ended while it was loading the model"))
        else:
            self._ended(self, jobs)

    async def _reap(self) -> None:
        process = self._process
        assert process is not None
        process.kill()
        await asyncio.to_thread(process.wait)
        self._reaped.set_result(None)
