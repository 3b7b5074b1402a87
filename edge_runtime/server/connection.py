"""A socket connection: bytes to lines for its session, and the limits that keep one client from hurting another."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_runtime.errors import Overloaded
from edge_runtime.protocol import replies
from edge_runtime.protocol.lines import Lines
from edge_runtime.server.logs import EventLog
from edge_runtime.server.peer import Peer, identify
from edge_runtime.server.session import Session

if TYPE_CHECKING:
    from edge_runtime.server.service import Service

MAX_UNREAD = 8 << 20
"""bytes of replies that one client may leave unread; two of the largest"""
TURN = 0.001
"""seconds that the lines of one client are handled before it is the others' turn: what is read at once may be a hundred
thousand tiny lines"""
LINGER = 2.0
"""seconds that a client is given to read the last reply"""

_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
"""seconds, seconds, tries: a peer whose machine is gone is noticed after two minutes"""

log = EventLog(__name__)


class Connection(asyncio.Protocol):
    """One accepted connection."""

    def __init__(self, service: Service, connections: set[Connection]) -> None:
        self._service = service
        self._all = connections
        self._lines = Lines(service.limits.line_bytes)
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._peer = Peer("unknown", "unknown", administrator=False)
        self._ending = False
        self._ended_at = 0.0
        self._half_closed = False
        self._line_since: float | None = time.monotonic()
        """since when a line (at first: any line) is waited for"""
        self._unread_since: float | None = None
        self._written = self._delivered = 0
        self._paused = False
        self._rest: Iterator[bytes | None] | None = None
        """lines that have come and wait for their turn; nothing more is read meanwhile"""
        self._rest_ends_line = False
        self._turn: asyncio.Handle | None = None
        self._at_work = False

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self._session is None or (self._session.idle and self._rest is None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        connection: socket.socket = transport.get_extra_info("socket")
        self._peer = identify(connection)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEP_ALIVE:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
        measures = self._service.measures
        measures.accepted.labels(self._peer.transport).add()
        measures.connections.add(1)
        limit = self._service.limits.connections
        crowded = len(self._all) >= limit
        self._all.add(self)
        if crowded:
            message = f"the server has {limit} connections, as many as it takes; try again later"
            transport.write(replies.error(None, Overloaded.code, message))
            self.end("crowded")
            return
        self._session = Session(self._service, self._peer, self._send, self.end)

    def data_received(self, data: bytes) -> None:
        if self._session is None or self._ending:
            return
        self._rest = self._lines.feed(data)
        self._rest_ends_line = data.find(b"\n") >= 0
        self._work()

    def eof_received(self) -> bool:
        """The client sends no more; it may still be reading."""
        self._half_closed = True
        self._end_if_done()
        return True

    def pause_writing(self) -> None:
        """The client does not read: nor do we, until it does."""
        self._unread_since = time.monotonic()
        self._pause()

    def resume_writing(self) -> None:
        self._unread_since = None
        self._resume()

    def connection_lost(self, _: Exception | None) -> None:
        self._all.discard(self)
        self._service.measures.connections.add(-1)
        if self._session is not None:
            self._session.gone()
            self._session = None
        self._transport = None

    def sweep(self, now: float) -> None:
        """Due every fraction of a second: end what takes too long."""
        limits = self._service.limits
        if self._session is None or self._ending:
            if self._transport is not None and self._ending and now - self._ended_at > LINGER:
                self._transport.abort()
            return
        if self._line_since is not None and not self._paused and now - self._line_since > limits.line_ms / 1e3:
            self._send(replies.error(None, "bad_request", f"no whole line came in {limits.line_ms:g} ms"))
            self.end("slow_line")
        elif self._unread_since is not None:
            self._check_reading(now)
        else:
            self._session.sweep(now)
            self._resume()

    def end(self, reason: str) -> None:
        """End the connection when what was written is delivered."""
        if self._ending or self._transport is None:
            return
        self._ending = True
        self._ended_at = time.monotonic()
        self._service.measures.ended.labels(reason).add()
        log.debug("connection ended", peer=self._peer.name, reason=reason)
        # Not closed at once: with unread input in the socket the kernel would reset the connection, and the last reply
        # with it. What still comes is read and thrown away until the client closes too, or `sweep` loses patience.
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()

    def _check_reading(self, now: float) -> None:
        """Give up a client that has read nothing for too long, however slowly it reads otherwise."""
        assert self._transport is not None
        delivered = self._written - self._transport.get_write_buffer_size()
        if delivered > self._delivered:
            self._delivered, self._unread_since = delivered, now
        elif self._unread_since is not None and now - self._unread_since > self._service.limits.unread_ms / 1e3:
            self._abort("unread")

    def _abort(self, reason: str) -> None:
        self._service.measures.ended.labels(reason).add()
        log.warning("connection ended", peer=self._peer.name, reason=reason)
        if self._transport is not None:
            self._transport.abort()

    def _send(self, line: bytes) -> None:
        transport = self._transport
        if transport is None or self._ending or transport.is_closing():
            return
        transport.write(line)
        self._written += len(line)
        if self._unread_since is not None and transport.get_write_buffer_size() > MAX_UNREAD:
            self._abort("unread")
        elif self._half_closed:
            self._end_if_done()
        elif self._paused:
            self._resume()

    def _end_if_done(self) -> None:
        if self._transport is not None and self._session is not None and self._session.idle:
            self._transport.close()

    def _work(self) -> None:
        """Handle lines for as long as it is this client's turn and it reads its replies."""
        self._turn = None
        self._at_work = True
        try:
            self._handle(time.monotonic() + TURN)
        finally:
            self._at_work = False
        if self._rest is not None:
            self._pause()
            return
        if not self._lines.partial:
            self._line_since = None
        elif self._line_since is None or self._rest_ends_line:
            self._line_since = time.monotonic()
        if self._session is not None and self._session.backed_up:
            self._pause()
        else:
            self._resume()

    def _handle(self, end: float) -> None:
        while self._rest is not None:
            session = self._session
            if session is None or self._ending:
                self._rest = None
            elif self._unread_since is not None or session.backed_up:
                # `_resume` goes on with it
                return
            elif time.monotonic() > end:
                self._turn = asyncio.get_running_loop().call_soon(self._work)
                return
            else:
                try:
                    line = next(self._rest)
                except StopIteration:
                    self._rest = None
                else:
                    session.receive(line)

    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if (
            not self._paused
            or self._unread_since is not None
            or self._transport is None
            or self._transport.is_closing()
        ):
            return
        if self._session is not None and self._session.backed_up:
            return
        if self._rest is not None:
            if self._turn is None and not self._at_work:
                self._turn = asyncio.get_running_loop().call_soon(self._work)
            return
        self._paused = False
        if self._line_since is not None:
            self._line_since = time.monotonic()
        if not self._half_closed:
            self._transport.resume_reading()
