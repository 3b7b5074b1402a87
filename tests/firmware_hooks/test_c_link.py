"""The C client and the reference server, with a wire and a clock that the test has in its hands."""

import random
from typing import Any

import pytest

from tests.firmware_hooks.c_client import EVENT, IDLE, LOST, REPLY, TIMEOUT, Client
from tests.serial.channel import Channel
from tests.serial.reference_server import Server

pytestmark = pytest.mark.firmware

BAUD = 115200
HELLO = 34
"""bytes on the wire"""
ENDED = (REPLY, TIMEOUT, LOST)


def mirror(body: bytes) -> tuple[list[bytes], bytes]:
    """The answer to a request: its bytes backwards."""
    return [], b"\x82" + body[::-1]


def body(text: bytes) -> bytes:
    """The request that `ask` makes."""
    return b"\x02\x01" + len(text).to_bytes(2, "little") + text


def texts(count: int, longest: int = 200) -> list[bytes]:
    draw = random.Random(4)
    return [draw.randbytes(draw.randrange(longest)) for _ in range(count)]


@pytest.mark.parametrize("frame", [64, 100, 256])
@pytest.mark.parametrize(("baud", "byte_us"), [(9600, 1042), (115200, 87), (1_000_000, 10)])
def test_every_request_is_answered_once(library: Any, frame: int, baud: int, byte_us: int) -> None:
    """On a clean wire each reply is that of its request, nothing is sent twice, and nothing is computed twice."""
    server = Server(mirror, 10 / baud)
    client = Client(library, frame=frame, byte_us=byte_us)
    channel = Channel(client, server, baud, 0)
    for text in texts(300 if frame == 256 else 40):
        client.ask(text)
        assert channel.run(ENDED) == REPLY
        assert client.message == b"\x82" + body(text)[::-1]
    assert len(server.executed) == (300 if frame == 256 else 40)
    assert client.counters == dict.fromkeys(client.counters, 0) | {"sessions": 1}
    assert server.counters == {"session": 1}
    client.close()


