"""The server at a serial port, as microcontrollers meet it: a real process, and a pty with a cable in between."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import edge_runtime
from edge_runtime.errors import InputError, UnknownModel
from edge_runtime.model import Model
from edge_runtime.serial_link import compact_replies, compact_requests, fields, frames
from edge_runtime.serial_link.compact_requests import NAMES, TIMES
from edge_runtime.serial_link.frames import REPLACED, STOPPING, UNKNOWN
from tests.serial.expected import some, tables
from tests.serial.microcontroller import Microcontroller
from tests.serial.relay import Relay
from tests.serve import questions
from tests.serve.random_model import convert_random
from tests.serve.server import Server, request

TEXT = "turn off the kitchen lights"
FAST = "baud=3000000&pause=5"
DOCUMENT = " ".join(questions.texts(2000))[: 64 << 10]
"""64 KB"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def model() -> Model:
    return edge_runtime.load("assistant")


@pytest.fixture(scope="module")
def bench() -> Iterator[tuple[Server, Relay]]:
    """A server with a cable at its port, shared by tests that leave it as it was."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        relay = Relay(Path(name))
        with relay, Server(Path(name), "--serial", f"{relay.ours}?{FAST}") as server:
            yield server, relay


@pytest.fixture
def board(bench: tuple[Server, Relay]) -> Iterator[Microcontroller]:
    with Microcontroller(bench[1].theirs, FAST, requests=4, message=1 << 20) as one:
        yield one


SECONDS = 60.0
"""until a port that is there again must be open again; the server looks every few seconds at most"""


def until(board: Microcontroller, condition: Callable[[], bool]) -> None:
    """Keep the link going until something is true elsewhere."""
    board.run(condition)
    assert condition(), "it did not happen"


def result_fields(reply: bytes) -> list[tuple[int, bytes]]:
    return list(fields.read(reply))


def names_in(reply: bytes) -> list[bytes]:
    return [value for tag, value in fields.read(reply) if tag == fields.NAME]


class TestRequests:
    """One session."""

    def test_json(self, board: Microcontroller, model: Model) -> None:
        """A JSON request is answered as over a socket, with its id or with none."""
        understood = model.understand(TEXT).to_json()
        reply = board.ask_json("understand", text=TEXT, id="a7")
        assert reply["id"] == "a7" and questions.same(reply["result"], understood) and reply["model"] == "assistant"
        assert "id" not in board.ask_json("understand", text=TEXT)

    def test_compact(self, board: Microcontroller, model: Model) -> None:
        """A compact request is answered with what the model says, as numbers; with names and times where it asks."""
        result = {"result": model.understand(TEXT).to_json()}
        assert board.ask_compact("ask", text=TEXT) == compact_replies.reply("understand", result, tables(model), 0)
        named = board.ask_compact("understand", NAMES | TIMES, text=TEXT)
        assert names_in(named) == [b"iot_hue_lightoff", b"house_place"]
        assert result_fields(named)[-1][0] == fields.TOOK
        labels = {"result": [label.to_json() for label in model.classify(TEXT, top_k=2)]}
        reply = board.ask_compact("classify", text=TEXT, top_k=2)
        assert reply == compact_replies.reply("classify", labels, tables(model), 0)

    def test_who_is_there(self, board: Microcontroller, model: Model) -> None:
        """Health, info and labels have compact replies."""
        assert result_fields(board.ask_compact("health"))[0] == (fields.STATE, b"\x01")
        info = dict(result_fields(board.ask_compact("info")))
        assert info[fields.DIGEST].hex() == model.info.digest and info[fields.NAME] == b"assistant"
        assert board.terms.digest == info[fields.DIGEST][:8]
        for table, wanted in ((0, tables(model).labels), (1, tables(model).types)):
            names = names_in(board.ask_compact("labels", table=table))
            assert tuple(name.decode() for name in names) == wanted

    def test_errors(self, board: Microcontroller) -> None:
        """Errors have the form of their request, and end nothing."""
        assert board.ask(b"\x55")[:1] == b"\xff"
        assert result_fields(board.ask_compact("embed", text="x"))[0] == (fields.CODE, b"\x04")
        assert result_fields(board.ask_compact("info", model="nobody"))[0] == (fields.CODE, b"\x03")
        assert json.loads(board.ask(b'{"op": '))["error"]["code"] == "bad_request"
        assert json.loads(board.ask(b"{}"))["error"]["code"] == "bad_request"
        assert board.ask_json("reload")["error"]["code"] == "forbidden"
        assert board.ask_json("understand", text=TEXT)["result"]["intent"] == "iot_hue_lightoff"

    def test_small_client(self, bench: tuple[Server, Relay]) -> None:
        """A reply that a client has no room for is replaced by an error that it has room for."""
        with Microcontroller(bench[1].theirs, FAST, message=64) as small:
            error = result_fields(
                small.ask_compact("understand", NAMES, text="play jazz by ada in berlin at seven on monday")
            )
            assert error[0] == (fields.CODE, b"\x02")
            assert json.loads(small.ask(b'{"op":"info"}'))["error"]["code"] == "too_long"
            listed = [tag for tag, _ in result_fields(small.ask_compact("labels", table=0, first=3))]
            assert listed.count(fields.NAME) >= 1

    def test_take_back_in_json(self, board: Microcontroller) -> None:
        """The operation `cancel` names a request by the client's own id."""
        assert board.ask_json("cancel", request="nobody")["result"] == {"cancelled": False}

    def test_many_at_once(self, board: Microcontroller, model: Model) -> None:
        """Several requests under way at once are each answered with their own answer."""
        asked = some(model, 60)
        names = [board.send(question.body) for question in asked]
        until(board, lambda: all(name in board.replies for name in names))
        assert all(question.is_answered_by(board.replies[name]) for question, name in zip(asked, names, strict=True))

    def test_large_request(self, board: Microcontroller) -> None:
        """A text that is longer than the model takes is refused by the model's limits."""
        assert board.ask_json("understand", text="x" * 60_000)["error"]["code"] == "too_long"


