"""Servers that do not keep to the protocol: every call ends, with a sentence, and never with another's answer."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import (
    AsyncClient,
    Client,
    ConnectionLost,
    DeadlineExceeded,
    EdgeError,
    InputError,
    Overloaded,
    ServerError,
)
from edge_runtime.client import messages
from tests.edge_runtime.client.driver import Driver
from tests.edge_runtime.client.hostile import Hostile, Peer, Talk

TEXT = "turn off the kitchen lights"
TIMEOUT = 1.0
"""of calls that are answered; a busy machine may need more, and a test waits for it only where no answer comes"""

Start = Callable[[Talk], Hostile]
UNDERSTOOD = {"result": {"intent": "x", "score": 1, "slots": []}, "model": "m", "task": "understand"}


def after_hello(answer: bytes | Callable[[Any], bytes]) -> Talk:
    """Greets, and answers the next request with bytes; then waits for the client to go."""

    def talk(peer: Peer) -> None:
        peer.greet()
        request = peer.read()
        peer.send_bytes(answer if isinstance(answer, bytes) else answer(request["id"]))
        peer.wait_until_gone()

    return talk


GARBAGE = [
    b"garbage\n",
    b"\xff\xfe\n",
    b"[]\n",
    b"5\n",
    b'"text"\n',
    b"{\n",
    b"[" * 100_000 + b"\n",
    b'{"id": NaN}\n',
    b'{"id": 1' + b"0" * 3000 + b"}\n",
    b"HTTP/1.1 400 Bad Request\r\n",
    b"x" * 5000,
    b'{"id":true,"result":{}}\n',
    b'{"id":99,"result":{}}\n',
    b'{"id":"2","result":{}}\n',
    b'{"id":2.0,"result":{}}\n',
    b'{"id":[2],"result":{}}\n',
]


@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage(answer: bytes, kind: str, hostile: Start) -> None:
    """What is no reply to anything that was asked is the server's error, at once, and ends the connection."""
    server = hostile(after_hello(answer))
    with Driver(kind, server.url, timeout=60.0) as driver:
        for _ in range(2):
            with pytest.raises(ServerError):
                driver.call("understand", TEXT)
    assert server.connections == 2


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"result": None, "model": "m", "task": "understand"},
        {"result": {}, "model": "m", "task": "understand"},
        {"result": {"intent": 5, "score": 1, "slots": []}, "model": "m", "task": "understand"},
        {"result": {"intent": "x", "score": "1", "slots": []}, "model": "m", "task": "understand"},
        {"result": {"intent": "x", "score": True, "slots": []}, "model": "m", "task": "understand"},
        {"result": {"intent": "x", "score": 10**400, "slots": []}, "model": "m", "task": "understand"},
        {"result": [1e39], "model": "m", "task": "embed"},
        {"result": {"intent": "x", "score": 1, "slots": [{}]}, "model": "m", "task": "understand"},
        {"result": {"intent": "x", "score": 1, "slots": []}, "model": "m"},
        {"result": {"intent": "x", "score": 1, "slots": []}, "model": "m", "task": "sing"},
        {"error": {}},
        {"error": "text"},
        {"error": {"code": 5, "message": "text"}},
        {**UNDERSTOOD, "timing_ms": {"queue": "long"}},
    ],
)
def test_wrong_reply(reply: dict[str, Any], kind: str, hostile: Start) -> None:
    """A reply to the request that is no result of its operation is the server's error."""
    server = hostile(after_hello(lambda number: json.dumps({"id": number, **reply}).encode() + b"\n"))
    with Driver(kind, server.url, timeout=60.0) as driver, pytest.raises(ServerError):
        driver.call("understand", TEXT)


@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"garbage\n",
        b'{"id":1}\n',
        b'{"id":1,"result":{}}\n',
        b'{"id":1,"result":{"limits":5,"models":[]}}\n',
        b"x" * (5 << 20),
    ],
)
def test_wrong_greeting(greeting: bytes, kind: str, hostile: Start) -> None:
    """A server that does not say hello as the protocol has it is refused."""

    def talk(peer: Peer) -> None:
        peer.read()
        if greeting:
            peer.send_bytes(greeting)

    server = hostile(talk)
    with Driver(kind, server.url, timeout=60.0) as driver, pytest.raises((ServerError, ConnectionLost)):
        driver.call("understand", TEXT)


