"""The server as its clients meet it: a real process, real sockets, the bundled model."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import socket
import stat
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import edge_runtime
from tests.serve.server import TOKEN, Server, free_port, request, token_file
from tests.serve.wire import Wire

ASSISTANT = Path(edge_runtime.__file__).parent / "models/assistant.tflite"
TEXT = "turn off the kitchen lights"
PATIENCE_MS = 60_000
"""deadline of requests that are to be answered however slow the machine"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Shared by tests that leave it as it was."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name, Server(Path(name)) as started:
        yield started


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    with server.connect() as connected:
        yield connected


def code(reply: Any) -> Any:
    return reply["error"]["code"]


def wait_until_ended(pid: int) -> None:
    """Until a process that is no child of ours has ended."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            assert select.select([descriptor], [], [], 30)[0], "it goes on"
        finally:
            os.close(descriptor)


class TestRequests:
    """One connection."""

    def test_same_as_in_process(self, wire: Wire) -> None:
        """Every text operation gives what the model gives in process."""
        model = edge_runtime.load("assistant")
        understood = model.understand(TEXT).to_json()
        assert request(wire, "understand", text=TEXT) == understood
        assert request(wire, "ask", text=TEXT, model="assistant") == understood
        assert request(wire, "tag", text=TEXT) == [entity.to_json() for entity in model.tag(TEXT)]
        labels = [label.to_json() for label in model.classify(TEXT, top_k=5)]
        assert request(wire, "classify", text=TEXT, top_k=5) == labels

    def test_replies_name_model_and_times(self, wire: Wire) -> None:
        """A reply says who answered, what was asked, and where the time went."""
        reply = wire.ask({"id": "x", "op": "ask", "text": TEXT})
        assert (reply["id"], reply["model"], reply["task"]) == ("x", "assistant", "understand")
        assert set(reply["timing_ms"]) == {"queue", "tokenise", "infer"}
        assert min(reply["timing_ms"].values()) >= 0

    def test_pipelining(self, wire: Wire) -> None:
        """Requests sent together are all answered, each by its id, also when they arrive cut in odd places."""
        requests = [{"id": n, "op": "tag", "text": TEXT, "deadline_ms": PATIENCE_MS} for n in range(100)]
        data = b"".join(json.dumps(each).encode() + b"\r\n\n" for each in requests)
        for start in range(0, len(data), 777):
            wire.send_bytes(data[start : start + 777])
        replies = [wire.receive() for _ in range(100)]
        assert sorted(reply["id"] for reply in replies) == list(range(100))
        assert all("result" in reply for reply in replies)

    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            ({"op": "understand", "text": ""}, "bad_request"),
            ({"op": "understand", "text": "\ud83d"}, "bad_request"),
            ({"op": "understand", "text": "a", "pair": "b"}, "bad_request"),
            ({"op": "tag", "text": "a", "choices": []}, "bad_request"),
            ({"op": "tag", "text": "word " * 200}, "too_long"),
            ({"op": "tag", "text": "x" * 8193}, "too_long"),
            ({"op": "answer", "text": "a", "pair": "b"}, "no_such_head"),
            ({"op": "tag", "text": "a", "model": "other"}, "unknown_model"),
            ({"op": "info", "model": "other"}, "unknown_model"),
            ({"op": "feed", "stream": "s", "text": "a"}, "bad_request"),
        ],
    )
    def test_errors(self, wire: Wire, message: dict[str, Any], expected: str) -> None:
        """What is wrong with a request is told by its id and a stable code; the next request is none the worse."""
        reply = wire.ask({"id": 1} | message)
        assert (reply["id"], code(reply)) == (1, expected)
        assert "result" in wire.ask({"id": 1, "op": "tag", "text": TEXT})

    def test_id_in_use(self, wire: Wire) -> None:
        """A second request with the id of a waiting one is refused, and the first is answered."""
        wire.send_bytes(b'{"id": 1, "op": "tag", "text": "a"}\n{"id": 1, "op": "tag", "text": "b"}\n')
        replies = [wire.receive(), wire.receive()]
        assert [code(reply) for reply in replies if "error" in reply] == ["bad_request"]
        assert [reply["id"] for reply in replies] == [1, 1]

    def test_too_many_at_once(self, wire: Wire) -> None:
        """Beyond the announced number of waiting requests they are refused; what costs nothing is still answered."""
        pending = request(wire, "hello")["limits"]["pending"]
        asked = {"op": "tag", "text": TEXT, "deadline_ms": PATIENCE_MS}
        lines = [json.dumps({"id": n, **asked}) for n in range(3 * pending)]
        wire.send_bytes("".join(f"{line}\n" for line in [*lines, '{"id": "h", "op": "health"}']).encode())
        replies = {reply["id"]: reply for reply in (wire.receive() for _ in range(3 * pending + 1))}
        refused = [reply for reply in replies.values() if "error" in reply]
        assert {code(reply) for reply in refused} == {"overloaded"}
        assert 0 < len(refused) <= 2 * pending
        assert replies["h"]["result"]["state"] == "ready"

    def test_taking_back(self, wire: Wire) -> None:
        """A waiting request that is cancelled is answered so, and the cancelling says that it came in time."""
        lines = [{"id": n, "op": "tag", "text": TEXT} for n in range(40)] + [{"id": "c", "op": "cancel", "request": 39}]
        wire.send_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        replies = {reply["id"]: reply for reply in (wire.receive() for _ in range(41))}
        assert replies["c"]["result"] == {"cancelled": True}
        assert code(replies[39]) == "cancelled"
        assert wire.ask({"id": "c", "op": "cancel", "request": 39})["result"] == {"cancelled": False}

    def test_batch(self, wire: Wire) -> None:
        """A batch answers each entry in its place."""
        entries = [{"op": "ask", "text": TEXT}, {"op": "sing"}, {"op": "tag", "text": ""}, {"op": "tag", "text": TEXT}]
        found = request(wire, "batch", requests=entries)
        assert found[0]["result"]["intent"] == "iot_hue_lightoff"
        assert [entry["error"]["code"] for entry in found[1:3]] == ["bad_request"] * 2
        assert found[3]["result"][0]["text"] == "kitchen"

    def test_a_batch_runs_short_texts_first(self, wire: Wire) -> None:
        """A short text that stands behind dozens of long ones does not wait for them."""
        texts = ["turn off all of the lights that are in the kitchen and in the hall"] * 50 + ["stop"]
        entries = [{"op": "classify", "text": text} for text in texts]
        found = request(wire, "batch", requests=entries, deadline_ms=PATIENCE_MS)
        waited = [entry["timing_ms"]["queue"] for entry in found]
        assert waited[-1] < statistics.median(waited)

    def test_impossible_deadline(self, wire: Wire) -> None:
        """What cannot be done in time is not done."""
        reply = wire.ask({"id": 1, "op": "tag", "text": TEXT, "deadline_ms": 1e-6})
        assert code(reply) in {"overloaded", "deadline"}


class TestLines:
    """Bytes that are no messages."""

    def test_long_line(self, wire: Wire) -> None:
        """A line that is too long is skipped and told of; the next one counts."""
        assert "result" in wire.ask({"id": 1, "op": "health"})
        wire.send_bytes(b'{"id": 2, "op": "tag", "text": "' + b"x" * 1_000_000 + b'"}\n{"id": 3, "op": "health"}\n')
        replies = [wire.receive(), wire.receive()]
        assert (replies[0]["id"], code(replies[0])) == (None, "too_long")
        assert replies[1]["id"] == 3

    def test_wrong_line_among_others(self, wire: Wire) -> None:
        """A line that is no JSON is answered without an id and does not end the connection."""
        assert "result" in wire.ask({"id": 1, "op": "health"})
        for line in (b"\0\0\0\n", b"[" * 100_000 + b"\n", b"\xff\xfe\n", b"{}\n"):
            wire.send_bytes(line)
            reply = wire.receive()
            assert (reply["id"], code(reply)) == (None, "bad_request")
        assert "result" in wire.ask({"id": 1, "op": "health"})

    def test_something_else_calls(self, wire: Wire) -> None:
        """A first line that is no message, as a browser sends it, ends the connection: nothing after it is obeyed."""
        wire.send_bytes(b'POST / HTTP/1.1\r\nHost: x\r\n\r\n{"id": 1, "op": "tag", "text": "a"}\n')
        assert code(wire.receive()) == "bad_request"
        assert wire.receive() is None

    def test_half_closed(self, wire: Wire) -> None:
        """A client that has sent everything and says so still gets its replies, and then the end."""
        wire.send({"id": 1, "op": "tag", "text": TEXT})
        wire.socket.shutdown(socket.SHUT_WR)
        assert "result" in wire.receive()
        assert wire.receive() is None


class TestStreams:
    """Text in pieces."""

    def test_as_in_process(self, wire: Wire) -> None:
        """A stream's windows and its final result are those that a reader in process gives."""
        text = "wake me at seven tomorrow, turn off the lights in the kitchen and play some jazz, café 🎷. " * 20
        reader = edge_runtime.load("assistant").read_stream("tag", window=32, overlap=8)
        windows = [*reader.feed(text.encode()), *reader.close()]
        found = [reader.run(window) for window in windows]
        opened = request(wire, "open", stream="s", task="tag", window=32, overlap=8)
        assert opened == {"stream": "s", "task": "tag", "model": "assistant", "window": 32, "overlap": 8}
        data = text.encode()
        for start in range(0, len(data), 101):
            piece = base64.b64encode(data[start : start + 101]).decode()
            wire.send({"id": start, "op": "feed", "stream": "s", "base64": piece})
        wire.send({"id": "end", "op": "close", "stream": "s"})
        events, last = [], None
        while last is None or last.get("id") != "end":
            last = wire.receive()
            if "window" in last:
                events.append(last["window"])
        assert [event["result"] for event in events] == [[e.to_json() for e in each.result] for each in found]
        assert [(event["start"], event["end"]) for event in events] == [(each.start, each.end) for each in found]
        assert last["result"] == {
            "final": [entity.to_json() for entity in reader.result()],
            "windows": len(found),
            "characters": len(text),
            "truncated": False,
        }

    def test_no_events(self, wire: Wire) -> None:
        """Without events there is one reply to each request."""
        request(wire, "open", stream=1, events=False)
        assert request(wire, "feed", stream=1, text=TEXT * 50)["windows"] > 0
        assert set(request(wire, "close", stream=1)) == {"final", "windows", "characters", "truncated"}

    def test_errors_end_a_stream(self, wire: Wire) -> None:
        """What cannot be text ends the stream; an empty one has no result; an unknown one is a bad request."""
        request(wire, "open", stream=1)
        assert code(wire.ask({"id": 1, "op": "open", "stream": 1})) == "bad_request"
        assert code(wire.ask({"id": 1, "op": "feed", "stream": 1, "base64": "/w=="})) == "bad_request"
        assert code(wire.ask({"id": 1, "op": "feed", "stream": 1, "text": "a"})) == "bad_request"
        request(wire, "open", stream=1)
        assert code(wire.ask({"id": 1, "op": "close", "stream": 1})) == "bad_request"
        request(wire, "open", stream=1)
        assert request(wire, "cancel", stream=1) == {"cancelled": True}
        assert request(wire, "cancel", stream=1) == {"cancelled": False}

    def test_number_is_bounded(self, wire: Wire) -> None:
        """A connection has so many streams and no more; another connection has its own, of the same name."""
        for number in range(8):
            request(wire, "open", stream=number)
        assert code(wire.ask({"id": 1, "op": "open", "stream": 8})) == "overloaded"

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"task": "answer"}, "no_such_head"),
            ({"task": "tag", "question": "who?"}, "bad_request"),
            ({"window": 100_000}, "bad_request"),
            ({"window": 16, "overlap": 16}, "bad_request"),
            ({"model": "other"}, "unknown_model"),
        ],
    )
    def test_opening_is_checked(self, wire: Wire, fields: dict[str, Any], expected: str) -> None:
        """A stream that makes no sense is refused when it is opened."""
        assert code(wire.ask({"id": 1, "op": "open", "stream": "s"} | fields)) == expected
        assert code(wire.ask({"id": 1, "op": "feed", "stream": "s", "text": "a"})) == "bad_request"

    def test_nothing_is_left_behind(self, server: Server) -> None:
        """Streams end with their connection."""
        with server.connect() as first:
            request(first, "open", stream="s", events=False)
            request(first, "feed", stream="s", text=TEXT * 100)
        with server.connect() as second:
            while "\nedge_streams 0" not in request(second, "metrics"):
                pass