class TestStreams:
    """Texts in pieces."""

    def test_document_as_over_a_socket(self, bench: tuple[Server, Relay], board: Microcontroller) -> None:
        """64 KB fed over the link, in compact form and JSON, give what the socket gives, window by window."""
        server = bench[0]
        with server.connect() as wire:
            opened = request(wire, "open", stream="s", task="tag", overlap=8)
            wire.send({"id": 1, "op": "feed", "stream": "s", "text": DOCUMENT})
            wire.send({"id": 2, "op": "close", "stream": "s"})
            windows, final = [], None
            while final is None:
                message = wire.receive()
                if "window" in message:
                    windows.append(message["window"])
                elif message["id"] == 2:
                    final = message["result"]
        assert len(windows) > 100
        assert board.ask_json("open", stream=7, task="tag", overlap=8)["result"]["window"] == opened["window"]
        data = DOCUMENT.encode()
        for place in range(0, len(data), 10_001):
            body = compact_requests.write({"op": "feed", "stream": 7, "base64": _base64(data[place : place + 10_001])})
            board.ask(body)
        closed = board.ask_json("close", stream=7)["result"]
        assert questions.same(closed, final)
        assert [json.loads(event)["stream"] for event in board.events] == [7] * len(windows)
        assert questions.same([json.loads(event)["window"] for event in board.events], windows)

    def test_compact_stream(self, board: Microcontroller) -> None:
        """Events and the final result of a stream that was opened in compact form are compact."""
        text = "wake me at seven tomorrow and then play some jazz in the kitchen before you turn on the lights"
        opened = board.ask_compact("open", NAMES, stream=2, task="tag", window=16, overlap=4)
        assert dict(result_fields(opened))[fields.WINDOW] == struct.pack("<H", 16)
        fed = board.ask_compact("feed", stream=2, base64=_base64(text.encode()))
        closed = board.ask_compact("close", stream=2)
        assert fed[0] == 0x91 and closed[0] == 0x92
        assert b"time" in names_in(closed)
        for number, event in enumerate(board.events):
            parts = dict(result_fields(event))
            assert event[0] == fields.EVENT and parts[fields.STREAM] == b"\x02"
            assert int.from_bytes(parts[fields.INDEX], "little") == number
        assert int.from_bytes(dict(result_fields(closed))[fields.WINDOWS], "little") == len(board.events) > 1

    def test_drop(self, board: Microcontroller) -> None:
        """A dropped stream takes no more feeds."""
        board.ask_compact("open", stream=3, task="tag")
        assert result_fields(board.ask_compact("cancel", stream=3)) == [(fields.CANCELLED, b"\x01")]
        assert board.ask_compact("feed", stream=3, base64="")[:1] == b"\xff"


