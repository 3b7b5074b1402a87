"""Load from many connections out of one thread: requests are encoded beforehand and replies are read only as far as
their id, because the generator shares its processor with the server.

Closed loop: each connection sends its next request when it has its reply. Open loop: requests are sent at times that
are fixed beforehand, whether or not earlier ones were answered.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SILENCE = 60.0
"""seconds without any reply after which a server counts as stalled"""
_READ = 1 << 18


@dataclass(slots=True)
class Reply:
    """What came back, and when; times on `time.perf_counter`."""

    request: int
    connection: int
    at: float
    line: bytes

    @property
    def outcome(self) -> str:
        """`ok`, or the error's code."""
        marker = b'"error":'
        place = self.line.find(marker)
        if place < 0:
            return "ok"
        code = self.line.index(b'"code":', place) + len(b'"code":')
        return self.line[code:].split(b'"', 2)[1].decode()


@dataclass(slots=True)
class Run:
    """Everything that was sent and received."""

    sent: dict[int, float] = field(default_factory=dict)
    """when, by id"""
    owner: dict[int, int] = field(default_factory=dict)
    """the connection that a request was sent on, by id"""
    replies: list[Reply] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def latencies(self, outcome: str) -> list[float]:
        """Seconds from sending to reply of those with this outcome, rising."""
        return sorted(reply.at - self.sent[reply.request] for reply in self.replies if reply.outcome == outcome)


class _Connection:
    __slots__ = ("backlog", "buffer", "number", "socket")

    def __init__(self, path: Path, number: int) -> None:
        self.number = number
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(os.fspath(path))
        self.socket.setblocking(False)
        self.buffer = b""
        self.backlog = b""

    def send(self, data: bytes) -> None:
        """Send, and keep what the kernel does not take."""
        self.backlog += data
        with suppress(BlockingIOError):
            self.backlog = self.backlog[self.socket.send(self.backlog) :]

    def lines(self) -> list[bytes]:
        """Whole lines that have arrived.

        Raises:
            ConnectionError: the server ended the connection.
        """
        try:
            data = self.socket.recv(_READ)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionError("the server ended a connection")
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        return lines


def closed_loop(path: Path, requests: Sequence[Sequence[tuple[int, bytes]]], depth: int = 1) -> Run:
    """Let each of several clients send its requests (id and line) one after the other, `depth` of them ahead.

    Raises:
        ConnectionError, TimeoutError: the server ended a connection, or does not answer.
    """
    run = Run()
    connections = [_Connection(path, number) for number in range(len(requests))]
    waiting = [iter(each) for each in requests]
    left = sum(map(len, requests))

    def send_next(connection: _Connection) -> None:
        following = next(waiting[connection.number], None)
        if following is not None:
            run.sent[following[0]] = time.perf_counter()
            run.owner[following[0]] = connection.number
            connection.send(following[1])

    with _Poll(connections) as poll:
        run.began = time.perf_counter()
        for connection in connections:
            for _ in range(depth):
                send_next(connection)
        while left:
            for connection in poll.wait(SILENCE):
                for line in connection.lines():
                    run.replies.append(Reply(_id(line), connection.number, time.perf_counter(), line))
                    left -= 1
                    send_next(connection)
        run.ended = time.perf_counter()
    return run


def open_loop(path: Path, connections: int, requests: Sequence[tuple[int, bytes]], rate: float) -> Run:
    """Send the requests (id and line), in turn from several connections, `rate` of them a second; wait for all replies.

    Raises:
        ConnectionError, TimeoutError: the server ended a connection, or does not answer.
    """
    run = Run()
    clients = [_Connection(path, number) for number in range(connections)]
    place, left = 0, len(requests)
    with _Poll(clients) as poll:
        run.began = time.perf_counter()
        while left:
            now = time.perf_counter()
            due = min(len(requests), int((now - run.began) * rate) + 1)
            if place < due:
                batches: dict[int, list[bytes]] = {}
                for number in range(place, due):
                    request, line = requests[number]
                    run.sent[request] = now
                    run.owner[request] = number % connections
                    batches.setdefault(number % connections, []).append(line)
                for number, lines in batches.items():
                    clients[number].send(b"".join(lines))
                place = due
            until = run.began + place / rate - time.perf_counter() if place < len(requests) else SILENCE
            for connection in poll.wait(max(0.0, until), silence=place == len(requests)):
                lines = connection.lines()
                now = time.perf_counter()
                run.replies += [Reply(_id(line), connection.number, now, line) for line in lines]
                left -= len(lines)
                if connection.backlog:
                    connection.send(b"")
        run.ended = time.perf_counter()
    return run


class _Poll:
    """Waits for replies; the garbage collector rests meanwhile."""

    def __init__(self, connections: Sequence[_Connection]) -> None:
        self._poll = select.epoll()
        self._by_descriptor = {connection.socket.fileno(): connection for connection in connections}
        for descriptor in self._by_descriptor:
            self._poll.register(descriptor, select.EPOLLIN)

    def __enter__(self) -> _Poll:
        gc.collect()
        gc.disable()
        return self

    def __exit__(self, *_: object) -> None:
        gc.enable()
        self._poll.close()
        for connection in self._by_descriptor.values():
            connection.socket.close()

    def wait(self, seconds: float, silence: bool = True) -> list[_Connection]:
        """Connections with something to read; with `silence`, nothing at all is a stall.

        Raises:
            TimeoutError: nothing came.
        """
        found = self._poll.poll(seconds)
        if not found and silence:
            raise TimeoutError(f"the server has sent nothing for {seconds:g} s")
        return [self._by_descriptor[descriptor] for descriptor, _ in found]


def percentile(rising: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed; NaN of none."""
    if not rising:
        return float("nan")
    return rising[min(len(rising) - 1, max(0, -int(-share * len(rising) // 1) - 1))]


def _id(line: bytes) -> int:
    """The id of a reply; -1 where it has none."""
    start = line.find(b'"id":') + 5
    end = line.find(b",", start)
    try:
        return int(line[start:end])
    except ValueError:
        return -1
