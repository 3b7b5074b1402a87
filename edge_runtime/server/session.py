"""One client's conversation: lines in, replies out. It knows nothing of what carries them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import DeadlineExceeded, EdgeError, Forbidden, InputError, Overloaded, TooLong, Unavailable
from edge_runtime.protocol import replies
from edge_runtime.protocol.requests import (
    Ask,
    Batch,
    Cancel,
    Close,
    Envelope,
    Feed,
    Health,
    Hello,
    Info,
    Metrics,
    Open,
    Reload,
    RequestId,
    SlowDown,
    open_envelope,
    parse,
)
from edge_runtime.protocol.requests import envelope as read_envelope
from edge_runtime.server.job import Job, Outcome
from edge_runtime.server.logs import EventLog
from edge_runtime.server.peer import Peer
from edge_runtime.server.streams import OpenStream

if TYPE_CHECKING:
    from edge_runtime.server.served import ServedModel
    from edge_runtime.server.service import Service

NO_MODEL = "none"
"""in metrics, of operations that concern none"""

MAX_DEFERRED = 16
"""requests of a client that are kept until the models are loaded; each may be as long as a line, and the rest of what
it sends waits in its socket"""

_AT_ONCE = {"hello", "info", "health", "metrics", "cancel"}
"""operations that wait for nothing, and so are answered however much else waits"""

log = EventLog(__name__)


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request without a reply."""

    take_back: Callable[[], bool]


def _cannot() -> bool:
    return False


def _retry_after(error: EdgeError) -> float | None:
    return error.retry_after if isinstance(error, Overloaded) else None


