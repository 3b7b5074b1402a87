"""A wire between a client and the reference server: bytes take time, some are damaged, lost, invented or held up."""

from __future__ import annotations

import random
from collections import deque
from typing import Protocol

from tests.serial.reference_server import Server

TICK = 0.001
"""seconds"""


class Client(Protocol):
    """What is on the other end."""

    def poll(self, data: bytes, milliseconds: int) -> int: ...

    def sent(self) -> bytes: ...


class Noise:
    """Errors at a rate per byte: half of them flipped bits, a fifth each lost and invented bytes, a tenth pauses."""

    def __init__(self, rate: float, seed: int) -> None:
        self._rate = rate
        self._random = random.Random(seed)
        self.pause = 0
        """ticks for which nothing comes"""

    def __call__(self, data: bytes) -> bytes:
        draw = self._random
        out = bytearray()
        for byte in data:
            if draw.random() >= self._rate:
                out.append(byte)
                continue
            what = draw.random()
            if what < 0.5:
                out.append(byte ^ (1 << draw.randrange(8)))
            elif what < 0.7:
                pass
            elif what < 0.9:
                out += bytes((draw.randrange(256), byte))
            else:
                out.append(byte)
                self.pause = draw.randrange(1, 50)
        return bytes(out)


class Channel:
    """Moves bytes both ways at a baud rate, a millisecond at a time."""

    def __init__(self, client: Client, server: Server, baud: int, rate: float, seed: int = 0, start: int = 0) -> None:
        self._client, self._server = client, server
        self._per_tick = baud / 10 * TICK
        self._noises = Noise(rate, seed), Noise(rate, seed + 1)
        self.wires: tuple[deque[int], deque[int]] = (deque(), deque())
        """bytes under way, to the server and to the client"""
        self._owed = [0.0, 0.0]
        self.ticks = start
        self.up = self.down = 0
        """bytes that went over the wire"""

    def replace(self, client: Client) -> None:
        """Put another client where the first was; what is under way to it stays."""
        self._client = client

    def carry_over(self, wires: tuple[deque[int], deque[int]]) -> None:
        """Begin with what is under way on another channel."""
        self.wires = wires

    def run(self, until: tuple[int, ...], most: int = 100_000) -> int:
        """Until the client says one of these, or so many milliseconds are over; what it said last."""
        for _ in range(most):
            self.ticks += 1
            self._server.now = self.ticks * TICK
            status = self._client.poll(self._carry(1), self.ticks)
            self.wires[0].extend(self._client.sent())
            self._server.feed(self._carry(0))
            self.wires[1].extend(self._server.out)
            self._server.out.clear()
            if status in until:
                return status
        return status

    def _carry(self, way: int) -> bytes:
        noise, wire = self._noises[way], self.wires[way]
        if noise.pause:
            noise.pause -= 1
            return b""
        if not wire:
            self._owed[way] = 0.0
            return b""
        self._owed[way] += self._per_tick
        count = min(int(self._owed[way]), len(wire))
        self._owed[way] -= count
        data = bytes(wire.popleft() for _ in range(count))
        if way:
            self.down += count
        else:
            self.up += count
        return noise(data)