@pytest.mark.parametrize(
    "limits", [{}, {"pending": 0, "batch": -5, "feed_bytes": 0}, {"reply_bytes": 1e300}, {"batch": "x"}]
)
def test_odd_limits(limits: dict[str, Any], kind: str, hostile: Start) -> None:
    """Limits that make no sense do not keep a client from asking."""

    def talk(peer: Peer) -> None:
        peer.greet(limits=limits)
        peer.send({"id": peer.read()["id"], **UNDERSTOOD})
        peer.wait_until_gone()

    with Driver(kind, hostile(talk).url, timeout=60.0) as driver:
        assert driver.call("understand", TEXT).intent == "x"


def test_silence(kind: str, hostile: Start) -> None:
    """A server that accepts and never says anything costs no more than the timeout."""

    def talk(peer: Peer) -> None:
        peer.wait_until_gone()

    with Driver(kind, hostile(talk).url, timeout=0.2) as driver, pytest.raises(DeadlineExceeded):
        driver.call("understand", TEXT)


def test_silence_after_hello(kind: str, hostile: Start) -> None:
    """A connection on which nothing is answered any more is given up, and another one tried."""

    def talk(peer: Peer) -> None:
        peer.greet()
        peer.wait_until_gone()

    server = hostile(talk)
    with Driver(kind, server.url, timeout=0.2) as driver:
        for _ in range(4):
            with pytest.raises(DeadlineExceeded):
                driver.call("understand", TEXT)
    assert server.connections >= 2


def test_late_reply_is_nobody_elses(kind: str, hostile: Start) -> None:
    """A reply that comes after its call timed out is not taken for the next call's."""
    late = threading.Event()

    def talk(peer: Peer) -> None:
        peer.greet()
        first = peer.read()
        if first["text"] != "first":
            peer.send({"id": first["id"], **UNDERSTOOD})
            peer.wait_until_gone()
            return
        late.wait()
        peer.send({"id": first["id"], "result": {"intent": "late", "score": 1, "slots": []}, "task": "understand"})
        while True:
            request = peer.read()
            if request["op"] == "cancel":
                peer.send({"id": request["id"], "result": {"cancelled": False}})
            else:
                peer.send({"id": request["id"], **UNDERSTOOD})

    with Driver(kind, hostile(talk).url, timeout=0.3) as driver:
        with pytest.raises(DeadlineExceeded):
            driver.call("understand", "first")
        late.set()
        driver.client.timeout = 60.0
        assert driver.call("understand", "second").intent == "x"


@pytest.mark.parametrize("answer", [b"", b'{"id": 2, "resul', b"\n\n  \n"])
def test_closed_midway(answer: bytes, kind: str, hostile: Start) -> None:
    """A connection that ends before or within the reply is lost; the call, which had been received, is not repeated."""
    received = []

    def talk(peer: Peer) -> None:
        peer.greet()
        received.append(peer.read())
        peer.send_bytes(answer)

    with Driver(kind, hostile(talk).url, timeout=60.0) as driver, pytest.raises(ConnectionLost):
        driver.call("understand", TEXT)
    assert len(received) == 1


def test_closed_while_idle(kind: str, hostile: Start) -> None:
    """A connection that the server ended after a reply is made anew for the next call."""
    closed = threading.Semaphore(0)

    def talk(peer: Peer) -> None:
        peer.greet()
        peer.send({"id": peer.read()["id"], **UNDERSTOOD})
        peer.close()
        closed.release()

    server = hostile(talk)
    with Driver(kind, server.url, timeout=60.0) as driver:
        for _ in range(5):
            assert driver.call("understand", TEXT).intent == "x"
            closed.acquire()
    assert server.connections == 5


