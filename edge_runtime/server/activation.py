"""Sockets that the service manager opened for us: sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import NamedTuple

from edge_runtime.errors import InputError

FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START in sd-daemon.h"""
MAX_SOCKETS = 64
"""more than any unit of ours lists; a nonsensical LISTEN_FDS must not make us try a billion descriptors"""
UNNAMED = "unknown"
"""what sd_listen_fds_with_names(3) calls a descriptor without a name"""

_FAMILIES = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6}


class Inherited(NamedTuple):
    """A listening stream socket, non-blocking and closed on exec, with the FileDescriptorName= of its unit."""

    socket: socket.socket
    name: str


def inherited_sockets(environment: MutableMapping[str, str] = os.environ) -> list[Inherited]:
    """The sockets of LISTEN_FDS with their names, in the manager's order; none if they are meant for another process.

    LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES are taken out of the environment, for they are not meant for children.

    Raises:
        InputError: the variables make no sense, or a descriptor is no listening stream socket.
    """
    pid, count, names = (environment.pop(name, None) for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if not pid or not count:
        return []
    if _number("LISTEN_PID", pid) != os.getpid():
        return []
    total = _number("LISTEN_FDS", count)
    if total > MAX_SOCKETS:
        raise InputError(
            f"LISTEN_FDS says {total} sockets; at most {MAX_SOCKETS} can be served: list fewer in the unit"
        )
    named = names.split(":") if names else [UNNAMED] * total
    if len(named) != total:
        raise InputError(
            f"LISTEN_FDNAMES names {len(named)} sockets and LISTEN_FDS counts {total}; let the service manager set both"
        )
    found: list[Inherited] = []
    try:
        for place, name in enumerate(named):
            found.append(Inherited(_listening(FIRST_DESCRIPTOR + place, name), name))
    except InputError:
        for one in found:
            one.socket.close()
        raise
    return found


def _number(variable: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise InputError(f"{variable} must be a number, not {text[:32]!r}; let the service manager set it")
    return int(text[:18])


def _listening(descriptor: int, name: str) -> socket.socket:
    what = f"descriptor {descriptor} ({name[:64]!r}), which the service manager handed over,"
    try:
        # takes family and type from the descriptor itself
        inherited = socket.socket(fileno=descriptor)
    except OSError as error:
        raise InputError(f"{what} is no socket: {error.strerror}; list only sockets in the unit") from None
    if wrong := _objection(inherited):
        inherited.close()
        raise InputError(f"{what} is {wrong} in the unit")
    inherited.set_inheritable(False)
    inherited.setblocking(False)
    return inherited


def _objection(inherited: socket.socket) -> str | None:
    kind = inherited.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    if inherited.family not in _FAMILIES or kind != socket.SOCK_STREAM:
        return "no Unix or TCP stream socket; use ListenStream="
    if not inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "not listening; use ListenStream= with Accept=no"
    return None
