"""A server that does not keep to the protocol, on a real socket."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HELLO = {
    "protocol": 1,
    "server": "squeezebert-edge",
    "version": "0",
    "state": "ready",
    "models": [],
    "limits": {"reply_bytes": 4096, "pending": 8},
}
Talk = Callable[["Peer"], None]


class Peer:
    """One client, as such a server sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._lines = connection.makefile("rb")

    def read(self) -> dict[str, Any]:
        """The next request; an EOFError when the client has gone."""
        line = self._lines.readline()
        if not line:
            raise EOFError
        found: dict[str, Any] = json.loads(line)
        return found

    def send(self, message: Any) -> None:
        self.send_bytes(json.dumps(message).encode() + b"\n")

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def greet(self, **changes: Any) -> None:
        """Answer hello as it should be, but for the changes."""
        self.send({"id": self.read()["id"], "result": {**HELLO, **changes}})

    def wait_until_gone(self) -> list[dict[str, Any]]:
        """What the client still sends before it closes the connection."""
        seen = []
        with suppress(EOFError, OSError):
            while True:
                seen.append(self.read())
        return seen

    def close(self) -> None:
        self._lines.close()
        self.socket.close()


class Hostile:
    """Listens, and talks to each client as it is told; connections are counted."""

    def __init__(self, folder: Path, talk: Talk) -> None:
        self.url = f"unix://{folder / 'hostile.sock'}"
        self.connections = 0
        self._talk = talk
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(os.fspath(folder / "hostile.sock"))
        self._listening.listen()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            talking = threading.Thread(target=self._converse, args=(Peer(connection),))
            self._threads.append(talking)
            talking.start()

    def _converse(self, peer: Peer) -> None:
        # a client that has gone, or a broken pipe, is the end of the conversation
        with suppress(EOFError, OSError):
            self._talk(peer)
        peer.close()