class TestClients:
    """The Python clients and the command at the other end."""

    def url(self, relay: Relay) -> str:
        return f"serial://{relay.theirs}?{FAST}"

    def test_client(self, bench: tuple[Server, Relay], model: Model) -> None:
        """`Client` gives over a serial port what the model gives in process."""
        with edge_runtime.Client(self.url(bench[1])) as client:
            found = client.understand(TEXT)
            assert questions.same(found.to_json(), model.understand(TEXT).to_json())
            assert client.batch([{"op": "tag", "text": TEXT}])[0][0].text == "kitchen"
            with pytest.raises(UnknownModel):
                client.understand(TEXT, model="nobody")
            with client.stream("tag") as stream:
                stream.feed(DOCUMENT)
                whole = stream.close()
        with edge_runtime.Client(bench[0].url) as client, client.stream("tag") as stream:
            stream.feed(DOCUMENT)
            assert whole == stream.close()

    def test_async_client(self, bench: tuple[Server, Relay]) -> None:
        """`AsyncClient` keeps many calls apart, and takes back what nobody waits for."""

        async def calls() -> list[str | None]:
            async with edge_runtime.AsyncClient(self.url(bench[1])) as client:
                given_up = asyncio.create_task(client.understand(TEXT))
                await asyncio.sleep(0)
                given_up.cancel()
                found = await asyncio.gather(*(client.understand(f"wake me at {hour}") for hour in range(1, 80)))
                return [each.slots[0].text for each in found]

        assert asyncio.run(calls()) == [str(hour) for hour in range(1, 80)]

    def test_command(self, bench: tuple[Server, Relay]) -> None:
        """`edge-runtime call` takes a serial URL."""
        command = [sys.executable, "-m", "edge_runtime.cli", "call", self.url(bench[1]), TEXT]
        assert "iot_hue_lightoff" in subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def test_nobody_there(self, folder: Path) -> None:
        """A port without a server, and one that is not there, are said in a sentence."""
        with Relay(folder) as relay, pytest.raises(edge_runtime.EdgeError, match="did not take the connection"):
            edge_runtime.Client(f"serial://{relay.theirs}", timeout=0.5).health()
        with pytest.raises(edge_runtime.EdgeError, match="there is no"):
            edge_runtime.Client(f"serial://{folder}/nothing").health()
        with pytest.raises(InputError, match="baud"):
            edge_runtime.Client("serial:///dev/ttyS0?baud=x")


