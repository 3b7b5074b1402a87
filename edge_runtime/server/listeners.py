"""Sockets to listen on: our own Unix and TCP ones. (Those that a service manager opened are `activation`'s.)"""

from __future__ import annotations

import errno
import grp
import ipaddress
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.errors import InputError

BACKLOG = 128
"""connections that the kernel keeps while the server is busy, or is being restarted"""
MAX_PATH = 107
"""bytes of a Unix socket's path: sun_path of unix(7), less its final zero"""


class UnixListener:
    """A Unix socket of our own: the file goes when we go, unless somebody has put another in its place."""

    def __init__(self, path: Path, mode: int, group: str | None) -> None:
        """Listen at `path`.

        Raises:
            InputError: another server listens there, the place cannot be written, or there is no such group.
        """
        if len(os.fsencode(path)) > MAX_PATH:
            raise InputError(f"{path} is too long for a socket's path: at most {MAX_PATH} bytes")
        self.path = path
        owner = _group(group)
        _clear(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            # nobody may connect before mode and group are set
            before = os.umask(0o177)
            try:
                self.socket.bind(os.fspath(path))
            finally:
                os.umask(before)
            self._identity = _identity(path)
            if owner is not None:
                os.chown(path, -1, owner)
            path.chmod(mode)
            self.socket.listen(BACKLOG)
        except OSError as error:
            self.socket.close()
            raise InputError(f"cannot listen at {path}: {error.strerror}") from None

    def remove(self) -> None:
        """Take the file away if it is still ours."""
        if self._identity is not None and _identity(self.path) == self._identity:
            self.path.unlink(missing_ok=True)


def tcp_listeners(address: str, *, beyond_this_machine: bool) -> list[socket.socket]:
    """Sockets that listen at HOST:PORT; a host of several addresses has several.

    Raises:
        InputError: the address makes no sense, is taken, or is none of the loopback's although only that was allowed.
    """
    host, separator, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise InputError(f"{address!r} is no HOST:PORT")
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise InputError(f"{host!r} is no address of this machine: {error.strerror}") from None
    addresses = sorted({(family, place) for family, _, _, _, place in found}, key=str)
    if not beyond_this_machine:
        for _, place in addresses:
            if not ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback:
                raise InputError(
                    f"{address} can be reached from other machines; that needs --allow-remote and a --token-file"
                )
    listening: list[socket.socket] = []
    try:
        for family, place in addresses:
            listening.append(_listen(family, place))
    except OSError as error:
        for each in listening:
            each.close()
        raise InputError(f"cannot listen at {address}: {error.strerror}") from None
    return listening


def _listen(family: socket.AddressFamily, place: Sequence[object]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(tuple(place))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _group(name: str | None) -> int | None:
    if name is None:
        return None
    try:
        return int(name) if name.isascii() and name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise InputError(f"there is no group {name!r}") from None


def _clear(path: Path) -> None:
    """Remove the socket of a server that has died; leave that of one that lives."""
    try:
        kind = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(kind):
        raise InputError(f"{path} is there already and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                path.unlink(missing_ok=True)
                return
            if error.errno == errno.ENOENT:
                return
            if error.errno != errno.EAGAIN:
                raise InputError(f"cannot listen at {path}: {error.strerror}") from None
        raise InputError(f"another server listens at {path}")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