@pytest.mark.parametrize("rate", [1e-5, 1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("frame", [64, 256])
def test_noise_never_brings_a_wrong_answer(library: Any, rate: float, frame: int) -> None:
    """At up to one damaged byte in a hundred every request is answered, rightly, and computed once."""
    server = Server(mirror, 10 / BAUD)
    client = Client(library, frame=frame, patience=30_000)
    channel = Channel(client, server, BAUD, rate, seed=frame)
    asked = texts(150)
    for text in asked:
        client.ask(text)
        assert channel.run(ENDED) == REPLY
        assert client.message == b"\x82" + body(text)[::-1]
    assert server.executed == [body(text) for text in asked]
    client.close()


def test_a_server_that_restarts_is_asked_again(library: Any) -> None:
    """A request under way when the server forgets everything is answered in the next session."""
    server = Server(mirror, 10 / BAUD)
    client = Client(library)
    channel = Channel(client, server, BAUD, 0)
    draw = random.Random(6)
    for text in texts(60):
        client.ask(text)
        assert channel.run(ENDED, draw.randrange(1, 40)) is not TIMEOUT
        server.restart()
        client.ask(text)
        assert channel.run(ENDED) == REPLY
        assert client.message == b"\x82" + body(text)[::-1]
    assert client.counters["sessions"] > 30
    client.close()


def test_a_client_that_restarts_gets_no_answer_to_what_it_asked_before(library: Any) -> None:
    """Reset at any moment, with the nonce that it had before, a client believes no reply of its former life."""
    server = Server(mirror, 10 / BAUD)
    draw = random.Random(7)
    ticks = 0
    wires: Any = None
    for text in texts(80):
        before, client = Client(library, nonce=1), Client(library, nonce=1)
        channel = Channel(before, server, BAUD, 1e-3, seed=len(text), start=ticks)
        if wires is not None:
            channel.carry_over(wires)
        before.ask(text)
        channel.run(ENDED, draw.randrange(1, 60))
        channel.replace(client)
        client.ask(text[::-1] + b"!")
        assert channel.run(ENDED) == REPLY
        assert client.message == b"\x82" + body(text[::-1] + b"!")[::-1]
        ticks, wires = channel.ticks, channel.wires
        before.close()
        client.close()


def test_a_request_given_up_is_taken_back(library: Any) -> None:
    """At its deadline the client asks something else, and the reply it gave up is not taken for the answer."""
    server = Server(mirror, 10 / BAUD)
    client = Client(library, patience=25)
    channel = Channel(client, server, BAUD, 0)
    said = []
    for number in range(40):
        client.ask(bytes([number]) * (120 if number % 3 else 5))
        said.append(channel.run(ENDED))
        if said[-1] == REPLY:
            assert client.message == b"\x82" + body(bytes([number]) * (120 if number % 3 else 5))[::-1]
    assert said.count(REPLY) > 10 and said.count(TIMEOUT) > 10
    client.close()


def test_nobody_there(library: Any) -> None:
    """Without a server the client says HELLO about every 300 ms and gives up at its deadline."""
    client = Client(library, patience=3000)
    client.ask(b"hello?")
    statuses = [client.poll(b"", milliseconds) for milliseconds in range(3100)]
    assert TIMEOUT in statuses and statuses[-1] == IDLE
    assert len(client.sent()) == 11 * HELLO
    client.close()


def test_the_clock_may_wrap(library: Any) -> None:
    """Nothing happens when the milliseconds begin at 0 again."""
    server = Server(mirror, 10 / BAUD)
    client = Client(library)
    channel = Channel(client, server, BAUD, 1e-3, start=2**32 - 1000)
    channel.run((), 1)
    for text in texts(100):
        client.ask(text)
        assert channel.run(ENDED) == REPLY
    assert channel.ticks > 2**32
    client.close()


def test_numbers_wrap(library: Any) -> None:
    """The 257th request and the 257th event are as good as the first."""
    server = Server(lambda asked: ([b"\x70" + asked], b"\x91" + asked), 10 / BAUD)
    client = Client(library)
    channel = Channel(client, server, BAUD, 0)
    for number in range(600):
        text = b"%d" % number
        client.ask(text)
        assert channel.run((EVENT, *ENDED)) == EVENT
        assert client.message == b"\x70" + body(text)
        assert channel.run((EVENT, *ENDED)) == REPLY
        assert client.message == b"\x91" + body(text)
    client.close()


@pytest.mark.parametrize("rate", [0, 1e-2])
def test_events_come_in_order_before_their_reply(library: Any, rate: float) -> None:
    """A request's events arrive once each, in their order, whatever the wire does."""
    server = Server(lambda asked: ([b"\x70" + bytes([n]) * 300 for n in range(5)], asked), 10 / BAUD)
    client = Client(library, patience=60_000)
    channel = Channel(client, server, BAUD, rate)
    for _ in range(10):
        client.call("edge_close", 1)
        for n in range(5):
            assert channel.run((EVENT, *ENDED)) == EVENT
            assert client.message == b"\x70" + bytes([n]) * 300
        assert channel.run((EVENT, *ENDED)) == REPLY
    client.close()


def test_a_stream_does_not_outlive_its_session(library: Any) -> None:
    """A feed that the server had not acknowledged when it restarted fails, and the next request goes on."""
    server = Server(mirror, 10 / BAUD)
    client = Client(library)
    channel = Channel(client, server, BAUD, 0)
    client.call("edge_open", 1, 0, 0, 0, 0)
    assert channel.run(ENDED) == REPLY
    server.restart()
    client.call("edge_feed", 1, b"abc", 3)
    assert channel.run(ENDED) == LOST
    client.ask(b"and now?")
    assert channel.run(ENDED) == REPLY
    client.close()


def test_without_credit_nothing_is_sent_but_questions(library: Any) -> None:
    """A server that takes nothing for now is asked about once a second, and gets the request when it is ready."""
    server = Server(mirror, 10 / BAUD)
    server.busy = True
    client = Client(library, patience=60_000)
    channel = Channel(client, server, BAUD, 0)
    client.ask(b"x" * 100)
    channel.run(ENDED, 10_000)
    assert channel.up < 2000 and not server.executed
    server.busy = False
    assert channel.run(ENDED) == REPLY
    client.close()


def test_a_long_request_goes_in_pieces(library: Any) -> None:
    """16 KB in one message arrive whole, at nine bytes in ten of those sent."""
    server = Server(lambda asked: ([], b"\x91" + len(asked).to_bytes(4, "little")), 10 / BAUD)
    client = Client(library)
    channel = Channel(client, server, BAUD, 0)
    data = random.Random(8).randbytes(16_000)
    client.call("edge_feed", 1, data, len(data))
    assert channel.run(ENDED) == REPLY
    assert server.executed[0][-len(data) :] == data
    assert len(data) / (channel.up + channel.down) > 0.90
    client.close()


def test_a_slow_uart_is_waited_for(library: Any) -> None:
    """The write callback may take one byte and refuse the next, in the middle of anything."""
    server = Server(mirror, 10 / BAUD)
    client = Client(library)
    client.room(3)
    channel = Channel(client, server, BAUD, 1e-3)
    for text in texts(60):
        client.ask(text)
        assert channel.run(ENDED) == REPLY
        assert client.message == b"\x82" + body(text)[::-1]
    client.close()


def test_its_own_echo_is_no_answer(library: Any) -> None:
    """Frames of a client are counted and ignored: a looped port gives no answer."""
    client = Client(library, patience=2000)
    client.ask(b"echo")
    echo = b""
    for milliseconds in range(2100):
        status = client.poll(echo, milliseconds)
        if status == TIMEOUT:
            break
        echo = client.sent()
    assert status == TIMEOUT and client.counters["echo"] == 7
    client.close()


def test_random_bytes_are_survived(library: Any) -> None:
    """After a megabyte of noise the next request is answered."""
    server = Server(mirror, 10 / BAUD)
    client = Client(library)
    channel = Channel(client, server, BAUD, 0)
    client.ask(b"before")
    assert channel.run(ENDED) == REPLY
    draw = random.Random(9)
    for _ in range(1000):
        noise = (
            draw.randbytes(1000) if draw.random() < 0.5 else bytes(draw.choice((0, 1, 2, 13, 255)) for _ in range(99))
        )
        client.poll(noise, channel.ticks)
        client.sent()
    client.ask(b"after")
    assert channel.run(ENDED) == REPLY
    assert client.message == b"\x82" + body(b"after")[::-1]
    client.close()


def test_a_cancelled_request_has_its_reply(library: Any) -> None:
    """CANCEL is sent once the server has the request, and what comes is the reply."""
    server = Server(mirror, 10 / BAUD)
    server.hold = True
    client = Client(library, patience=60_000)
    channel = Channel(client, server, BAUD, 0)
    client.ask(b"slow")
    channel.run(ENDED, 2000)
    client.call("edge_link_cancel")
    channel.run(ENDED, 50)
    assert server.counters["cancel"]
    server.release()
    assert channel.run(ENDED) == REPLY
    client.close()
