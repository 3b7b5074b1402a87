"""The reference server on the end of a pseudo-terminal, in a thread, in real time."""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from types import TracebackType

from tests.serial.reference_server import Server

TURN = 0.002
"""seconds that it sleeps when nothing comes; timers are that exact"""


class Line:
    """`path` is what the client opens."""

    def __init__(self, server: Server, path: str | None = None) -> None:
        """`path`: a terminal that is there already; otherwise a new one is made."""
        self._server = server
        if path is None:
            self._ours, self._theirs = os.openpty()
            tty.setraw(self._ours)
            tty.setraw(self._theirs)
            self.path = os.ttyname(self._theirs)
        else:
            self._ours, self._theirs = os.open(path, os.O_RDWR | os.O_NOCTTY), -1
            tty.setraw(self._ours)
            self.path = path
        os.set_blocking(self._ours, False)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Line:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        os.close(self._ours)
        if self._theirs >= 0:
            os.close(self._theirs)

    def _run(self) -> None:
        server = self._server
        while not self._ended.is_set():
            select.select([self._ours], [], [], TURN)
            try:
                data = os.read(self._ours, 4096)
            except BlockingIOError:
                data = b""
            except OSError:
                # nobody has opened the other end, or has closed it
                self._ended.wait(TURN)
                data = b""
            server.now = time.monotonic()
            server.feed(data)
            if server.out:
                try:
                    del server.out[: os.write(self._ours, bytes(server.out))]
                except BlockingIOError:
                    continue
