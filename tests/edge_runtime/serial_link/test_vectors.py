"""tests/serial/vectors.json, which the clients in other languages are held against too."""

from __future__ import annotations

import binascii
import json
import random
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.serial_link import cobs, compact_replies, compact_requests, frames, messages
from edge_runtime.serial_link.client_link import ClientLink
from edge_runtime.serial_link.counters import Counters
from edge_runtime.serial_link.frames import FrameError
from edge_runtime.serial_link.labels import Tables
from tests.edge_runtime.serial_link.simulation import Asker, terms

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "serial" / "vectors.json").read_text(encoding="utf-8")
)
CUTS = ("bytes", "whole", "random 1", "random 2", "random 3")


def cut(data: bytes, how: str) -> list[bytes]:
    """A stream as it may arrive."""
    if how == "whole":
        return [data]
    if how == "bytes":
        return [data[place : place + 1] for place in range(len(data))]
    draw = random.Random(how)
    pieces = []
    while data:
        size = draw.randrange(1, 40)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


class Recorder(ClientLink):
    """A client's end that writes down what passes all checks of a frame."""

    def __init__(self) -> None:
        super().__init__(Asker(), terms(), 115_200, Counters(), 0.0)
        self.frames: list[frames.Frame] = []

    def _take(self, frame: frames.Frame) -> None:
        self.frames.append(frame)


def fields_of(frame: frames.Frame) -> dict[str, Any]:
    """A frame as the vectors describe it."""
    if isinstance(frame, frames.Hello | frames.Welcome):
        offered = {name: getattr(frame.terms, name) for name in ("nonce", "frame", "message", "window", "pause")}
        described = {**offered, "requests": frame.terms.requests, "digest": frame.terms.digest.hex()}
        return described if isinstance(frame, frames.Hello) else {**described, "session": frame.session}
    names = frame.__slots__
    values = {name: getattr(frame, name) for name in names}
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()}


@pytest.mark.parametrize("vector", VECTORS["crc"], ids=lambda vector: vector["data"][:16])
def test_checksums(vector: dict[str, Any]) -> None:
    """CRC-32 is that of the standard library; CRC-16 is what frames carry."""
    data = bytes.fromhex(vector["data"])
    assert binascii.crc32(data) == vector["crc32"]
    assert binascii.crc_hqx(data, 0xFFFF) ^ 0xFFFF == vector["crc16"]


@pytest.mark.parametrize("vector", VECTORS["cobs"], ids=lambda vector: vector["content"][:16])
def test_cobs(vector: dict[str, Any]) -> None:
    """Contents are coded, and decoded, as the reference does."""
    content, coded = bytes.fromhex(vector["content"]), bytes.fromhex(vector["coded"])
    assert cobs.encode(content) == coded
    assert cobs.decode(coded) == content


@pytest.mark.parametrize("vector", VECTORS["cobs_refused"], ids=lambda vector: vector["coded"][:16])
def test_refused_cobs(vector: dict[str, Any]) -> None:
    """What points beyond its end is refused."""
    with pytest.raises(cobs.CobsError):
        cobs.decode(bytes.fromhex(vector["coded"]))


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["wire"][:20])
def test_frames(vector: dict[str, Any]) -> None:
    """Frames are read as they are described, and written again byte for byte."""
    wire = bytes.fromhex(vector["wire"])
    from_server = vector.get("server", vector["type"] == "welcome")
    frame = frames.decode(wire[1:-1], not from_server)
    assert type(frame).__name__.lower() == vector["type"]
    described = {name: value for name, value in vector.items() if name not in ("type", "content", "wire")}
    assert fields_of(frame) == described
    assert frames.encode(frame) == wire
    with pytest.raises(FrameError, match="echo"):
        frames.decode(wire[1:-1], from_server)


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["body"][:16])
def test_messages(vector: dict[str, Any]) -> None:
    """A message's CRC-32 covers its place; its fragments join to it."""
    body, whole = bytes.fromhex(vector["body"]), bytes.fromhex(vector["message"])
    place = (vector["session"], vector["class"], vector["number"], vector["bound"])
    assert messages.seal(*place, body) == whole
    assert messages.is_right(*place, whole)
    assert not messages.is_right(place[0] ^ 1, *place[1:], whole)
    for size, cuts in vector["frames"].items():
        read = [frames.decode(bytes.fromhex(wire)[1:-1], vector["class"] == messages.REQUEST) for wire in cuts]
        joined = b""
        for frame in read:
            assert isinstance(frame, frames.Data) and frame.offset == len(joined)
            assert len(frame.piece) <= frames.largest_fragment(int(size))
            joined += frame.piece
        assert joined == whole


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("vector", VECTORS["streams"], ids=lambda vector: vector["name"])
def test_streams(vector: dict[str, Any], how: str) -> None:
    """However the bytes arrive, the same frames come out and the same errors are counted."""
    link = Recorder()
    for piece in cut(bytes.fromhex(vector["wire"]), how):
        link.receive(piece, 0.0)
    contents = [frames._content(frame).hex() for frame in link.frames]
    assert contents == vector["frames"]
    counted = {error: count for error, count in link.counters.errors.items() if count}
    assert counted == {error: count for error, count in vector["errors"].items() if count}


@pytest.mark.parametrize("vector", VECTORS["compact"]["requests"], ids=lambda vector: vector["body"][:20])
def test_compact_requests(vector: dict[str, Any]) -> None:
    """A compact request is read as its JSON, and what is written of that JSON is read as the same."""
    assert compact_requests.read(bytes.fromhex(vector["body"])).message == vector["json"]
    assert compact_requests.read(compact_requests.write(vector["json"])).message == vector["json"]


@pytest.mark.parametrize("vector", VECTORS["compact"]["replies"], ids=lambda vector: vector["body"][:20])
def test_compact_replies(vector: dict[str, Any]) -> None:
    """A JSON reply becomes the compact one byte for byte."""
    tables = Tables(VECTORS["compact"]["tables"]["labels"], VECTORS["compact"]["tables"]["types"])
    message, options = vector["json"], vector.get("options", 0)
    kind, _, task = vector["op"].partition(" ")
    if "error" in message:
        body = compact_replies.error(message["error"]["code"], message["error"]["message"], 512)
    elif kind == "close":
        body = compact_replies.final(task, message["result"], tables, options)
    elif kind == "event":
        body = compact_replies.event(task, message, tables, options)
    else:
        body = compact_replies.reply("drop" if kind == "cancel" else kind, message, tables, options)
    assert body.hex() == vector["body"]
