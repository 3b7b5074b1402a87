"""Two ends of a link, a wire that damages, and a clock that jumps: a year of noise in seconds."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from edge_runtime.serial_link.client_link import ClientLink
from edge_runtime.serial_link.counters import Counters
from edge_runtime.serial_link.frames import Terms
from edge_runtime.serial_link.server_link import ServerLink

DIGEST = bytes(range(8))


def terms(**changed: int) -> Terms:
    """What a side offers."""
    values = {"frame": 256, "message": 70_000, "window": 2048, "pause": 5, "requests": 4, **changed}
    return Terms(version=1, nonce=77, digest=DIGEST, **values)


class Wire:
    """One direction: bytes arrive in order, at the baud rate, less what noise does to them."""

    def __init__(self, baud: int, rate: float, draw: random.Random) -> None:
        """`rate`: errors per byte, of four kinds, each as likely."""
        self._byte = 10 / baud
        self._rate = rate
        self._draw = draw
        self._busy = 0.0
        self._under_way: deque[tuple[float, int]] = deque()
        self.sent = 0

    def write(self, data: bytes, now: float) -> None:
        self.sent += len(data)
        for byte in data:
            self._busy = max(self._busy, now) + self._byte
            for arriving in self._damage(byte):
                self._under_way.append((self._busy, arriving))

    def _damage(self, byte: int) -> list[int]:
        draw = self._draw
        if draw.random() >= self._rate:
            return [byte]
        match draw.randrange(4):
            case 0:
                return [byte ^ 1 << draw.randrange(8)]
            case 1:
                return []
            case 2:
                return [draw.randrange(256), byte]
            case _:
                self._busy += draw.random() * 0.05
                return [byte]

    @property
    def free(self) -> float:
        """When what was written will be out."""
        return self._busy

    @property
    def next(self) -> float | None:
        return self._under_way[0][0] if self._under_way else None

    def read(self, now: float) -> bytes:
        arrived = bytearray()
        while self._under_way and self._under_way[0][0] <= now:
            arrived.append(self._under_way.popleft()[1])
        return bytes(arrived)


@dataclass
class Echo:
    """A server that answers what it was asked, reversed; a host."""

    link: ServerLink | None = None
    asked_bodies: list[bytes] = field(default_factory=list)
    sessions: int = 0
    silent: bool = False
    events: int = 0

    def begun(self) -> None:
        self.sessions += 1

    def ended(self) -> None:
        pass

    def asked(self, number: int, body: bytes) -> None:
        self.asked_bodies.append(body)
        assert self.link is not None
        for place in range(self.events):
            self.link.event(b"%d of " % place + body)
        if not self.silent:
            self.link.reply(number, body[::-1])

    def taken_back(self, number: int) -> None:
        assert self.link is not None
        self.link.reply(number, b"taken back")


@dataclass
class Asker:
    """A client; a host."""

    replies: dict[int, bytes] = field(default_factory=dict)
    seen: list[bytes] = field(default_factory=list)
    resets: list[int | None] = field(default_factory=list)
    unanswered: list[int] = field(default_factory=list)
    opened_times: int = 0

    def opened(self, _: Terms) -> None:
        self.opened_times += 1

    def lost(self, reason: int | None, unanswered: list[int]) -> None:
        self.resets.append(reason)
        self.unanswered += unanswered

    def replied(self, handle: int, body: bytes) -> None:
        assert handle not in self.replies, "answered twice"
        self.replies[handle] = body

    def event(self, body: bytes) -> None:
        self.seen.append(body)


class Pair:
    """Both ends and the wires between."""

    def __init__(
        self,
        rate: float = 0.0,
        seed: int = 0,
        baud: int = 115_200,
        client: Terms | None = None,
        server: Terms | None = None,
    ) -> None:
        draw = random.Random(seed)
        self.now = 0.0
        self.baud = baud
        self.up, self.down = Wire(baud, rate, draw), Wire(baud, rate, draw)
        self.asker, self.echo = Asker(), Echo()
        self.server_terms = server or terms()
        self.client = ClientLink(self.asker, client or terms(), baud, Counters(), self.now)
        self.restart_server()

    def restart_server(self) -> None:
        """A new server at the same wire: it knows of no session."""
        self.echo.link = self.server = ServerLink(self.echo, self.server_terms, self.baud, Counters())
        self.server.digest = DIGEST

    def restart_client(self, nonce: int) -> None:
        self.asker = Asker()
        self.client = ClientLink(self.asker, terms(), self.baud, Counters(), self.now)
        self.client._nonce = nonce

    def step(self) -> bool:
        """Until the next thing happens; False if nothing ever will."""
        self.server.receive(self.up.read(self.now), self.now)
        self.client.receive(self.down.read(self.now), self.now)
        times: list[float | None] = []
        for link, wire in ((self.client, self.up), (self.server, self.down)):
            # as a driver that keeps no more than a frame in the adapter
            while wire.free <= self.now:
                frame = link.poll(self.now)
                if not frame:
                    times.append(link.due(self.now))
                    break
                wire.write(frame, self.now)
            else:
                times.append(wire.free)
            times.append(wire.next)
        coming = [time for time in times if time is not None]
        if not coming:
            return False
        self.now = max(min(coming), self.now + 1e-6)
        return True

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end and self.step():
            pass

    def ask(self, body: bytes, seconds: float = 60.0) -> bytes | None:
        """The reply, if it comes within so many seconds of the wire's time."""
        handle = self.client.send(body)
        end = self.now + seconds
        while handle not in self.asker.replies and self.now < end and self.step():
            if handle in self.asker.unanswered:
                return None
        return self.asker.replies.get(handle)

    def ask_until_answered(self, body: bytes, seconds: float = 60.0) -> bytes | None:
        """As a client does: what a reset took is asked again."""
        reply = self.ask(body, seconds)
        while reply is None and self.asker.unanswered:
            self.asker.unanswered.clear()
            reply = self.ask(body, seconds)
        return reply
