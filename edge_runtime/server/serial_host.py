"""One serial client's conversation: messages of the link, JSON or compact, for a `Session`, and its replies back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from edge_runtime import __version__
from edge_runtime.errors import EdgeError, ServerError, TooLong
from edge_runtime.protocol import replies
from edge_runtime.protocol.requests import RequestId, read_object
from edge_runtime.serial_link import compact_replies, compact_requests
from edge_runtime.serial_link.compact_requests import CompactRequest
from edge_runtime.serial_link.frames import REPLACED, UNKNOWN
from edge_runtime.serial_link.labels import Tables
from edge_runtime.server.logs import EventLog
from edge_runtime.server.peer import Peer
from edge_runtime.server.session import Session

if TYPE_CHECKING:
    from edge_runtime.serial_link.server_link import ServerLink
    from edge_runtime.server.service import Service

MANY_UNSENT = 256 << 10
"""bytes waiting to go out beyond which a client's requests are not taken: twenty seconds at 115,200 baud"""
MAX_UNSENT = 8 << 20
"""bytes of replies and events beyond which a session is ended: as for sockets"""
DIGEST_BYTES = 8
_JSON = 0x7B

log = EventLog(__name__)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request without a reply."""

    number: int
    compact: CompactRequest | None
    """None: it came as JSON"""
    id: RequestId | None
    """that came with the JSON"""
    op: str
    stream: RequestId | None


@dataclass(frozen=True, slots=True)
class _Stream:
    """A stream as it was opened."""

    compact: bool
    task: str
    model: str
    options: int


class SerialHost:
    """Of one port: sessions come and go with the client's HELLOs."""

    def __init__(self, service: Service, port: str, wake: Callable[[], None]) -> None:
        """`wake` is called when the link has something to send."""
        self._service = service
        self._port = port
        self._wake = wake
        self.link: ServerLink | None = None
        self._session: Session | None = None
        self._ids = count(1)
        """of requests, for the session: never the same twice"""
        self._asked: dict[int, _Asked] = {}
        self._streams: dict[RequestId, _Stream] = {}
        self._tables: dict[str, Tables] = {}
        self._digest = ""

    @property
    def idle(self) -> bool:
        """Whether every request has its reply and the client has them."""
        return self._session is None or (self._session.idle and self._link.idle)

    def refresh(self, now: float) -> None:
        """Due now and then, and when a model has been replaced: what a HELLO is answered with."""
        service, link = self._service, self._link
        if not service.started or service.stopping:
            link.digest = None
        else:
            digest = service.model(None).description.digest
            if digest != self._digest and self._session is not None:
                log.info("the model was replaced; the client is told", port=self._port)
                link.reset(REPLACED)
            self._digest = digest
            link.digest = bytes.fromhex(digest)[:DIGEST_BYTES]
        if self._session is not None:
            self._session.sweep(now)
        self._flow(now)

    # from the link

    def begun(self) -> None:
        peer = Peer("serial", self._port, administrator=False)
        self._session = Session(self._service, peer, self._line, lambda _: None)
        models = self._service.models.items()
        self._tables = {name: Tables.of(json.loads(model.description.json)) for name, model in models}
        self._service.measures.accepted.labels("serial").add()
        log.info("a client said hello", port=self._port)

    def ended(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            self._asked.clear()
            self._streams.clear()
            session.gone()

    def asked(self, number: int, body: bytes) -> None:
        request: CompactRequest | None = None
        message: Mapping[str, Any] = {}
        is_json = body[:1] == b"{"
        try:
            if is_json:
                message = read_object(body)
            else:
                request = compact_requests.read(body)
                message = request.message
                if request.op in ("info", "labels"):
                    self._link.reply(number, self._described(request))
                    return
        except EdgeError as error:
            self._refuse(number, is_json, error)
            return
        self._ask(number, message, request)

    def taken_back(self, number: int) -> None:
        for name, asked in self._asked.items():
            if asked.number == number and self._session is not None:
                self._session.take_back(name)
                return

    # to the session

    @property
    def _link(self) -> ServerLink:
        assert self.link is not None, "the link is made after its host"
        return self.link

    def _ask(self, number: int, message: Mapping[str, Any], request: CompactRequest | None) -> None:
        session = self._session
        assert session is not None
        name = next(self._ids)
        given, op, stream = message.get("id"), message.get("op"), message.get("stream")
        usable = isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool))
        self._asked[name] = _Asked(
            number,
            request,
            given if usable else None,
            op if isinstance(op, str) else "",
            stream if isinstance(stream, str | int) else None,
        )
        asking = {**message, "id": name}
        if op == "cancel" and message.get("request") is not None:
            asking["request"] = self._called(message["request"])
        session.receive_object(asking)

    def _called(self, given: Any) -> int:
        """The session's name for the request that a client names; 0, which none has, if there is none."""
        for name, asked in self._asked.items():
            if asked.id == given and type(asked.id) is type(given):
                return name
        return 0

    def _described(self, request: CompactRequest) -> bytes:
        """The reply to `info` or `labels`, which need no session.

        Raises:
            UnknownModel: there is no such model.
        """
        model = self._service.model(request.message.get("model"))
        description = model.description
        tables = self._tables.get(description.name)
        if tables is None:
            tables = Tables.of(json.loads(description.json))
        if request.op == "info":
            return compact_replies.info(description.summary(), tables, __version__)
        names = tables.types if request.message["table"] else tables.labels
        return compact_replies.labels(names, request.message.get("first", 0), self._link.largest)

    def _refuse(self, number: int, is_json: bool, error: EdgeError) -> None:
        self._link.reply(number, self._error(error.code, str(error), None if is_json else b"", None))

    # from the session

    def _line(self, line: bytes) -> None:
        """A reply or an event, as a socket's client would get it."""
        link = self._link
        self._wake()
        if line.startswith(b'{"stream":'):
            self._event(line)
            return
        name = int(line[len(b'{"id":') : line.index(b",")])
        asked = self._asked.pop(name, None)
        if asked is None:
            return
        rest = line[line.index(b",") + 1 : -1]
        if asked.compact is None and asked.op not in ("open", "close", "cancel", "feed"):
            body = self._with_id(asked, rest)
            message: dict[str, Any] = {}
        else:
            message = json.loads(line)
            body = self._with_id(asked, rest) if asked.compact is None else self._compact(asked, message)
        self._note_stream(asked, message)
        if len(body) > link.largest:
            body = self._too_long(asked)
        link.reply(asked.number, body)
        if link.unsent > MAX_UNSENT:
            log.warning("the client reads nothing; its session is ended", port=self._port, unsent=link.unsent)
            link.reset(UNKNOWN)

    def _with_id(self, asked: _Asked, rest: bytes) -> bytes:
        """A JSON reply with the client's own id, if it gave one."""
        return b"{%b" % rest if asked.id is None else b'{"id":%b,%b' % (replies.dump(asked.id), rest)

    def _too_long(self, asked: _Asked) -> bytes:
        message = f"the reply has more bytes than the client takes ({self._link.largest})"
        return self._error(TooLong.code, message, None if asked.compact is None else b"", asked)

    def _error(self, code: str, message: str, compact: bytes | None, asked: _Asked | None) -> bytes:
        """An error whose text is cut to fit."""
        largest = self._link.largest
        if compact is not None:
            return compact_replies.error(code, message, largest)
        given = None if asked is None else asked.id
        while True:
            failure = b'"error":%b}' % replies.failure(code, message)
            body = b"{%b" % failure if given is None else b'{"id":%b,%b' % (replies.dump(given), failure)
            if len(body) <= largest:
                return body
            if message:
                message = message[: max(0, len(message) - (len(body) - largest))]
            elif given is not None:
                given = None
            else:
                return b"{}"

    def _compact(self, asked: _Asked, message: dict[str, Any]) -> bytes:
        """The compact form of a reply."""
        request = asked.compact
        assert request is not None
        try:
            if message.get("error") is not None:
                error = message["error"]
                return compact_replies.error(error["code"], error["message"], self._link.largest)
            if request.op == "close" and asked.stream is not None:
                stream = self._streams.get(asked.stream)
                if stream is None:
                    raise ServerError("the server has forgotten how the stream was opened")
                tables = self._tables_of(stream.model)
                return compact_replies.final(stream.task, message["result"], tables, request.options | stream.options)
            tables = self._tables_of(message.get("model"))
            return compact_replies.reply(message.get("task", request.op), message, tables, request.options)
        except EdgeError as error:
            return compact_replies.error(error.code, str(error), self._link.largest)

    def _tables_of(self, model: str | None) -> Tables:
        return self._tables.get(model or "", Tables((), ()))

    def _note_stream(self, asked: _Asked, message: dict[str, Any]) -> None:
        """Remember how a stream was opened until it is closed."""
        if asked.stream is None or asked.op not in ("open", "close", "cancel", "feed"):
            return
        session = self._session
        if asked.op == "open" and "result" in message:
            opened = message["result"]
            request = asked.compact
            # those that ended unasked are forgotten when another is opened
            self._streams = {
                name: stream for name, stream in self._streams.items() if session and session.has_stream(name)
            }
            self._streams[asked.stream] = _Stream(
                request is not None, opened["task"], opened["model"], 0 if request is None else request.options
            )
        elif asked.op == "close":
            self._streams.pop(asked.stream, None)

    def _event(self, line: bytes) -> None:
        link = self._link
        message = json.loads(line)
        stream = self._streams.get(message["stream"])
        if stream is None:
            return
        body = line[:-1]
        if stream.compact:
            try:
                body = compact_replies.event(stream.task, message, self._tables_of(stream.model), stream.options)
            except EdgeError:
                # the reply to `close` will say so
                return
        if len(body) <= link.largest:
            link.event(body)

    def _flow(self, now: float) -> None:
        """Take no more requests while much waits to go into streams, or to go out."""
        session, link = self._session, self._link
        if session is not None:
            link.back_up(session.backed_up or link.unsent > MANY_UNSENT, now)

    def settle(self, now: float) -> None:
        """Due after everything that the link was given."""
        self._flow(now)