class Session:
    """A client: its requests are checked, queued and answered here.

    Whoever carries the bytes calls `receive`, and `gone` at the end.
    """

    def __init__(self, service: Service, peer: Peer, send: Callable[[bytes], None], end: Callable[[str], None]) -> None:
        """Begin a conversation.

        Args:
            service: what is served.
            peer: who is there.
            send: puts a line on the way to the client.
            end: ends the connection when what was sent is delivered; takes the reason, a word for the metrics.
        """
        self._service = service
        self._limits = service.limits
        self._peer = peer
        self._send = send
        self._end = end
        self._waiting: dict[RequestId, _Waiting] = {}
        self._streams: dict[RequestId, OpenStream] = {}
        self._deferred: list[tuple[float, Envelope]] = []
        self._understood = False
        self._admitted = not service.token_needed(peer)
        service.sessions.add(self)

    @property
    def idle(self) -> bool:
        """Whether every request has its reply."""
        return not self._waiting

    @property
    def backed_up(self) -> bool:
        """Whether so much waits, for models to be loaded or to go into streams, that no more should be read for now."""
        return len(self._deferred) >= MAX_DEFERRED or any(stream.full for stream in self._streams.values())

    def receive(self, line: bytes | None) -> None:
        """Take a line without its line feed; None for one that was too long."""
        if line is None:
            self._refuse(None, TooLong(f"the line is longer than {self._limits.line_bytes} bytes"))
            return
        if not line or line.isspace():
            return
        self._take(open_envelope(line, self._limits))

    def receive_object(self, message: Mapping[str, Any]) -> None:
        """Take a message from a carrier that has read its JSON already."""
        self._take(read_envelope(message, self._limits))

    def has_stream(self, name: RequestId) -> bool:
        return name in self._streams

    def take_back(self, request: RequestId) -> bool:
        """As the operation `cancel` does, for carriers with a way of their own to ask for it."""
        return self._cancel(Cancel(request, None))

    def _take(self, envelope: Envelope | tuple[RequestId | None, InputError]) -> None:
        if not isinstance(envelope, Envelope):
            request, error = envelope
            self._refuse(request, error)
            return
        self._understood = True
        if envelope.id in self._waiting:
            self._fail(envelope.id, InputError("a request with this id is still waiting for its reply"))
            return
        try:
            if len(self._waiting) >= self._limits.pending and envelope.op not in _AT_ONCE:
                raise Overloaded(f"{len(self._waiting)} requests of this connection wait for replies; read those first")
            self._dispatch(envelope)
        except EdgeError as error:
            self._waiting.pop(envelope.id, None)
            self._service.measures.answered(NO_MODEL, "any", error.code)
            self._fail(envelope.id, error)

    def resume(self) -> None:
        """The models are there: answer what was asked before."""
        deferred, self._deferred = self._deferred, []
        for arrived, envelope in deferred:
            self._waiting.pop(envelope.id, None)
            left = envelope.deadline_ms - (time.monotonic() - arrived) * 1e3
            if left <= 0:
                self._fail(envelope.id, DeadlineExceeded("the models were not loaded in time"))
                continue
            try:
                self._dispatch(replace(envelope, deadline_ms=left))
            except EdgeError as error:
                self._waiting.pop(envelope.id, None)
                self._fail(envelope.id, error)

    def gone(self) -> None:
        """The connection has ended: nobody waits for replies."""
        self._service.sessions.discard(self)
        for model in self._service.models.values():
            model.lane.forget(self)
        for stream in list(self._streams.values()):
            stream.drop()
        self._waiting.clear()
        self._deferred.clear()

    def sweep(self, now: float) -> None:
        """Due now and then: drop streams that nobody feeds."""
        for stream in list(self._streams.values()):
            if stream.idle_since is not None and now - stream.idle_since > self._limits.stream_idle_ms / 1e3:
                stream.drop()

    def reply(self, request: RequestId, body: bytes, computed: bytes = b"") -> None:
        """Answer a request with a result."""
        self._waiting.pop(request, None)
        if len(body) > self._limits.reply_bytes:
            error = TooLong(f"the reply has {len(body)} bytes; at most {self._limits.reply_bytes} are sent")
            self._fail(request, error)
        else:
            self._send(replies.result(request, body, computed))

    def reply_error(self, request: RequestId, code: str, message: str) -> None:
        """Answer a request with an error."""
        self._waiting.pop(request, None)
        self._send(replies.error(request, code, message))

    def event(self, stream: RequestId, window: bytes) -> None:
        """Send what a window of a stream gave."""
        self._send(replies.event(stream, window))

    def stream_ended(self, stream: RequestId) -> None:
        """Forget a stream."""
        if self._streams.pop(stream, None) is not None:
            self._service.measures.streams.add(-1)

    def _refuse(self, request: RequestId | None, error: EdgeError) -> None:
        """Answer a line that is no request. As the first one it ends the connection: a browser, or a lost tool."""
        self._fail(request, error)
        self._service.measures.answered(NO_MODEL, "any", error.code)
        if not self._understood:
            log.info("the first line was no message; connection ended", peer=self._peer.name, reason=str(error))
            self._end("no_protocol")

    def _fail(self, request: RequestId | None, error: EdgeError) -> None:
        self._send(replies.error(request, error.code, str(error), _retry_after(error)))

    def _dispatch(self, envelope: Envelope) -> None:
        request = parse(envelope, self._limits)
        match request:
            case Hello():
                self._hello(envelope.id, request)
                return
            case _ if not self._admitted:
                raise Forbidden('this server asks for a token: send {"op": "hello", "token": …} first')
            case Health():
                self.reply(envelope.id, replies.dump(self._service.health()))
            case Metrics():
                self.reply(envelope.id, replies.dump(self._service.metrics()))
            case Cancel():
                self.reply(envelope.id, replies.dump({"cancelled": self._cancel(request)}))
            case _ if not self._service.started:
                self._waiting[envelope.id] = _Waiting(_cannot)
                self._deferred.append((time.monotonic(), envelope))
            case Info():
                self.reply(envelope.id, self._service.model(request.model).description.json)
            case _ if self._service.stopping:
                raise Unavailable("the server is stopping; connect again later")
            case Ask():
                self._ask(envelope, request)
            case Batch():
                self._batch(envelope, request)
            case Open():
                self._open(envelope, request)
            case Feed() | Close():
                stream = self._streams.get(request.stream)
                if stream is None:
                    raise InputError(f"there is no open stream {json.dumps(request.stream)}")
                self._waiting[envelope.id] = _Waiting(_cannot)
                stream.push(envelope.id, request)
            case Reload():
                self._reload(envelope.id, request)
            case SlowDown():
                self._slow_down(envelope.id, request)

    def _hello(self, request: RequestId, hello: Hello) -> None:
        if not self._admitted:
            if not self._service.is_token(hello.token):
                log.warning("a wrong token, or none", peer=self._peer.name)
                self.reply_error(request, Forbidden.code, "the token is missing or wrong")
                self._end("token")
                return
            self._admitted = True
        self.reply(request, replies.dump(self._service.hello()))

    def _ask(self, envelope: Envelope, ask: Ask) -> None:
        request = envelope.id
        model, op = self._service.resolve(ask)

        def done(outcome: Outcome) -> None:
            if outcome.error is not None:
                self.reply_error(request, *outcome.error)
            else:
                name = model.description.name
                times = replies.computed_by(name, op, outcome.queue, outcome.tokenise, outcome.infer)
                self.reply(request, outcome.value, times)

        job = self._submit(model, op, ask, envelope.deadline_ms, done)
        if not job.finished:
            self._waiting[request] = _Waiting(lambda: model.lane.cancel(job))

    def _submit(
        self, model: ServedModel, op: str, ask: Ask, deadline_ms: float, done: Callable[[Outcome], None]
    ) -> Job:
        measures = self._service.measures
        name = model.description.name

        def measured(outcome: Outcome) -> None:
            job.finished = True
            if outcome.error is None:
                times = measures.times(name)
                times.total.observe(outcome.queue + outcome.tokenise + outcome.infer)
                times.queue.observe(outcome.queue)
                times.tokenise.observe(outcome.tokenise)
                times.infer.observe(outcome.infer)
            measures.answered(name, op, "ok" if outcome.error is None else outcome.error[0])
            done(outcome)

        arguments = (op, ask.text, ask.pair, ask.choices, ask.top_k)
        job = Job(self, "ask", arguments, measured, ask.characters)
        model.lane.submit(job, deadline_ms / 1e3)
        return job

    def _batch(self, envelope: Envelope, batch: Batch) -> None:
        parts: list[bytes | None] = [None] * len(batch.requests)
        jobs: list[tuple[ServedModel, Job]] = []
        left = len(parts)

        def put(place: int, part: bytes) -> None:
            nonlocal left
            parts[place] = part
            left -= 1
            if not left:
                self.reply(envelope.id, b"[%b]" % b",".join(part or b"" for part in parts))

        def done(place: int, model: ServedModel, op: str) -> Callable[[Outcome], None]:
            def answer(outcome: Outcome) -> None:
                if outcome.error is not None:
                    put(place, b'{"error":%b}' % replies.failure(*outcome.error))
                else:
                    name = model.description.name
                    times = replies.computed_by(name, op, outcome.queue, outcome.tokenise, outcome.infer)
                    put(place, b'{"result":%b%b}' % (outcome.value, times))

            return answer

        def take_back() -> bool:
            taken = [model.lane.cancel(job) for model, job in jobs]
            return any(taken)

        self._waiting[envelope.id] = _Waiting(take_back)
        for place, entry in batch.in_order_of_length():
            try:
                if isinstance(entry, InputError):
                    raise entry
                model, op = self._service.resolve(entry)
                jobs.append((model, self._submit(model, op, entry, envelope.deadline_ms, done(place, model, op))))
            except EdgeError as error:
                put(place, b'{"error":%b}' % replies.failure(error.code, str(error), _retry_after(error)))

    def _cancel(self, cancel: Cancel) -> bool:
        if cancel.stream is not None:
            stream = self._streams.get(cancel.stream)
            if stream is None:
                return False
            stream.drop()
            return True
        assert cancel.request is not None
        waiting = self._waiting.get(cancel.request)
        return waiting is not None and waiting.take_back()

    def _open(self, envelope: Envelope, request: Open) -> None:
        if request.stream in self._streams:
            raise InputError(f"the stream {json.dumps(request.stream)} is open already")
        if len(self._streams) >= self._limits.streams:
            raise Overloaded(f"this connection has {len(self._streams)} open streams; close one first")
        model = self._service.model(request.model)
        stream = OpenStream(self, request, model, self._service.stream_task(model, request), self._service.measures)
        self._waiting[envelope.id] = _Waiting(_cannot)
        # before it is opened: that may fail at once, and then the stream takes itself away again
        self._streams[request.stream] = stream
        self._service.measures.streams.add()
        try:
            stream.open(envelope.id, envelope.deadline_ms / 1e3)
        except EdgeError:
            self.stream_ended(request.stream)
            raise

    def _slow_down(self, request: RequestId, slow: SlowDown) -> None:
        self._authorise("slow_down")
        self._service.slow_down(slow.duty, slow.for_ms / 1e3, slow.reason)
        self.reply(request, replies.dump(self._service.health()["slowed"]))

    def _authorise(self, op: str) -> None:
        if not self._peer.administrator:
            raise Forbidden(f"{op} is for root and for the user that the server runs as, over its Unix socket")

    def _reload(self, request: RequestId, reload: Reload) -> None:
        self._authorise("reload")
        self._waiting[request] = _Waiting(_cannot)

        def done(value: list[dict[str, Any]] | EdgeError) -> None:
            if request not in self._waiting:
                return
            if isinstance(value, EdgeError):
                self.reply_error(request, "internal", str(value))
            else:
                self.reply(request, replies.dump(value))

        self._service.reload(reload.model, done)
