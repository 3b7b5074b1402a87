"""Both ends of a link over a simulated wire: noise, resets, restarts, and peers that keep to no rule."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.serial_link import frames, messages
from edge_runtime.serial_link.counters import Counters
from edge_runtime.serial_link.frames import Cancel, Data, Hello, Reset, State
from edge_runtime.serial_link.server_link import ServerLink
from tests.edge_runtime.serial_link.simulation import DIGEST, Echo, Pair, terms

simulated = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class TestCleanWire:
    """Nothing is damaged."""

    @pytest.mark.parametrize("size", [0, 1, 100, 241, 242, 245, 5000, 69_000])
    def test_every_size(self, size: int) -> None:
        """Messages of all sizes come back whole, with nothing sent twice."""
        pair = Pair()
        body = random.Random(size).randbytes(size)
        assert pair.ask(body) == body[::-1]
        assert not any(pair.client.counters.errors.values()) and not any(pair.server.counters.errors.values())

    def test_numbers_go_round(self) -> None:
        """After 255 comes 0."""
        pair = Pair()
        for number in range(600):
            assert pair.ask(b"%d" % number) == (b"%d" % number)[::-1]
        assert len(pair.echo.asked_bodies) == 600

    def test_reply_is_the_acknowledgement(self) -> None:
        """A short exchange is three frames: request, reply, and the reply's acknowledgement."""
        pair = Pair()
        pair.ask(b"first")
        pair.run(1.0)
        before = pair.client.counters.frames_out, pair.server.counters.frames_out
        pair.ask(b"second")
        pair.run(1.0)
        assert (pair.client.counters.frames_out - before[0], pair.server.counters.frames_out - before[1]) == (2, 1)

    def test_idle_is_silent(self) -> None:
        """When all is answered nothing is sent, however long."""
        pair = Pair()
        pair.ask(b"x")
        pair.run(2.0)
        sent = pair.up.sent, pair.down.sent
        pair.run(86_400.0)
        assert (pair.up.sent, pair.down.sent) == sent

    def test_silent_server_is_asked(self) -> None:
        """While a request waits, the client asks now and then whether the server is there, and does not give up."""
        pair = Pair()
        pair.echo.silent = True
        assert pair.ask(b"x", seconds=20.0) is None
        assert pair.asker.resets == [] and pair.client.counters.frames_out > 10

    def test_several_requests(self) -> None:
        """As many as were agreed on are under way at once, and no more."""
        pair = Pair(client=terms(requests=32), server=terms(requests=3))
        pair.echo.silent = True
        for number in range(8):
            pair.client.send(b"%d" % number)
        pair.run(3.0)
        assert pair.echo.asked_bodies == [b"0", b"1", b"2"]
        assert pair.echo.link is not None
        pair.echo.silent = False
        for number in (2, 1, 3):
            pair.server.reply(number, b"late %d" % number)
        pair.run(10.0)
        assert [pair.asker.replies[handle] for handle in (1, 2, 3)] == [b"late 1", b"late 2", b"late 3"]
        assert [pair.asker.replies[handle] for handle in range(4, 9)] == [b"3", b"4", b"5", b"6", b"7"]

    def test_events_in_order(self) -> None:
        """Events arrive in their order, before the reply that was given after them."""
        pair = Pair()
        pair.echo.events = 300
        assert pair.ask(b"feed", seconds=100) == b"deef"
        assert pair.asker.seen == [b"%d of feed" % number for number in range(300)]

    def test_request_beyond_the_server(self) -> None:
        """A request that is longer than the server takes is acknowledged and not answered, and the link goes on."""
        pair = Pair(server=terms(message=600))
        pair.ask(b"hello")
        pair.client.largest = 10_000
        handle = pair.client.send(bytes(700))
        pair.run(1.0)
        assert pair.echo.asked_bodies == [b"hello"]
        pair.client.forget(handle)
        assert pair.ask(b"next") == b"txen"

    def test_taking_back(self) -> None:
        """A request that waits is taken back by CANCEL, and its reply says so."""
        pair = Pair()
        pair.ask(b"hello")
        pair.echo.silent = True
        handle = pair.client.send(b"slow")
        pair.run(0.5)
        assert pair.client.cancel(handle, pair.now)
        pair.run(0.5)
        assert pair.asker.replies[handle] == b"taken back"

    def test_newer_request_takes_older_back(self) -> None:
        """A client that goes on without its reply tells the server so by asking something else."""
        pair = Pair(client=terms(requests=1))
        pair.ask(b"hello")
        pair.echo.silent = True
        handle = pair.client.send(b"slow")
        pair.run(0.5)
        pair.client.forget(handle)
        pair.echo.silent = False
        assert pair.ask(b"quick") == b"kciuq"
        assert handle not in pair.asker.replies

    def test_no_credit(self) -> None:
        """A server that is backed up takes no request, and takes it when it is no longer."""
        pair = Pair()
        pair.ask(b"first")
        pair.server.back_up(True, pair.now)
        pair.ask(b"second")
        handle = pair.client.send(b"third")
        pair.run(5.0)
        assert pair.echo.asked_bodies == [b"first", b"second"]
        pair.server.back_up(False, pair.now)
        pair.run(0.1)
        assert pair.asker.replies[handle] == b"driht"

    def test_lost_grant(self) -> None:
        """Where the STATE that says there is credit again is lost, the client asks for it."""
        pair = Pair()
        pair.ask(b"first")
        pair.server.back_up(True, pair.now)
        pair.ask(b"second")
        handle = pair.client.send(b"third")
        pair.run(0.5)
        pair.server.back_up(False, pair.now)
        assert pair.server.poll(pair.now)
        pair.run(5.0)
        assert pair.asker.replies[handle] == b"driht"