class TestEnds:
    """Restarts, plugs, and other models."""

    def test_microcontroller_reset(self, board: Microcontroller, model: Model) -> None:
        """A microcontroller that is reset in the middle of a request gets the answers to what it asks then."""
        for question in some(model, 12):
            board.send(question.body * 1)
            board.run(lambda: False, 0.001)
            board.reset()
            assert question.is_answered_by(board.ask(question.body))

    def test_server_killed(self, folder: Path, model: Model) -> None:
        """Requests that were under way when the server was killed are answered by its successor."""
        with ExitStack() as stack:
            relay = stack.enter_context(Relay(folder))
            server = stack.enter_context(Server(folder, "--serial", f"{relay.ours}?{FAST}"))
            board = stack.enter_context(Microcontroller(relay.theirs, FAST, requests=4))
            asked = some(model, 8)
            board.ask(asked[0].body)
            names = [board.send(question.body) for question in asked]
            server.kill()
            board.run(lambda: False, 0.02)
            server.start()
            until(board, lambda: all(name in board.replies for name in names))
            assert all(
                question.is_answered_by(board.replies[name]) for question, name in zip(asked, names, strict=True)
            )
            assert board.resets and board.resets[0] in (UNKNOWN, None)

    def test_server_stops(self, folder: Path) -> None:
        """A server that stops says so."""
        with ExitStack() as stack:
            relay = stack.enter_context(Relay(folder))
            server = stack.enter_context(Server(folder, "--serial", f"{relay.ours}?{FAST}"))
            board = stack.enter_context(Microcontroller(relay.theirs, FAST))
            board.ask_compact("health")
            assert server.stop() == 0
            until(board, lambda: bool(board.resets))
            assert board.resets == [STOPPING]

    def test_unplugged(self, folder: Path, model: Model) -> None:
        """A port that is pulled out and put back is served again, and counted."""
        with ExitStack() as stack:
            relay = stack.enter_context(Relay(folder))
            server = stack.enter_context(Server(folder, "--serial", f"{relay.ours}?{FAST}"))
            board = stack.enter_context(Microcontroller(relay.theirs, FAST))
            question = some(model, 1)[0]
            for _ in range(3):
                assert question.is_answered_by(board.ask(question.body))
                name = board.send(question.body)
                board.run(lambda: False, 0.001)
                relay.unplug("ours")
                board.run(lambda: False, 0.05)
                relay.plug("ours")
                until(board, lambda name=name: name in board.replies)  # type: ignore[misc]
                assert question.is_answered_by(board.replies.pop(name))
            # the last reply may have come before the port was lost, or noticed to be lost
            with server.connect() as wire:
                end = time.monotonic() + SECONDS
                while f'edge_serial_reopened_total{{port="{relay.ours}"}} 3' not in (
                    metrics := request(wire, "metrics")
                ):
                    assert time.monotonic() < end, server.log
            assert f'edge_serial_up{{port="{relay.ours}"}} 1' in metrics

    def test_client_unplugged(self, folder: Path) -> None:
        """A client whose port is pulled out says so, and connects again when it is back."""
        with ExitStack() as stack:
            relay = stack.enter_context(Relay(folder))
            stack.enter_context(Server(folder, "--serial", f"{relay.ours}?{FAST}"))
            client = stack.enter_context(edge_runtime.Client(f"serial://{relay.theirs}?{FAST}"))
            assert client.health()["state"] == "ready"
            relay.unplug("theirs")
            with pytest.raises(edge_runtime.EdgeError):
                client.health()
            relay.plug("theirs")
            assert client.health()["state"] == "ready"

    def test_appears_later(self, folder: Path) -> None:
        """A port that is not there when the server starts is served when it is."""
        with Server(folder, "--serial", f"{folder / 'ours'}?{FAST}") as server:
            assert "there is no" in server.log
            with Relay(folder) as relay, Microcontroller(relay.theirs, FAST) as board:
                assert board.ask_compact("health")[0] == 0x99

    def test_several_ports(self, folder: Path) -> None:
        """Each port has its own client, at the same time."""
        with ExitStack() as stack:
            folders = [folder / name for name in "abc"]
            for each in folders:
                each.mkdir()
            relays = [stack.enter_context(Relay(each)) for each in folders]
            options = [part for relay in relays for part in ("--serial", f"{relay.ours}?{FAST}")]
            stack.enter_context(Server(folder, *options))
            boards = [stack.enter_context(Microcontroller(relay.theirs, FAST)) for relay in relays]
            for number, board in enumerate(boards):
                board.send(json.dumps({"op": "understand", "text": f"wake me at {number}", "id": number}).encode())
            for number, board in enumerate(boards):
                until(board, lambda board=board: bool(board.replies))  # type: ignore[misc]
                assert json.loads(board.replies.popitem()[1])["id"] == number

    def test_model_replaced(self, folder: Path) -> None:
        """When the model's file has changed, clients are told to say hello again; the new digest is in WELCOME."""
        served = folder / "served.tflite"
        files = [convert_random(folder, 1, seed) for seed in (0, 1)]
        shutil.copy(files[0], served)
        with ExitStack() as stack:
            relay = stack.enter_context(Relay(folder))
            server = stack.enter_context(Server(folder, "--serial", f"{relay.ours}?{FAST}", models=[served]))
            board = stack.enter_context(Microcontroller(relay.theirs, FAST))
            board.ask_compact("health")
            before = board.terms.digest
            files[1].rename(served)
            server.process.send_signal(signal.SIGHUP)
            until(board, lambda: bool(board.resets))
            assert board.resets == [REPLACED]
            board.ask_compact("health")
            assert board.terms.digest != before

    def test_finds_the_rate(self, folder: Path) -> None:
        """With `baud=auto` a session comes about at the rate that is listened at."""
        with ExitStack() as stack:
            relay = stack.enter_context(Relay(folder))
            server = stack.enter_context(Server(folder, "--serial", f"{relay.ours}?baud=auto"))
            board = stack.enter_context(Microcontroller(relay.theirs))
            assert board.ask_compact("health")[0] == 0x99
            assert "found the baud rate" in server.log

    def test_looks_for_another_rate(self, folder: Path) -> None:
        """With `baud=auto`, where only damage comes, the other rates are listened at."""
        with ExitStack() as stack:
            relay = stack.enter_context(Relay(folder))
            server = stack.enter_context(Server(folder, "--serial", f"{relay.ours}?baud=auto"))
            with Microcontroller(relay.theirs) as board:
                board.ask_compact("health")
            other = stack.enter_context(relay.theirs.open("rb+", buffering=0))
            for _ in range(20):
                other.write(b"\0at another rate\0")
            with server.connect() as wire:
                while "looking for another baud rate" not in server.log:
                    request(wire, "health")

    def test_echo_is_said(self, folder: Path) -> None:
        """A port that gives back what is sent is complained of."""
        with ExitStack() as stack:
            relay = stack.enter_context(Relay(folder))
            server = stack.enter_context(Server(folder, "--serial", str(relay.ours)))
            other = stack.enter_context(relay.theirs.open("rb+", buffering=0))
            for _ in range(6):
                # a frame of no session is answered with RESET, which comes back here
                other.write(frames.encode(frames.State(9, 0, 0, 0, False)))
                other.write(other.read(8))
            with server.connect() as wire:
                while 'error="echo"} 6' not in request(wire, "metrics"):
                    pass
            assert "what is sent comes back" in server.log

    def test_loop(self, folder: Path) -> None:
        """A port that has no descriptor is served from threads, and harms nothing."""
        with Server(folder, "--serial", "loop://") as server, server.connect() as wire:
            assert request(wire, "health")["state"] == "ready"

    def test_pyserial_is_not_loaded(self) -> None:
        """Who uses sockets only does not load pyserial."""
        program = (
            "import sys, edge_runtime, edge_runtime.server.daemon; edge_runtime.Client('unix:///x');"
            "assert 'serial' not in sys.modules and 'edge_runtime.serial_link' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", program], check=True)

    @pytest.mark.parametrize(
        ("url", "said"),
        [("nonsense://x", "is no serial port"), ("/dev/ttyS0?baud=1", "baud in")],
    )
    def test_wrong_url(self, folder: Path, url: str, said: str) -> None:
        """A URL that makes no sense ends the server at once with a sentence."""
        command = [sys.executable, "-m", "edge_runtime.cli", "serve", "--socket", str(folder / "s"), "--serial", url]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
        assert done.returncode == 1 and said in done.stderr


def _base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()
