"""What the service manager hears from us, over a real datagram socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.server.notify import MAX_STATUS, Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(10)
        yield listening


@pytest.fixture
def notifier(manager: socket.socket) -> Iterator[Notifier]:
    made = Notifier.from_environment({"NOTIFY_SOCKET": manager.getsockname()})
    yield made
    made.close()


def test_messages(manager: socket.socket, notifier: Notifier) -> None:
    """Each call sends one datagram in sd_notify(3)'s words."""
    notifier.ready("2 models")
    notifier.stopping()
    notifier.watchdog()
    notifier.status("3 connections")
    assert [manager.recv(4096).decode() for _ in range(4)] == [
        "READY=1\nSTATUS=2 models",
        "STOPPING=1",
        "WATCHDOG=1",
        "STATUS=3 connections",
    ]


def test_reloading_says_when(manager: socket.socket, notifier: Notifier) -> None:
    """A reload is announced with the monotonic time, as Type=notify-reload asks for."""
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    first, second = manager.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    name, _, value = second.partition("=")
    assert name == "MONOTONIC_USEC" and before <= int(value) <= time.monotonic_ns() // 1000


def test_abstract_address() -> None:
    """An address that begins with @ is one of Linux' abstract namespace."""
    name = f"edge-runtime-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.settimeout(10)
        notifier = Notifier.from_environment({"NOTIFY_SOCKET": f"@{name}"})
        notifier.watchdog()
        assert listening.recv(64) == b"WATCHDOG=1"
        notifier.close()


def test_status_is_one_bounded_line(manager: socket.socket, notifier: Notifier) -> None:
    """A line end in a status cannot forge another assignment, and a long status is cut."""
    notifier.status("bad\nREADY=1 " + "x" * 10_000)
    text = manager.recv(65536).decode()
    assert text.startswith("STATUS=bad READY=1 x") and len(text) == len("STATUS=") + MAX_STATUS


def test_environment_is_cleared() -> None:
    """What is addressed to us is taken out of the environment, and nothing else is."""
    environment = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1", "HOME": "/"}
    Notifier.from_environment(environment)
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_watchdog_interval(variables: dict[str, str], seconds: float | None) -> None:
    """The interval is half of what the manager allows, and None where it does not watch this process."""
    assert Notifier.from_environment(dict(variables)).watchdog_interval == seconds


@pytest.mark.parametrize(
    "address", [None, "", "@", "/", "relative", "vsock:2:1234", "/nowhere/at/all", "/" + "x" * 300]
)
def test_no_manager(address: str | None) -> None:
    """Without a manager, or with an address that leads nowhere, every call does nothing."""
    notifier = Notifier.from_environment({} if address is None else {"NOTIFY_SOCKET": address})
    notifier.ready("up")
    notifier.reloading()
    notifier.watchdog()
    notifier.stopping()
    notifier.close()


def test_manager_that_restarts(tmp_path: Path) -> None:
    """A manager that vanishes is no error, and one that comes back at the same address is heard again."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as first:
        first.bind(str(path))
        notifier = Notifier.from_environment({"NOTIFY_SOCKET": str(path)})
        notifier.watchdog()
        assert first.recv(64) == b"WATCHDOG=1"
    notifier.watchdog()
    path.unlink()
    notifier.watchdog()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
        second.bind(str(path))
        second.settimeout(10)
        notifier.stopping()
        assert second.recv(64) == b"STOPPING=1"
    notifier.close()


def test_manager_that_does_not_read(manager: socket.socket, notifier: Notifier) -> None:
    """A manager that reads nothing does not hold the server up."""
    for _ in range(10_000):
        notifier.watchdog()
    assert manager.recv(64) == b"WATCHDOG=1"
