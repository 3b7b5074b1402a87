"""A serial link behind a socket: lines of docs/protocol.md go in and come out, and a thread carries them.

The thread keeps the link alive while the program thinks; clients need to know nothing of ports.
"""

from __future__ import annotations

import json
import math
import secrets
import select
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

from edge_runtime.errors import Cancelled, Unavailable
from edge_runtime.protocol import replies
from edge_runtime.protocol.lines import Lines
from edge_runtime.serial_link.address import RATES, SerialUrl
from edge_runtime.serial_link.client_link import ClientLink
from edge_runtime.serial_link.counters import Counters
from edge_runtime.serial_link.flow import Flow
from edge_runtime.serial_link.frames import LARGEST_MESSAGE, MOST_REQUESTS, Terms
from edge_runtime.serial_link.ports import PortError, open_port
from edge_runtime.serial_link.server_link import VERSION

WINDOW = 4096
"""bytes of credit: more than any UART has under way"""
MOST_QUEUED = 64
"""requests that wait for their turn here, beyond which no more lines are read"""
_READ = 1 << 16
_STREAMING = ("open", "feed", "close", "cancel")
"""operations that cannot be sent again in another session: their stream is gone"""


@dataclass(slots=True)
class _Request:
    id: Any
    op: str
    line: bytes
    cancel: Any = None
    """id of the request that takes it back"""


class Bridge:
    """One port, one server, one program. Made by `connect`."""

    def __init__(self, url: SerialUrl, theirs: socket.socket) -> None:
        """Opens the port. Raises PortError."""
        self.opened_event = threading.Event()
        port, _ = open_port(url, url.baud or RATES[0])
        own = Terms(
            version=VERSION,
            nonce=secrets.randbits(32),
            frame=url.frame,
            message=LARGEST_MESSAGE,
            window=WINDOW,
            pause=url.pause,
            requests=MOST_REQUESTS,
            digest=bytes(8),
        )
        self.counters = Counters()
        self._link = ClientLink(self, own, url.baud or RATES[0], self.counters, time.monotonic())
        self._flow = Flow(port, self._link)
        self._socket = theirs
        self._socket.setblocking(False)
        self._lines = Lines(LARGEST_MESSAGE)
        self._out = bytearray()
        self._requests: dict[int, _Request] = {}
        """by handle"""
        self._ended = False

    def run(self) -> None:
        """Until the program closes its end, or the port is lost."""
        try:
            while not self._ended:
                self._turn()
            self._link.bye()
            self._flow.pump(time.monotonic())
        except PortError:
            # the program sees the connection end
            pass
        finally:
            # the port first: who sees the socket end may open the port again
            self._flow.port.close()
            self._socket.close()

    def _turn(self) -> None:
        due = self._flow.pump(time.monotonic())
        poll = select.poll()
        poll.register(self._flow.port.descriptor, select.POLLIN | (select.POLLOUT if self._flow.blocked else 0))
        reading = self._link.open and self._link.unanswered < MOST_QUEUED
        wanted = (select.POLLIN if reading else 0) | (select.POLLOUT if self._out else 0)
        poll.register(self._socket.fileno(), wanted)
        wait = None if due is None else max(0, math.ceil((due - time.monotonic()) * 1e3))
        for descriptor, events in poll.poll(wait):
            if descriptor == self._flow.port.descriptor:
                if events & ~select.POLLOUT:
                    self._flow.readable(time.monotonic())
            elif events & (select.POLLHUP | select.POLLERR):
                self._ended = True
            else:
                self._exchange(events)

    def _exchange(self, events: int) -> None:
        try:
            if events & select.POLLOUT and self._out:
                del self._out[: self._socket.send(self._out)]
            if events & select.POLLIN:
                data = self._socket.recv(_READ)
                self._ended = not data
                for line in self._lines.feed(data):
                    if line:
                        self._ask(line)
        except BlockingIOError:
            pass
        except OSError:
            self._ended = True

    def _ask(self, line: bytes) -> None:
        message: dict[str, Any] = json.loads(line)
        request = _Request(message["id"], message["op"], line)
        if request.op == "cancel" and message.get("request") is not None:
            self._cancel(request, message["request"])
        elif len(line) > self._link.largest:
            text = f"the request has {len(line)} bytes and the server takes {self._link.largest}; send it as a stream"
            self._put(replies.error(request.id, "too_long", text))
        else:
            self._requests[self._link.send(line)] = request

    def _cancel(self, request: _Request, target: Any) -> None:
        """Take a request back; whether that was in time is known when its reply is there."""
        for handle, asked in self._requests.items():
            if asked.id == target and asked.cancel is None:
                asked.cancel = request.id
                if not self._link.cancel(handle, time.monotonic()):
                    error = replies.error(asked.id, Cancelled.code, "the request was taken back")
                    self._settle(handle, error)
                return
        self._put(replies.result(request.id, b'{"cancelled":false}'))

    def _settle(self, handle: int, line: bytes) -> None:
        """A request has its reply."""
        request = self._requests.pop(handle, None)
        if request is None:
            return
        self._put(line)
        if request.cancel is not None:
            taken = b'"code":"cancelled"' in line
            self._put(replies.result(request.cancel, b'{"cancelled":%b}' % (b"true" if taken else b"false")))

    def _put(self, line: bytes) -> None:
        self._out += line

    # from the link

    def opened(self, _: Terms) -> None:
        self.opened_event.set()

    def replied(self, handle: int, body: bytes) -> None:
        self._settle(handle, body + b"\n")

    def event(self, body: bytes) -> None:
        self._put(body + b"\n")

    def lost(self, _: int | None, unanswered: list[int]) -> None:
        """The server was restarted, say: text operations are asked again, streams are gone."""
        for handle in unanswered:
            request = self._requests.pop(handle, None)
            if request is None:
                continue
            if request.op in _STREAMING or request.cancel is not None:
                self._requests[handle] = request
                text = "the session on the serial link ended, and its streams with it; begin again"
                self._settle(handle, replies.error(request.id, Unavailable.code, text))
            else:
                self._requests[self._link.send(request.line)] = request


class _Turn:
    """Who may open a port of this process next."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last: threading.Thread | None = None
        """it may be about to give the port back"""


_turns: dict[str, _Turn] = {}


def connect(url: SerialUrl, timeout: float) -> socket.socket:
    """A connection to the server at the other end of a port.

    Raises:
        PortError: the port cannot be opened.
        TimeoutError: nobody answered within `timeout` seconds.
    """
    end = time.monotonic() + timeout
    turn = _turns.setdefault(url.port, _Turn())
    if not turn.lock.acquire(timeout=timeout):
        raise TimeoutError(f"another thread of this program is opening {url}")
    try:
        if turn.last is not None:
            turn.last.join(max(0.0, end - time.monotonic()))
        ours, theirs = socket.socketpair()
        try:
            bridge = Bridge(url, theirs)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        turn.last = threading.Thread(target=bridge.run, daemon=True, name=f"serial link at {url}")
        turn.last.start()
    finally:
        turn.lock.release()
    if not bridge.opened_event.wait(max(0.0, end - time.monotonic())):
        ours.close()
        raise TimeoutError(f"no server answered at {url}")
    return ours
