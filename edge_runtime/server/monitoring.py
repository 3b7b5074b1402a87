"""`GET /metrics` and `GET /health` over HTTP/1.1, for Prometheus and for load balancers; nothing else.

One request per connection, without a body. It listens on this machine only (a loopback address or a Unix socket): there
is no encryption and nobody is asked who they are.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from edge_runtime.server.logs import EventLog
from edge_runtime.server.metrics import CONTENT_TYPE

MAX_HEAD = 8192
"""bytes of a request's line and header fields; Prometheus sends about 300"""
MAX_SECONDS = 5.0
"""for a request to arrive, for the answer to be made, and for it to be read: Prometheus' own limit is 10 in all"""
MAX_CONNECTIONS = 16
"""at a time; a board has a scraper or two and a health check"""
MAX_LINGER = 65536
"""bytes that are read and thrown away after an answer, so that closing does not reset it (RFC 9112, 9.6)"""
LINGER_SECONDS = 1.0

WELL = {"ready", "degraded"}
"""states in which requests are answered"""

Metrics = Callable[[], Awaitable[str]]
Health = Callable[[], Awaitable[tuple[str, Any]]]

_log = EventLog("edge_runtime.server.monitoring")


class _Answer(NamedTuple):
    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    fields: tuple[str, ...] = ()
    with_body: bool = True


class Monitoring:
    """Answers on a listening socket until it is closed.

        monitoring = Monitoring(metrics, health)
        await monitoring.start(sock)

    `metrics` returns the text of a scrape, `health` the server's state and what there is to say about it as JSON.
    """

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listening: socket.socket) -> None:
        """Serve `listening`, a Unix or TCP socket that is bound; it is closed by `close`."""
        self._server = await asyncio.start_server(self._connected, sock=listening, limit=MAX_HEAD)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._converse(reader, writer, crowded=len(self._tasks) > MAX_CONNECTIONS)
        except (OSError, TimeoutError):
            pass
        except Exception as error:
            _log.exception("monitoring failed", error)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, crowded: bool) -> None:
        if crowded:
            writer.write(_encoded(_plain(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")))
            writer.write_eof()
            return
        try:
            async with asyncio.timeout(MAX_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        except asyncio.LimitOverrunError:
            answer = _plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"at most {MAX_HEAD} bytes")
        except TimeoutError:
            answer = _plain(HTTPStatus.REQUEST_TIMEOUT, f"the request took more than {MAX_SECONDS:g} s to arrive")
        else:
            answer = await self._answer(head)
        async with asyncio.timeout(MAX_SECONDS):
            writer.write(_encoded(answer))
            writer.write_eof()
            await writer.drain()
        await _linger(reader)

    async def _answer(self, head: bytes) -> _Answer:
        lines = head[:-4].split(b"\r\n")
        words = lines[0].split(b" ")
        if len(words) != 3 or words[2] not in {b"HTTP/1.0", b"HTTP/1.1"}:
            return _plain(HTTPStatus.BAD_REQUEST, "this is HTTP/1.1; ask for /metrics or /health")
        names = [line.partition(b":")[0].lower() for line in lines[1:]]
        # RFC 9112, 3.2: a request without exactly one Host is refused, and 5.1: no white space before the colon
        if any(b":" not in line or line[:1] in b" \t" for line in lines[1:]) or any(b" " in name for name in names):
            return _plain(HTTPStatus.BAD_REQUEST, "a header field is malformed")
        if names.count(b"host") != 1 and not (words[2] == b"HTTP/1.0" and b"host" not in names):
            return _plain(HTTPStatus.BAD_REQUEST, "there must be one Host")
        method = words[0]
        if method not in {b"GET", b"HEAD"}:
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD", ("Allow: GET, HEAD",))
        try:
            answer = await self._resource(urlsplit(words[1].decode("ascii")).path)
        except ValueError:
            answer = _plain(HTTPStatus.BAD_REQUEST, "the target is malformed")
        return answer._replace(with_body=method == b"GET")

    async def _resource(self, path: str) -> _Answer:
        if path not in {"/metrics", "/health"}:
            return _plain(HTTPStatus.NOT_FOUND, "there are /metrics and /health")
        try:
            async with asyncio.timeout(MAX_SECONDS):
                if path == "/metrics":
                    return _Answer(HTTPStatus.OK, (await self._metrics()).encode(), CONTENT_TYPE)
                state, said = await self._health()
        except TimeoutError:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, f"the server did not answer within {MAX_SECONDS:g} s")
        except Exception as error:
            _log.exception("monitoring could not answer", error, path=path)
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "the server's log says what is wrong")
        status = HTTPStatus.OK if state in WELL else HTTPStatus.SERVICE_UNAVAILABLE
        return _Answer(status, json.dumps(said).encode() + b"\n", "application/json")


def _plain(status: HTTPStatus, text: str, fields: tuple[str, ...] = ()) -> _Answer:
    return _Answer(status, f"{text}\n".encode(), fields=fields)


def _encoded(answer: _Answer) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *answer.fields,
    )
    return "".join(f"{line}\r\n" for line in head).encode() + b"\r\n" + (answer.body if answer.with_body else b"")


async def _linger(reader: asyncio.StreamReader) -> None:
    left = MAX_LINGER
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0 and (read := await reader.read(4096)):
                left -= len(read)
