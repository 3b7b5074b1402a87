"""What a service tells its manager: sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

MAX_STATUS = 256
"""characters of a status line: `systemctl status` shows one line"""


class Notifier:
    """Tells the service manager what state the server is in.

    It does nothing where there is no manager, and never raises when one has vanished or does not read: a server must
    not fail because nobody listens to its news.
    """

    def __init__(self, address: str | None, watchdog_interval: float | None = None) -> None:
        """`address` as NOTIFY_SOCKET has it: a path, or a name in the abstract namespace after an @."""
        self.watchdog_interval = watchdog_interval
        """seconds between two calls of `watchdog`: half of what the manager allows; None if it does not watch"""
        # vsock addresses, which only virtual machines' managers have, are left alone
        usable = address is not None and address[:1] in {"/", "@"} and len(address) > 1
        self._address = "\0" + address[1:] if usable and address and address[0] == "@" else address if usable else None
        self._socket: socket.socket | None = None

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> Notifier:
        """As NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say; they are taken out, so that no child speaks for us."""
        address = environment.pop("NOTIFY_SOCKET", None)
        allowed = environment.pop("WATCHDOG_USEC", "")
        watched = environment.pop("WATCHDOG_PID", "")
        ours = not watched or watched == str(os.getpid())
        microseconds = int(allowed) if allowed.isascii() and allowed.isdecimal() and ours else 0
        return cls(address, microseconds / 2e6 if microseconds else None)

    def ready(self, status: str) -> None:
        """Everything is up; also said when a reload is over."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """A reload has begun; `ready` must follow."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """The server is alive; due every `watchdog_interval`."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for people."""
        self._send(_status(text))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        # not connected: a manager that was restarted has the same address and another socket
        with suppress(OSError):
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            message = "\n".join(lines).encode("utf-8", "replace")
            self._socket.sendto(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL, self._address)


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())[:MAX_STATUS]}"
