"""Who is at the other end of a connection."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass

_CREDENTIALS = struct.Struct("3i")
"""pid, uid, gid: struct ucred of unix(7)"""


@dataclass(frozen=True, slots=True)
class Peer:
    transport: str
    """unix, tcp or serial"""
    name: str
    """for the log"""
    administrator: bool


def identify(connection: socket.socket) -> Peer:
    """By the credentials that the kernel vouches for, or by address."""
    if connection.family == socket.AF_UNIX:
        pid, uid, _ = _CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        return Peer("unix", f"pid {pid}, uid {uid}", uid in (0, os.geteuid()))
    try:
        host, port = connection.getpeername()[:2]
    except OSError:
        return Peer("tcp", "gone", administrator=False)
    return Peer("tcp", f"{host}:{port}", administrator=False)
