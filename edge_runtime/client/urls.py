"""Where a server listens, as a URL.

    unix:///run/edge-runtime/edge.sock      a Unix socket: its absolute path
    tcp://127.0.0.1:5577                    a TCP port; IPv6 addresses in brackets, tcp://[::1]:5577
    serial:///dev/ttyUSB0?baud=115200       a serial port, or serial:// and any other URL of pyserial's

A transport is a class of addresses with `parse`, `connect` and `open` (see `Address`), listed in `_SCHEMES`.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edge_runtime.errors import InputError

if TYPE_CHECKING:
    from asyncio import BaseTransport
    from asyncio import Protocol as AsyncProtocol

DEFAULT_URL = "unix:///run/edge-runtime/edge.sock"
"""where the service listens that a board starts"""
URL_VARIABLE = "EDGE_RUNTIME_URL"
"""environment variable with the URL that commands use when they are given none"""

LONGEST_PATH = 107
"""bytes of a Unix socket's path: sun_path of unix(7), less the zero at its end"""


class Address(Protocol):
    """Something that can be connected to."""

    def connect(self, timeout: float) -> socket.socket:
        """A connected socket, or anything with its `fileno`, `send`, `recv`, `setblocking` and `close`.

        Raises:
            OSError: nobody listens there, or not within `timeout` seconds.
        """

    async def open(self, factory: Callable[[], AsyncProtocol]) -> BaseTransport:
        """The same for asyncio: a transport that calls the protocol which `factory` makes. Raises OSError."""


_TIMEVAL = struct.Struct("ll")
"""seconds, microseconds: struct timeval of socket(7)"""
_LEAST_TIMEOUT = 1e-3
"""seconds; 0 would be for ever"""
_PAUSE = 0.01
"""seconds"""


@dataclass(frozen=True, slots=True)
class Unix:
    """A Unix socket."""

    path: str

    @classmethod
    def parse(cls, rest: str) -> Unix:
        if not rest.startswith("/") or "\0" in rest:
            raise InputError(f"unix:// takes an absolute path, as in {DEFAULT_URL}; not {rest!r}")
        if len(rest.encode("utf-8", "surrogateescape")) > LONGEST_PATH:
            raise InputError(f"the path of a Unix socket has at most {LONGEST_PATH} bytes; {rest!r} has more")
        return cls(rest)

    def __str__(self) -> str:
        return f"unix://{self.path}"

    def connect(self, timeout: float) -> socket.socket:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Not a timeout of Python's, for that makes the socket non-blocking, and then a server whose backlog is full
            # (it is being restarted, say) is a failure at once: EAGAIN of connect(2).
            seconds, part = divmod(max(timeout, _LEAST_TIMEOUT), 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(int(seconds), int(part * 1e6)))
            connected.connect(self.path)
            connected.settimeout(timeout)
        except BlockingIOError:
            connected.close()
            raise TimeoutError("the server's backlog is full") from None
        except BaseException:
            connected.close()
            raise
        return connected

    async def open(self, factory: Callable[[], AsyncProtocol]) -> BaseTransport:
        import asyncio

        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.setblocking(False)
            # asyncio's own connecting takes EAGAIN for EINPROGRESS, and the socket for a connected one
            while not _connects(connected, self.path):
                # nothing tells when there is room again; the caller bounds how long this goes on
                await asyncio.sleep(_PAUSE)
            return (await asyncio.get_running_loop().create_unix_connection(factory, sock=connected))[0]
        except BaseException:
            connected.close()
            raise


@dataclass(frozen=True, slots=True)
class Tcp:
    """A TCP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, rest: str) -> Tcp:
        found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\[\]:/?#@\s]+)):([0-9]{1,5})/?", rest)
        if found is None or not 1 <= int(found[3]) <= 65535:
            raise InputError(f"tcp:// takes HOST:PORT, as in tcp://127.0.0.1:5577 or tcp://[::1]:5577; not {rest!r}")
        return cls(found[1] or found[2], int(found[3]))

    def __str__(self) -> str:
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"

    def connect(self, timeout: float) -> socket.socket:
        connected = socket.create_connection((self.host, self.port), timeout)
        # a request is one small write, and its reply is waited for
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected

    async def open(self, factory: Callable[[], AsyncProtocol]) -> BaseTransport:
        import asyncio

        # asyncio sets TCP_NODELAY itself
        return (await asyncio.get_running_loop().create_connection(factory, self.host, self.port))[0]


def _serial(rest: str) -> Address:
    # here, so that programs that talk to sockets do not load it
    from edge_runtime.client.serial_address import Serial

    return Serial.parse(rest)


_SCHEMES: Mapping[str, Callable[[str], Address]] = {"unix": Unix.parse, "tcp": Tcp.parse, "serial": _serial}


def default_url() -> str:
    """Where to look for a server when nobody says: $EDGE_RUNTIME_URL, the service's socket, or the user's own."""
    said = os.environ.get(URL_VARIABLE)
    if said:
        return said
    folder = os.environ.get("XDG_RUNTIME_DIR")
    own = f"{folder}/edge-runtime/edge.sock"
    if folder and not os.access(DEFAULT_URL.removeprefix("unix://"), os.F_OK) and os.access(own, os.F_OK):
        return f"unix://{own}"
    return DEFAULT_URL


def parse(url: str) -> Address:
    """The address in a URL.

    Raises:
        InputError: it is no URL, or its scheme is none of those known.
    """
    scheme, _, rest = url.partition("://") if isinstance(url, str) else ("", "", "")
    known = _SCHEMES.get(scheme.lower())
    if known is None:
        schemes = ", ".join(f"{name}://" for name in _SCHEMES)
        raise InputError(f"{url!r} is no server's URL; the schemes known are {schemes}, as in {DEFAULT_URL}")
    return known(rest)


def _connects(connected: socket.socket, path: str) -> bool:
    """Connect to a Unix socket without waiting; False if its backlog is full."""
    try:
        connected.connect(path)
    except BlockingIOError:
        return False
    return True
