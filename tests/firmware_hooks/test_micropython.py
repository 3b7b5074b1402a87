"""The MicroPython client, under CPython and MicroPython: vectors, the reference server over a bad wire, the daemon."""

import importlib.util
import json
import os
import random
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.firmware_hooks.c_client import SOURCES
from tests.serial import vectors
from tests.serial.channel import Channel
from tests.serial.reference_server import Server

FILE = SOURCES.parent / "micropython" / "edge_link.py"
BAUD = 115200


@pytest.fixture(scope="module")
def edge_link() -> ModuleType:
    spec = importlib.util.spec_from_file_location("edge_link", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(vectors.FILE.read_text(encoding="utf-8"))
    return read


class Client:
    """A link whose port is two buffers and whose clock is the test's."""

    def __init__(self, edge_link: ModuleType, **settings: Any) -> None:
        self._in = self._out = b""
        self._now = 0
        self.room = 1 << 20
        self.link = edge_link.Link(self, BAUD, nonce=1, clock=lambda: self._now, **settings)

    def read(self, most: int) -> bytes | None:
        data, self._in = self._in[:most], self._in[most:]
        return data or None

    def write(self, data: bytes) -> int:
        taken = data[: self.room]
        self._out += taken
        return len(taken)

    def poll(self, data: bytes, milliseconds: int) -> int:
        self._in += data
        self._now = milliseconds
        status: int = self.link.poll()
        return status

    def sent(self) -> bytes:
        data, self._out = self._out, b""
        return data


def mirror(body: bytes) -> tuple[list[bytes], bytes]:
    """The answer to a request: its bytes backwards."""
    return [], b"\x82" + body[::-1]


def test_checksums_are_those_of_the_vectors(edge_link: ModuleType, written: dict[str, Any]) -> None:
    """CRC-16 and CRC-32 agree with the reference."""
    for entry in written["crc"]:
        data = bytes.fromhex(entry["data"])
        assert (edge_link.crc16(data) ^ 0xFFFF, edge_link.crc32(data)) == (entry["crc16"], entry["crc32"])


def test_frames_are_coded_as_the_vectors_are(edge_link: ModuleType, written: dict[str, Any]) -> None:
    """A content becomes the vectors' bytes, and comes back from them."""
    for entry in written["frames"]:
        content, wire = bytes.fromhex(entry["content"]), bytes.fromhex(entry["wire"])
        assert edge_link.frame(content) == wire
        assert edge_link.Receiver(1024).feed(wire) == [content]


@pytest.mark.parametrize("cut", ["bytes", "block", "random"])
def test_streams_give_their_frames_and_errors(edge_link: ModuleType, written: dict[str, Any], cut: str) -> None:
    """What comes out of the wire does not depend on how it is cut."""
    draw = random.Random(2)
    for stream in written["streams"]:
        receiver, left, found = edge_link.Receiver(256), bytes.fromhex(stream["wire"]), []
        while left:
            count = {"bytes": 1, "block": len(left), "random": draw.randrange(1, 50)}[cut]
            found += receiver.feed(left[:count])
            left = left[count:]
        errors = {name: count for name, count in receiver.counters.items() if count}
        expected = {name: count for name, count in stream["errors"].items() if count}
        assert ([c.hex() for c in found if c is not None], errors) == (stream["frames"], expected), stream["name"]


def test_replies_are_read_as_the_vectors_say(edge_link: ModuleType, written: dict[str, Any]) -> None:
    """Intents and slots come out with their names, scores and places."""
    server = Server(lambda _: ([], reply), BAUD)
    named = [entry for entry in written["compact"]["replies"] if entry.get("options") == 1]
    assert named
    for entry in named:
        reply, result = bytes.fromhex(entry["body"]), entry["json"]["result"]
        client = Client(edge_link)
        channel = Channel(client, server, BAUD, 0)
        client.link.begin(b"\x02")
        assert channel.run((edge_link.REPLY,)) == edge_link.REPLY
        labels = [found for found in edge_link.entries(client.link.message) if "start" not in found]
        slots = [found for found in edge_link.entries(client.link.message) if "start" in found]
        assert labels[0]["name"] == result["intent"] and labels[0]["score"] == round(result["score"], 4)
        assert [(s["name"], s["start"], s["end"]) for s in slots] == [
            (s["type"], s["start"], s["end"]) for s in result["slots"]
        ]


@pytest.mark.parametrize("rate", [0, 1e-4, 1e-3, 1e-2])
def test_noise_never_brings_a_wrong_answer(edge_link: ModuleType, rate: float) -> None:
    """At up to one damaged byte in a hundred every request is answered, rightly, and computed once."""
    server = Server(mirror, 10 / BAUD)
    client = Client(edge_link, patience=60_000)
    channel = Channel(client, server, BAUD, rate, seed=3)
    draw = random.Random(5)
    asked = [b"\x02" + draw.randbytes(draw.randrange(200)) for _ in range(60)]
    for body in asked:
        client.link.begin(body)
        assert channel.run((edge_link.REPLY, edge_link.TIMEOUT, edge_link.LOST)) == edge_link.REPLY
        assert client.link.message == b"\x82" + body[::-1]
    assert server.executed == asked


def test_a_slow_port_is_waited_for(edge_link: ModuleType) -> None:
    """A port may take less than it is given."""
    server = Server(mirror, 10 / BAUD)
    client = Client(edge_link)
    client.room = 5
    channel = Channel(client, server, BAUD, 0)
    for number in range(20):
        client.link.begin(bytes([2]) * (number * 10 + 1))
        assert channel.run((edge_link.REPLY,)) == edge_link.REPLY


def test_a_server_that_restarts_is_asked_again(edge_link: ModuleType) -> None:
    """A text operation is answered in the next session; what belongs to a stream fails."""
    server = Server(mirror, 10 / BAUD)
    client = Client(edge_link)
    channel = Channel(client, server, BAUD, 0)
    ended = (edge_link.REPLY, edge_link.LOST)
    client.link.begin(b"\x10", True)
    assert channel.run(ended) == edge_link.REPLY
    server.restart()
    client.link.begin(b"\x11", True)
    assert channel.run(ended) == edge_link.LOST
    server.restart()
    client.link.begin(b"\x02abc")
    assert channel.run(ended) == edge_link.REPLY and client.link.message == b"\x82cba\x02"


def test_the_server_answers_operations(edge_link: ModuleType, assistant_port: Any) -> None:
    """Over a terminal, with the daemon at its other end: understand, classify, tag, a stream, an error, nobody."""
    link = edge_link.Link(assistant_port, BAUD, patience=30_000)
    text = "turn off the kitchen lights"
    understood = link.understand(text)
    assert understood["intent"] == "iot_hue_lightoff"
    assert [(s["type"], s["text"]) for s in understood["slots"]] == [("house_place", "kitchen")]
    assert link.understand("the treaty was signed after eleven years of war")["intent"] is None
    assert link.classify("play some jazz", top_k=2)[0]["label"] == "play_music"
    assert link.tag(text) == understood["slots"]
    windows: list[Any] = []
    pieces = [
        b"wake me at seven tom",
        b"orrow and then play some jazz in the kitchen before you",
        b" turn on the lights",
    ]
    found = link.read("tag", pieces, windows.append, window=16, overlap=4)
    assert len(windows) >= 2 and "time" in [entry["name"] for entry in found]
    with pytest.raises(edge_link.EdgeError) as error:
        link.classify("x", model="nobody")
    assert error.value.code == "unknown_model"
    assert json.loads(link.ask(b'{"op":"health"}'))["result"]["state"] == "ready"


def test_it_needs_nothing_that_micropython_lacks() -> None:
    """It imports binascii, struct and time, and typing where there is one."""
    lines = [line.strip() for line in FILE.read_text(encoding="utf-8").splitlines()]
    imported = {
        line
        for line in lines
        if line.startswith(("import ", "from ")) and "machine" not in line and "edge_link" not in line
    }
    assert imported == {"import binascii", "import struct", "import time", "from typing import Any"}


@pytest.mark.firmware
def test_micropython_agrees_with_the_vectors() -> None:
    """MicroPython itself, in the folder that EDGE_MICROPYTHON names, runs the client against the vectors."""
    script = Path(__file__).with_name("in_micropython.mjs")
    command: list[str | Path] = ["node", script, os.environ["EDGE_MICROPYTHON"], FILE, vectors.FILE]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.startswith("micropython ")