class TestOperation:
    """Those who run it."""

    def test_slow_down(self, folder: Path) -> None:
        """An administrator slows the server down; health and metrics show it, refusals say when to come again, also in
        a batch, and full speed comes back when it is told or when nobody repeats the order.
        """
        with Server(folder) as server, server.connect() as wire:
            for wrong in (
                {"duty": 0, "for_ms": 1},
                {"duty": 2, "for_ms": 1},
                {"duty": 0.5},
                {"duty": 0.001, "for_ms": 1},
            ):
                assert code(wire.ask({"id": 1, "op": "slow_down", **wrong})) == "bad_request"
            assert request(wire, "health")["slowed"] is None
            slowed = request(wire, "slow_down", duty=0.01, for_ms=600_000, reason="90 °C")
            assert (slowed["duty"], slowed["reason"]) == (0.01, "90 °C")
            assert request(wire, "health")["slowed"]["duty"] == 0.01
            assert "\nedge_duty 0.01\n" in request(wire, "metrics")
            # the first is done at once, and its worker rests a hundred times as long
            assert "result" in wire.ask({"id": 1, "op": "tag", "text": TEXT, "deadline_ms": PATIENCE_MS})
            refused = wire.ask({"id": 2, "op": "tag", "text": TEXT, "deadline_ms": 1})
            assert code(refused) == "overloaded"
            assert refused["error"]["retry_after_ms"] > 0
            assert "90 °C" in refused["error"]["message"]
            batch = wire.ask({"id": 3, "op": "batch", "deadline_ms": 1, "requests": [{"op": "tag", "text": TEXT}]})
            assert batch["result"][0]["error"]["retry_after_ms"] > 0
            # waits for its worker, and goes on at once when that may
            wire.send({"id": 4, "op": "tag", "text": TEXT, "deadline_ms": PATIENCE_MS})
            wire.send({"id": 5, "op": "slow_down", "duty": 1, "for_ms": 1})
            replies = {reply["id"]: reply for reply in (wire.receive(), wire.receive())}
            assert replies[5]["result"] is None
            assert replies[4]["result"]
            assert request(wire, "health")["slowed"] is None
            request(wire, "slow_down", duty=0.5, for_ms=1)
            while request(wire, "health")["slowed"] is not None:
                continue
            assert "\nedge_duty 1.0\n" in request(wire, "metrics")

    def test_reload(self, folder: Path) -> None:
        """A new file takes over after a self-test; a bad one is refused and the old one goes on."""
        file = folder / "model.tflite"
        shutil.copy(ASSISTANT, file)
        with Server(folder, models=[file]) as server, server.connect() as wire:
            before = request(wire, "hello")["models"][0]["digest"]
            (reloaded,) = request(wire, "reload")
            assert reloaded == {"model": "assistant", "digest": before, "previous": before}
            broken = bytearray(ASSISTANT.read_bytes())
            broken[len(broken) // 2] ^= 1
            (folder / "new").write_bytes(broken)
            (folder / "new").rename(file)
            refused = wire.ask({"id": 1, "op": "reload", "model": "assistant"})
            assert code(refused) == "internal"
            assert request(wire, "understand", text=TEXT)["intent"] == "iot_hue_lightoff"
            assert request(wire, "health")["state"] == "ready"

    def test_a_dead_worker_is_replaced(self, folder: Path) -> None:
        """After a worker was killed under load every request is answered, and the server is ready again."""
        with Server(folder) as server, server.connect() as wire:
            for n in range(100):
                wire.send({"id": n, "op": "tag", "text": TEXT, "deadline_ms": PATIENCE_MS})
                if n == 50:
                    server.kill_workers()
            replies = [wire.receive() for _ in range(100)]
            assert [reply for reply in replies if "error" in reply] == []
            assert "edge_worker_ends_total" in request(wire, "metrics")

    def test_workers_keep_lengths_ready(self, folder: Path) -> None:
        """With copies for several lengths, texts of many lengths are answered as they are without."""
        texts = ["off", "turn off the lights", "turn off the lights in the hall", "off", "turn off the lights"] * 2
        answers = []
        for options in ((), ("--lengths", "2")):
            with Server(folder, *options) as server, server.connect() as wire:
                answers.append([request(wire, "understand", text=text) for text in texts])
        assert answers[0] == answers[1]

    def test_workers_end_with_the_server(self, folder: Path) -> None:
        """When the server is killed its workers end by themselves."""
        server = Server(folder, "--workers", "2")
        server.start()
        workers = server.workers()
        assert len(workers) == 2
        server.kill()
        for pid in workers:
            wait_until_ended(pid)

    def test_graceful_stop(self, folder: Path) -> None:
        """What was accepted before the signal is answered; then the connection, the process and the socket go."""
        server = Server(folder, "--deadline-ms", str(PATIENCE_MS))
        server.start()
        with server.connect() as wire:
            data = b"".join(b'{"id": %d, "op": "tag", "text": "%b"}\n' % (n, TEXT.encode()) for n in range(100))
            wire.send_bytes(data)
            first = wire.receive()
            server.process.terminate()
            replies = [first, *iter(wire.receive, None)]
        assert len(replies) == 100
        assert {code(reply) for reply in replies if "error" in reply} <= {"unavailable"}
        assert server.stop() == 0
        assert not server.unix.exists()

    def test_socket_of_a_dead_server_is_taken_over(self, folder: Path) -> None:
        """A socket that nobody listens at is replaced; one that somebody listens at, or a file, is left alone."""
        server = Server(folder, "--socket-mode", "600")
        server.start()
        server.kill()
        with server:
            assert stat.S_IMODE(server.unix.stat().st_mode) == 0o600
            with pytest.raises(RuntimeError, match="another server listens"):
                Server(folder).start()
            with server.connect() as wire:
                assert request(wire, "health")["state"] == "ready"
        server.unix.write_text("precious")
        with pytest.raises(RuntimeError, match="is no socket"):
            Server(folder).start()
        assert server.unix.read_text() == "precious"

    def test_watchdog(self, folder: Path) -> None:
        """The service manager hears that all is well as long as the worker answers, and no longer."""
        with Server(folder, environment={"WATCHDOG_USEC": "400000"}) as server:
            address = folder / "notify.sock"
            address.unlink()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.bind(str(address))
                manager.settimeout(30)
                assert [manager.recv(4096) for _ in range(3)] == [b"WATCHDOG=1"] * 3
                (worker,) = server.workers()
                os.kill(worker, signal.SIGSTOP)
                while "does not answer" not in server.log:
                    pass
                manager.settimeout(0)
                with suppress(BlockingIOError):
                    while manager.recv(4096):
                        pass
                manager.settimeout(1)
                with pytest.raises(TimeoutError):
                    manager.recv(4096)
                os.kill(worker, signal.SIGCONT)
                manager.settimeout(30)
                assert manager.recv(4096) == b"WATCHDOG=1"

    def test_handed_over_sockets(self, folder: Path) -> None:
        """A socket from the service manager is served, and its file is there afterwards."""
        path = folder / "given.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(str(path))
            listening.listen()
            with Server(folder, inherited=[listening]), Wire.unix(path) as wire:
                assert request(wire, "understand", text=TEXT)["intent"] == "iot_hue_lightoff"
            assert path.exists()

    def test_requests_wait_for_the_models(self, folder: Path) -> None:
        """What was sent before the server was there, and while it loads, is answered when it can be."""
        path = folder / "given.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(str(path))
            listening.listen()
            with Wire.unix(path) as wire:
                line = '{"id": %d, "op": "tag", "text": "%s", "deadline_ms": 60000}\n'
                # in one piece: the kernel keeps few small ones for a connection that nobody has accepted
                wire.send_bytes("".join(line % (number, TEXT) for number in range(100)).encode())
                with Server(folder, inherited=[listening]):
                    replies = [wire.receive() for _ in range(100)]
        assert sorted(reply["id"] for reply in replies if "result" in reply) == list(range(100))

    def test_tcp(self, folder: Path) -> None:
        """TCP answers the same, has no administrators, and listens beyond this machine only if that is said twice."""
        port = free_port()
        with Server(folder, "--tcp", f"127.0.0.1:{port}"), Wire.tcp(port) as wire:
            assert request(wire, "understand", text=TEXT)["intent"] == "iot_hue_lightoff"
            assert code(wire.ask({"id": 1, "op": "reload"})) == "forbidden"
            assert code(wire.ask({"id": 1, "op": "slow_down", "duty": 0.5, "for_ms": 1000})) == "forbidden"
        with pytest.raises(RuntimeError, match="--allow-remote"):
            Server(folder, "--tcp", f"0.0.0.0:{port}").start()
        with pytest.raises(RuntimeError, match="--token-file"):
            Server(folder, "--tcp", f"0.0.0.0:{port}", "--allow-remote").start()

    def test_token(self, folder: Path) -> None:
        """With a token TCP clients must know it first; Unix clients need not."""
        port = free_port()
        options = ("--tcp", f"127.0.0.1:{port}", "--token-file", str(token_file(folder)))
        with Server(folder, *options) as server:
            with Wire.tcp(port) as wire:
                assert code(wire.ask({"id": 1, "op": "health"})) == "forbidden"
                assert "result" in wire.ask({"id": 1, "op": "hello", "token": TOKEN})
                assert request(wire, "understand", text=TEXT)["intent"] == "iot_hue_lightoff"
            with Wire.tcp(port) as wire:
                assert code(wire.ask({"id": 1, "op": "hello", "token": TOKEN + "x"})) == "forbidden"
                assert wire.receive() is None
            with server.connect() as wire:
                assert request(wire, "health")["state"] == "ready"

    def test_several_models(self, folder: Path, models: Mapping[str, Path]) -> None:
        """Models are asked by name; the first is meant where none is named; two of one name are refused."""
        with Server(folder, models=["assistant", models["classification"]]) as server, server.connect() as wire:
            names = [model["name"] for model in request(wire, "hello")["models"]]
            assert names[0] == "assistant" and len(names) == 2
            assert wire.ask({"id": 1, "op": "ask", "text": TEXT})["model"] == "assistant"
            assert wire.ask({"id": 1, "op": "ask", "text": TEXT, "model": names[1]})["model"] == names[1]
            assert request(wire, "info", model=names[1])["name"] == names[1]
        shutil.copy(ASSISTANT, folder / "twin.tflite")
        with pytest.raises(RuntimeError, match="two models are called assistant"):
            Server(folder, models=["assistant", folder / "twin.tflite"]).start()

    def test_scrape(self, folder: Path) -> None:
        """Metrics and health are answered over HTTP where that was asked for."""
        port = free_port()
        with Server(folder, "--metrics", f"127.0.0.1:{port}") as server:
            with server.connect() as wire:
                request(wire, "understand", text=TEXT)
            for path, expected in (("metrics", b'edge_requests_total{model="assistant"'), ("health", b'"ready"')):
                with socket.create_connection(("127.0.0.1", port), 30) as connection:
                    connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                    reply = b"".join(iter(lambda: connection.recv(65536), b""))
                assert reply.startswith(b"HTTP/1.1 200")
                assert expected in reply

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            (["--model", "nobody"], "no model is called 'nobody'"),
            (["--socket-mode", "999"], "--socket-mode"),
            (["--socket-group", "no-such-group"], "no group"),
            (["--tcp", "nowhere"], "is no HOST:PORT"),
            (["--deadline-ms", "0"], "--deadline-ms"),
            (["--model", "assistant", "--model", "assistant"], "named twice"),
            (["--token-file", "/nonexistent"], "cannot be read"),
            (["--backend", "abacus"], "no backend is called"),
        ],
    )
    def test_wrong_options(self, folder: Path, options: list[str], reason: str) -> None:
        """What cannot be started ends with status 1 and one sentence."""
        command = [sys.executable, "-m", "edge_runtime.cli", "serve", "--socket", str(folder / "s"), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert reason in done.stderr
        assert "Traceback" not in done.stderr