class TestNoise:
    """Flipped, lost, invented and late bytes."""

    @simulated
    @given(seed=st.integers(0, 2**32), rate=st.sampled_from([1e-5, 1e-4, 1e-3, 1e-2, 3e-2]))
    def test_no_wrong_answer(self, seed: int, rate: float) -> None:
        """Every request is answered, rightly and once, and executed once."""
        pair = Pair(rate, seed)
        draw = random.Random(seed)
        bodies = [draw.randbytes(draw.randrange(300)) for _ in range(12)]
        for body in bodies:
            assert pair.ask_until_answered(body, 600.0) == body[::-1]
        if not pair.asker.resets:
            assert pair.echo.asked_bodies == bodies

    @simulated
    @given(seed=st.integers(0, 2**32))
    def test_events_under_noise(self, seed: int) -> None:
        """Events arrive once each and in order."""
        pair = Pair(3e-3, seed)
        pair.echo.events = 20
        assert pair.ask(b"feed", seconds=600.0) == b"deef"
        if not pair.asker.resets:
            assert pair.asker.seen == [b"%d of feed" % number for number in range(20)]

    def test_large_message_under_noise(self) -> None:
        """A document of 64 KB gets through at one damaged byte in a thousand."""
        pair = Pair(1e-3, 7)
        body = random.Random(7).randbytes(65_536)
        assert pair.ask(body, seconds=600.0) == body[::-1]

    def test_only_noise(self) -> None:
        """A wire with nothing but noise brings no session and no message."""
        draw = random.Random(1)
        server = ServerLink(Echo(), terms(), 115_200, Counters())
        server.digest = DIGEST
        for step in range(300):
            server.receive(draw.randbytes(997), step * 0.1)
            while server.poll(step * 0.1):
                pass
        assert server.counters.sessions == server.counters.messages_in == 0
        assert server.counters.errors["crc"] + server.counters.errors["cobs"] > 500


