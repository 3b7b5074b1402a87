"""Sockets handed over as systemd does it: real descriptors from 3 on in a new process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import InputError
from edge_runtime.server.activation import MAX_SOCKETS, inherited_sockets

TELL = """
import json, os
from edge_runtime.errors import InputError
from edge_runtime.server.activation import inherited_sockets
try:
    found = inherited_sockets()
except InputError as error:
    print(json.dumps({"error": str(error)}))
else:
    print(json.dumps({
        "names": [one.name for one in found],
        "addresses": [one.socket.getsockname() for one in found],
        "inheritable": [one.socket.get_inheritable() for one in found],
        "blocking": [one.socket.getblocking() for one in found],
        "environment": [name for name in os.environ if name.startswith("LISTEN_")],
    }))
"""


def handed_over(sockets: list[int], variables: dict[str, str]) -> Any:
    """What a process says to which `sockets` are handed over."""
    between = ",".join(map(str, sockets))
    command = [sys.executable, "-m", "tests.serve.handover", between, sys.executable, "-c", TELL]
    done = subprocess.run(command, env=os.environ | variables, pass_fds=sockets, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def unix(stack: ExitStack, tmp_path: Path) -> socket.socket:
    listening = stack.enter_context(socket.socket(socket.AF_UNIX))
    listening.bind(str(tmp_path / "edge.sock"))
    listening.listen()
    return listening


@pytest.fixture
def tcp(stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_server(("127.0.0.1", 0)))


def test_sockets_with_names(unix: socket.socket, tcp: socket.socket) -> None:
    """Unix and TCP sockets arrive in order with their names, closed on exec and non-blocking, and the variables go."""
    found = handed_over([unix.fileno(), tcp.fileno()], {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "local:net"})
    assert found == {
        "names": ["local", "net"],
        "addresses": [unix.getsockname(), list(tcp.getsockname())],
        "inheritable": [False, False],
        "blocking": [False, False],
        "environment": [],
    }


def test_sockets_without_names(unix: socket.socket) -> None:
    """Without LISTEN_FDNAMES a socket is called "unknown", as libsystemd calls it."""
    assert handed_over([unix.fileno()], {"LISTEN_FDS": "1"})["names"] == ["unknown"]


@pytest.mark.parametrize("kind", ["file", "datagram", "not listening", "closed"])
def test_what_is_no_listening_stream_socket(stack: ExitStack, tmp_path: Path, unix: socket.socket, kind: str) -> None:
    """Anything else than a listening stream socket is refused in a sentence that names descriptor and socket."""
    said = {
        "file": "is no socket",
        "datagram": "no Unix or TCP stream socket",
        "not listening": "is not listening",
        "closed": "is no socket",
    }
    if kind == "file":
        second = stack.enter_context((tmp_path / "file").open("w")).fileno()
    elif kind == "datagram":
        second = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).fileno()
    else:
        second = stack.enter_context(socket.socket(socket.AF_INET)).fileno()
    sockets = [unix.fileno()] if kind == "closed" else [unix.fileno(), second]
    error = handed_over(sockets, {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "good:bad"})["error"]
    assert said[kind] in error and "descriptor 4 ('bad')" in error and "unit" in error


def test_for_another_process() -> None:
    """Variables meant for another process hand nothing over, and are removed all the same."""
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "HOME": "/"}
    assert inherited_sockets(environment) == []
    assert environment == {"HOME": "/"}
    assert inherited_sockets({}) == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"LISTEN_FDS": "-1"}, "LISTEN_FDS must be a number"),
        ({"LISTEN_FDS": "many"}, "LISTEN_FDS must be a number"),
        ({"LISTEN_FDS": str(MAX_SOCKETS + 1)}, "at most"),
        ({"LISTEN_FDS": "9" * 5000}, "at most"),
        ({"LISTEN_FDS": "1", "LISTEN_FDNAMES": "a:b"}, "LISTEN_FDNAMES names 2 sockets and LISTEN_FDS counts 1"),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "me"}, "LISTEN_PID must be a number"),
    ],
)
def test_nonsense(variables: dict[str, str], said: str) -> None:
    """Variables that make no sense are an error that says which."""
    with pytest.raises(InputError, match=said):
        inherited_sockets({"LISTEN_PID": str(os.getpid()), **variables})


def test_none_handed_over() -> None:
    """A count of 0 hands nothing over."""
    assert inherited_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"}) == []
