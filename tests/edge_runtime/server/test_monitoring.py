"""What a scraper and a health check get, over real sockets, and what ill-behaved clients get."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.server import monitoring
from edge_runtime.server.metrics import CONTENT_TYPE
from edge_runtime.server.monitoring import MAX_CONNECTIONS, MAX_HEAD, Monitoring

TEXT = "# HELP edge_a_total A.\n# TYPE edge_a_total counter\nedge_a_total 7\n"


class Answers:
    """What the server behind it would say."""

    def __init__(self) -> None:
        self.state = "ready"
        self.error: Exception | None = None

    async def metrics(self) -> str:
        if self.error is not None:
            raise self.error
        return TEXT

    async def health(self) -> tuple[str, Any]:
        return self.state, {"state": self.state, "reasons": []}


def converse(work: Callable[[str], Any], path: Path | None = None, answers: Answers | None = None) -> Any:
    """Run `work(address)` in a thread while monitoring listens on a Unix socket at `path` or on a TCP port."""
    answers = answers or Answers()

    async def serve() -> Any:
        served = Monitoring(answers.metrics, answers.health)
        if path is None:
            listening = socket.create_server(("127.0.0.1", 0))
            address = str(listening.getsockname()[1])
        else:
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(str(path))
            listening.listen()
            address = str(path)
        await served.start(listening)
        try:
            return await asyncio.to_thread(work, address)
        finally:
            await served.close()

    return asyncio.run(serve())


def ask(address: str, method: str, target: str, headers: dict[str, str] | None = None) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", int(address), timeout=30)
    connection.request(method, target, headers=headers or {})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def raw(address: str, message: bytes, then_close: bool = False) -> bytes:
    """All that comes back for these bytes, until the server ends the connection."""
    family = socket.AF_UNIX if "/" in address else socket.AF_INET
    with socket.socket(family) as connection:
        connection.settimeout(30)
        connection.connect(address if "/" in address else ("127.0.0.1", int(address)))
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(message)
        if then_close:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_metrics() -> None:
    """GET /metrics returns the text with Prometheus' content type and closes, whatever follows a question mark."""

    def work(address: str) -> None:
        for target in ("/metrics", "/metrics?name[]=x", "http://board/metrics"):
            response, body = ask(address, "GET", target)
            assert (response.status, body.decode()) == (200, TEXT)
            assert response.getheader("Content-Type") == CONTENT_TYPE
            assert response.getheader("Connection") == "close"

    converse(work)


@pytest.mark.parametrize(("state", "code"), [("ready", 200), ("degraded", 200), ("starting", 503), ("stopping", 503)])
def test_health(state: str, code: int) -> None:
    """GET /health says the state as JSON, with 200 only where requests are answered."""
    answers = Answers()
    answers.state = state
    response, body = converse(lambda address: ask(address, "GET", "/health"), answers=answers)
    assert (response.status, json.loads(body)) == (code, {"state": state, "reasons": []})


def test_head() -> None:
    """HEAD returns the same fields as GET, and no body."""

    def work(address: str) -> None:
        response, body = ask(address, "HEAD", "/metrics")
        assert (response.status, response.getheader("Content-Length"), body) == (200, str(len(TEXT)), b"")

    converse(work)


def test_unix_socket(tmp_path: Path) -> None:
    """It works over a Unix socket, for HTTP/1.0 clients too."""
    answer = converse(lambda address: raw(address, b"GET /metrics HTTP/1.0\r\n\r\n"), tmp_path / "metrics.sock")
    assert status(answer) == 200 and answer.endswith(TEXT.encode())


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"GET /else HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"DELETE /health HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", 400),
        (b"GET http://[/metrics HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: " + b"x" * MAX_HEAD + b"\r\n\r\n", 431),
        (b"A" * (4 * MAX_HEAD), 431),
    ],
)
def test_everything_else(message: bytes, code: int) -> None:
    """Other paths, methods and messages get the status that says what is wrong."""
    answer = converse(lambda address: raw(address, message))
    assert status(answer) == code
    if code == 405:
        assert b"\r\nAllow: GET, HEAD\r\n" in answer


def test_half_a_request() -> None:
    """A client that goes away in the middle gets nothing, and the next one is served."""

    def work(address: str) -> None:
        assert raw(address, b"GET /metr", then_close=True) == b""
        assert raw(address, b"", then_close=True) == b""
        assert ask(address, "GET", "/metrics")[0].status == 200

    converse(work)


def test_slow_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that does not arrive in time is answered with 408."""
    monkeypatch.setattr(monitoring, "MAX_SECONDS", 0.05)
    assert status(converse(lambda address: raw(address, b"GET /metrics HTTP/1.1\r\n"))) == 408


def test_crowd() -> None:
    """Connections beyond the limit are turned away with 503; when others leave, there is room again."""

    def work(address: str) -> None:
        idle = [socket.create_connection(("127.0.0.1", int(address)), timeout=30) for _ in range(MAX_CONNECTIONS)]
        assert status(raw(address, b"")) == 503
        for connection in idle:
            # a whole request is answered and ended by the server, so its place is free when the end is seen
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
        for connection in idle:
            while connection.recv(4096):
                pass
            connection.close()
        assert ask(address, "GET", "/health")[0].status == 200

    converse(work)


def test_failure() -> None:
    """An error behind it is a 500 that tells the client nothing, and the next request is served."""
    answers = Answers()
    answers.error = RuntimeError("secret")

    def work(address: str) -> None:
        response, body = ask(address, "GET", "/metrics")
        assert response.status == 500 and b"secret" not in body
        answers.error = None
        assert ask(address, "GET", "/metrics")[0].status == 200

    converse(work, answers=answers)


def test_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no answer is made in time, the scraper gets 503."""
    monkeypatch.setattr(monitoring, "MAX_SECONDS", 0.05)

    class Hanging(Answers):
        async def metrics(self) -> str:
            forever: Awaitable[str] = asyncio.get_running_loop().create_future()
            return await forever

    assert converse(lambda address: ask(address, "GET", "/metrics"), answers=Hanging())[0].status == 503


def test_closing_ends_connections() -> None:
    """Closing ends connections that are still open."""

    async def work() -> bytes:
        answers = Answers()
        served = Monitoring(answers.metrics, answers.health)
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        await served.start(listening)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health HTTP/1.1\r\n")
        other = await asyncio.to_thread(ask, str(port), "GET", "/health")
        assert other[0].status == 200
        await served.close()
        try:
            found = await reader.read()
        except ConnectionResetError:
            found = b""
        writer.close()
        return found

    assert asyncio.run(work()) == b""