class TestBeginningsAndEnds:
    """Resets and restarts at the worst moments."""

    @simulated
    @given(moments=st.lists(st.floats(0.0, 0.08), min_size=1, max_size=8), seed=st.integers(0, 99))
    def test_server_restarts(self, moments: list[float], seed: int) -> None:
        """However often the server forgets everything, a reply is that of its own request."""
        pair = Pair(1e-3, seed)
        for number, moment in enumerate(moments):
            bodies = {pair.client.send(body): body for body in (b"a%d" % number * 30, b"b%d" % number * 9)}
            pair.run(moment)
            pair.restart_server()
            pair.run(10.0)
            for handle, body in bodies.items():
                if handle in pair.asker.replies:
                    assert pair.asker.replies[handle] == body[::-1]
                else:
                    assert handle in pair.asker.unanswered
        assert pair.ask_until_answered(b"after all") == b"lla retfa"

    @simulated
    @given(moments=st.lists(st.floats(0.0, 0.08), min_size=1, max_size=8), nonces=st.booleans())
    def test_client_restarts(self, moments: list[float], nonces: bool) -> None:
        """A microcontroller that is reset never takes its former life's reply, even if its nonce repeats."""
        pair = Pair(1e-3, 5)
        for number, moment in enumerate(moments):
            pair.client.send(b"old %d" % number * 20)
            pair.run(moment)
            pair.restart_client(number if nonces else 77)
            body = b"new %d" % number * 20
            assert pair.ask_until_answered(body) == body[::-1]

    def test_reset_tells(self) -> None:
        """A restarted server tells the client at its first frame, not by silence."""
        pair = Pair()
        pair.ask(b"x")
        pair.restart_server()
        begun = pair.now
        assert pair.ask(b"y") is None
        assert pair.asker.resets == [frames.UNKNOWN] and pair.now - begun < 0.1

    def test_bye(self) -> None:
        """A client that says goodbye ends the session at the server."""
        pair = Pair()
        pair.ask(b"x")
        pair.client.bye()
        pair.run(1.0)
        assert not pair.server.open

    def test_hello_waits_for_models(self) -> None:
        """A server that loads models says nothing, and the client asks until it does."""
        pair = Pair()
        pair.server.digest = None
        pair.run(5.0)
        assert not pair.client.open and pair.server.counters.frames_out == 0
        pair.server.digest = DIGEST
        pair.run(0.5)
        assert pair.client.open

    def test_no_common_version(self) -> None:
        """A client of another version is told, and waits before it asks again."""
        offered = terms()
        pair = Pair(client=frames.Terms(0, 1, offered.frame, offered.message, 2048, 5, 1, DIGEST))
        pair.run(1.9)
        assert not pair.client.open and pair.client.counters.frames_out == 1

    def test_repeated_hello(self) -> None:
        """A HELLO that is repeated before anything else came is the same session; a later one is another."""
        server = ServerLink(Echo(), terms(), 115_200, Counters())
        server.digest = DIGEST
        hello = frames.encode(Hello(terms()))
        server.receive(hello, 0.0)
        first = server.poll(0.0)
        server.receive(hello, 0.1)
        assert server.poll(0.1) == first and server.counters.sessions == 1
        epoch = frames.epoch(int.from_bytes(frames._content(frames.decode(first[1:-1], False))[-8:-4], "little"))
        server.receive(frames.encode(State(epoch, 0, 0, 9, False)), 0.2)
        server.receive(hello, 0.3)
        assert server.poll(0.3) not in (first, b"") and server.counters.sessions == 2


class TestHostileClient:
    """Frames that are right, and make no sense."""

    @simulated
    @given(seed=st.integers(0, 2**32))
    def test_any_frames(self, seed: int) -> None:
        """Frames in any order, with any numbers, are survived; what is kept stays small; a good client is served."""
        draw = random.Random(seed)
        pair = Pair()
        pair.ask(b"x")
        server = pair.server
        for _ in range(300):
            session = server._session
            epoch = session.epoch if session is not None and draw.random() < 0.9 else draw.randrange(256)
            number, place = draw.choice([draw.randrange(256), 2, 3]), draw.choice([0, 0, draw.randrange(1 << 24)])
            piece = draw.randbytes(draw.randrange(1, 246))
            flags = [draw.random() < 0.5 for _ in range(4)]
            choices: list[frames.Frame] = [
                Data(epoch, number, place, piece, False, *flags[:3]),
                State(epoch, number, place, draw.randrange(0xFFFF), False, *flags),
                Cancel(epoch, number),
                Reset(epoch, draw.randrange(256), False),
                Hello(terms(frame=draw.randrange(64, 1025), window=draw.randrange(32, 999))),
            ]
            frame = draw.choice(choices)
            pair.now += 0.001
            server.receive(frames.encode(frame), pair.now)
            assert len(server.poll(pair.now)) <= frames.LARGEST_FRAME
            if server._session is not None:
                assert len(server._session.receiver.data) <= terms().message
                assert len(server._requests) <= frames.MOST_REQUESTS
        server.receive(b"\0", pair.now)
        pair.restart_client(12345)
        assert pair.ask_until_answered(b"still there") == b"ereht llits"

    def test_request_of_another_session(self) -> None:
        """A request whose CRC-32 is that of another session is not executed."""
        pair = Pair()
        pair.ask(b"x")
        session = pair.server._session
        assert session is not None
        data = messages.seal(session.number ^ 1, messages.REQUEST, 2, 0, b"evil")
        frame = Data(session.epoch, 2, 0, data, False, last=True)
        pair.server.receive(frames.encode(frame), pair.now)
        assert pair.echo.asked_bodies == [b"x"] and pair.server.counters.errors["message"] == 1