@pytest.mark.parametrize("before", [False, True], ids=["meanwhile", "before the client writes"])
def test_last_words(before: bool, kind: str, hostile: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that concerns the whole connection is raised as what it is, even where nothing can be sent any more."""
    error = {"id": None, "error": {"code": "overloaded", "message": "the server is full"}}
    gone, hello = threading.Event(), messages.hello

    def talk(peer: Peer) -> None:
        peer.send(error)
        peer.close()
        gone.set()

    def late_hello(number: int, token: str | None) -> bytes:
        gone.wait()
        return hello(number, token)

    if before:
        monkeypatch.setattr(messages, "hello", late_hello)
    with Driver(kind, hostile(talk).url, timeout=60.0) as driver, pytest.raises(Overloaded, match="full"):
        driver.call("understand", TEXT)


def test_reply_before_the_end(hostile: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply that lies there unread when the next request finds the server gone is not lost; that is sent again."""
    gone, request = threading.Event(), messages.request

    def talk(peer: Peer) -> None:
        peer.greet()
        peer.send({"id": peer.read()["id"], **UNDERSTOOD})
        peer.close()
        gone.set()

    def late_request(number: int, op: str, values: Any, limits: Any) -> bytes:
        if values.get("text") == "second":
            gone.wait()
        return request(number, op, values, limits)

    async def run() -> None:
        async with AsyncClient(server.url, timeout=60.0) as client:
            replies = await asyncio.gather(client.understand("first"), client.understand("second"))
        assert [reply.intent for reply in replies] == ["x", "x"]

    monkeypatch.setattr(messages, "request", late_request)
    server = hostile(talk)
    asyncio.run(run())
    assert server.connections == 2


def test_unknown_code(kind: str, hostile: Start) -> None:
    """An error code of a later protocol counts as the server's failure, and is told."""
    error = {"code": "tea_time", "message": "come back at five"}
    server = hostile(after_hello(lambda number: json.dumps({"id": number, "error": error}).encode() + b"\n"))
    with (
        Driver(kind, server.url, timeout=60.0) as driver,
        pytest.raises(ServerError, match=r"come back at five \(tea_time\)"),
    ):
        driver.call("understand", TEXT)


def test_endless_line(kind: str, hostile: Start) -> None:
    """A line without end is given up at the longest that was announced."""

    def talk(peer: Peer) -> None:
        peer.greet()
        peer.read()
        while True:
            peer.send_bytes(b"x" * 65536)

    with Driver(kind, hostile(talk).url, timeout=60.0) as driver, pytest.raises(ServerError, match="longer"):
        driver.call("understand", TEXT)


def test_drip(kind: str, hostile: Start) -> None:
    """A reply that comes byte by byte does not put the timeout off."""

    def talk(peer: Peer) -> None:
        peer.greet()
        peer.read()
        while True:
            peer.send_bytes(b" ")
            threading.Event().wait(0.02)

    with Driver(kind, hostile(talk).url, timeout=0.3) as driver, pytest.raises(DeadlineExceeded):
        driver.call("understand", TEXT)


def test_events_without_end(kind: str, hostile: Start) -> None:
    """Events of streams that nobody opened are dropped, and do not put the timeout off."""

    def talk(peer: Peer) -> None:
        peer.greet()
        peer.read()
        while True:
            peer.send({"stream": 1, "window": {}})

    with Driver(kind, hostile(talk).url, timeout=0.5) as driver, pytest.raises(DeadlineExceeded):
        driver.call("understand", TEXT)


def opened(peer: Peer) -> Any:
    """Greets, opens the stream that is asked for, and returns its name."""
    peer.greet(limits={})
    request = peer.read()
    peer.send({"id": request["id"], "result": {"task": "tag", "model": "m", "window": 8, "overlap": 0}})
    return request["stream"]


def test_flood_of_events(kind: str, hostile: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of a stream that was opened are kept up to a limit, beyond which the connection is given up."""
    monkeypatch.setattr("edge_runtime.client.events.MAX_BYTES", 1 << 20)

    def talk(peer: Peer) -> None:
        name = opened(peer)
        while True:
            peer.send({"stream": name, "window": {"text": "x" * 4096}})

    with Driver(kind, hostile(talk).url, timeout=60.0) as driver, pytest.raises(ServerError, match="events"):
        driver.read(["text"], task="tag")


@pytest.mark.parametrize("window", [None, 5, {}, {"index": 0, "start": 0, "end": 1, "tokens": 3, "result": [5]}])
def test_wrong_event(window: Any, kind: str, hostile: Start) -> None:
    """An event that is none is the server's error."""

    def talk(peer: Peer) -> None:
        name = opened(peer)
        request = peer.read()
        peer.send({"stream": name, "window": window})
        peer.send({"id": request["id"], "result": {"windows": 1, "characters": 1}})
        while True:
            peer.send({"id": peer.read()["id"], "result": {"cancelled": True}})

    with Driver(kind, hostile(talk).url, timeout=60.0) as driver, pytest.raises(ServerError):
        driver.read(["text"], task="tag")


def test_server_that_does_not_read(kind: str, hostile: Start) -> None:
    """Sending to a server that reads nothing ends after the timeout."""
    done = threading.Event()

    def talk(peer: Peer) -> None:
        peer.greet(limits={"line_bytes": 64 << 20})
        done.wait()

    with Driver(kind, hostile(talk).url, timeout=0.5) as driver:
        with pytest.raises(DeadlineExceeded):
            driver.call("understand", "x" * (16 << 20))
        done.set()


def test_fewer_results_than_requests(kind: str, hostile: Start) -> None:
    """A batch that is answered in part is the server's error."""
    server = hostile(after_hello(lambda number: json.dumps({"id": number, "result": []}).encode() + b"\n"))
    with Driver(kind, server.url, timeout=60.0) as driver, pytest.raises(ServerError, match="0 of 1"):
        driver.call("batch", [{"op": "tag", "text": TEXT}])


def test_no_more_than_announced_at_a_time(hostile: Start) -> None:
    """A client never has more requests waiting than the server announced that it takes."""
    most = 0

    def talk(peer: Peer) -> None:
        nonlocal most
        peer.greet(limits={"pending": 3})
        while True:
            # the client sends all it may before it gets the first reply
            waiting = [peer.read() for _ in range(3)]
            peer.socket.setblocking(False)
            with pytest.raises(BlockingIOError):
                peer.socket.recv(1)
            peer.socket.setblocking(True)
            most = max(most, len(waiting))
            for request in waiting:
                peer.send({"id": request["id"], **UNDERSTOOD})

    async def run() -> None:
        async with AsyncClient(hostile(talk).url, timeout=60.0) as client:
            await asyncio.gather(*(client.understand(TEXT) for _ in range(30)))

    asyncio.run(run())
    assert most == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "intent",
                    "score",
                    "slots",
                    "label",
                    "type",
                    "text",
                    "start",
                    "end",
                    "token",
                    "index",
                    "scores",
                    "result",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=500)
@given(JSON, st.sampled_from(["understand", "classify", "tag", "answer", "embed", "fill", "choose", "sing"]))
def test_any_result(value: Any, task: str) -> None:
    """Whatever JSON comes as a result, it becomes a result or a ServerError, nothing else."""
    with suppress(ServerError):
        messages.text_result({"result": value, "task": task})


@settings(max_examples=300)
@given(JSON)
def test_any_reply(value: Any) -> None:
    """Whatever JSON comes as a line, it is a message or an error that is told, nothing else."""
    with suppress(EdgeError):
        message = messages.read(json.dumps(value).encode())
        messages.timing(message)
        messages.text_result(message)


def test_what_was_not_sent_costs_nothing(hostile: Start) -> None:
    """A request that cannot be sent leaves the connection as it was."""

    def talk(peer: Peer) -> None:
        peer.greet()
        while True:
            peer.send({"id": peer.read()["id"], **UNDERSTOOD})

    server = hostile(talk)
    with Client(server.url, timeout=60.0) as client:
        client.understand(TEXT)
        with pytest.raises(InputError):
            client.understand("\ud800")
        client.understand(TEXT)
    assert server.connections == 1
