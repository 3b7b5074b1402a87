"""One connection to a server: sends requests, and waits for their replies."""

from __future__ import annotations

import math
import select
import time
from collections import deque
from collections.abc import Mapping
from itertools import count
from typing import Any

from edge_runtime.client import messages
from edge_runtime.client.events import MAX_BYTES, Events
from edge_runtime.client.messages import Greeting
from edge_runtime.client.urls import Address
from edge_runtime.errors import ConnectionLost, DeadlineExceeded, ServerError
from edge_runtime.protocol.limits import Limits
from edge_runtime.protocol.lines import Lines

_READ = 1 << 16
"""bytes asked for at once"""


class Connection:
    """For one thread at a time. Whatever goes wrong beyond an error reply ends it: `closed` is then true."""

    def __init__(self, address: Address, token: str | None, until: float) -> None:
        """Connect and say hello; `until` is a time of `time.monotonic`.

        Raises:
            ConnectionLost: nobody listens there.
            DeadlineExceeded: no answer in time.
            EdgeError: the server refused.
        """
        self.closed = False
        self._address = address
        self._numbers = count(1)
        self._waiting: dict[int, dict[str, Any] | None] = {}
        self.events = Events()
        self._arrived: deque[bytes] = deque()
        self._arrived_bytes = 0
        self._ended = False
        self._limits = Limits()
        self._lines = Lines(self._limits.reply_bytes)
        try:
            self._socket = address.connect(max(0.001, until - time.monotonic()))
        except TimeoutError:
            raise DeadlineExceeded(f"{address} did not take the connection in time") from None
        except OSError as error:
            raise ConnectionLost(
                f"cannot connect to {address}: {error.strerror or error}; is edge-runtime serve running there?"
            ) from None
        try:
            self._socket.setblocking(False)
            number = next(self._numbers)
            self._waiting[number] = None
            self._send(messages.hello(number, token), until)
            self.greeting = Greeting.read(self.reply(number, until))
        except BaseException:
            self.close()
            raise
        self._limits = self.greeting.limits
        self._lines = Lines(self._limits.reply_bytes)

    def close(self) -> None:
        self.closed = True
        self._socket.close()

    def alive(self) -> bool:
        """Whether nobody has ended it yet, as far as can be told without sending."""
        if not self.closed:
            try:
                self._receive()
            except ServerError:
                self._ended = True
            if self._ended:
                self.close()
        return not self.closed

    def send(self, op: str, values: Mapping[str, Any], until: float) -> int:
        """Send a request → its id.

        Raises:
            InputError, TooLong: it cannot be sent; the connection goes on.
            ConnectionLost: the connection has ended, and the server has not read the whole request.
            DeadlineExceeded: the server did not take it in time.
        """
        number = next(self._numbers)
        line = messages.request(number, op, values, self._limits)
        self._waiting[number] = None
        try:
            self._send(line, until)
        except BaseException:
            self.close()
            raise
        return number

    def reply(self, number: int, until: float, patience: float | None = None) -> dict[str, Any]:
        """Wait for the reply to a request, an error among replies.

        Args:
            number: its id.
            until: when to give up.
            patience: seconds by which every message that arrives puts that off.

        Raises:
            ConnectionLost: the connection has ended.
            DeadlineExceeded: no reply in time.
            EdgeError: the server refuses to go on, or what it sends is no answer.
        """
        try:
            while (found := self._waiting[number]) is None:
                if self._take(self._line(until)) and patience is not None:
                    until = time.monotonic() + patience
        except BaseException:
            self.close()
            raise
        del self._waiting[number]
        return found

    def _take(self, line: bytes) -> bool:
        """Put a message where it belongs; false if nobody waits for it."""
        message = messages.read(line)
        number = message.get("id")
        if number is None:
            if message.get("error") is not None:
                raise messages.failure(message["error"])
            return self.events.take(message, len(line))
        if isinstance(number, bool) or not isinstance(number, int) or self._waiting.get(number, {}) is not None:
            raise ServerError(f"the server answered a request that was not sent ({number!r:.60}); connect again")
        self._waiting[number] = message
        return True

    def _line(self, until: float) -> bytes:
        while not self._arrived:
            if self._ended:
                raise ConnectionLost(f"{self._address} ended the connection before it answered")
            self._wait(select.POLLIN, until)
            self._receive()
        line = self._arrived.popleft()
        self._arrived_bytes -= len(line)
        return line

    def _send(self, data: bytes, until: float) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                # What the server has to say meanwhile must be read, or each would wait for the other.
                if self._wait(select.POLLIN | select.POLLOUT, until) & (select.POLLIN | select.POLLHUP):
                    self._receive()
            except OSError as error:
                self._last_words()
                raise ConnectionLost(f"{self._address} ended the connection: {error.strerror or error}") from None
            if self._ended and view:
                self._last_words()
                raise ConnectionLost(f"{self._address} ended the connection before it had read the request")

    def _last_words(self) -> None:
        """Raise the error that the server gave before it ended the connection, if there is one."""
        self._receive()
        while self._arrived:
            self._take(self._arrived.popleft())

    def _receive(self) -> None:
        """Take what has arrived, without waiting."""
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._ended = not data
        for line in self._lines.feed(data):
            if line is None:
                raise ServerError("the server sent a line longer than it announced; is it an edge-runtime?")
            if line.strip():
                self._arrived.append(line)
                self._arrived_bytes += len(line)
        if self._arrived_bytes > MAX_BYTES:
            raise ServerError(f"the server sent more than {MAX_BYTES} bytes while it was sent one request")

    def _wait(self, what: int, until: float) -> int:
        poll = select.poll()
        poll.register(self._socket.fileno(), what)
        left = until - time.monotonic()
        found = poll.poll(math.ceil(left * 1000)) if left > 0 else []
        if not found:
            raise DeadlineExceeded(f"{self._address} did not answer in time; the connection was given up")
        return found[0][1]
