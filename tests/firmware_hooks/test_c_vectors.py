"""The C client against the vectors."""

import ctypes
import itertools
import json
import random
from typing import Any

import pytest

from tests.firmware_hooks.c_client import REPLY, Client
from tests.serial import vectors
from tests.serial.channel import Channel
from tests.serial.reference_server import Server

pytestmark = pytest.mark.firmware

TAKEN, GOOD, CRC, COBS, OVERFLOW = range(5)
NAMES = {CRC: "crc", COBS: "cobs", OVERFLOW: "overflow"}
BAUD = 115200


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(vectors.FILE.read_text(encoding="utf-8"))
    return read


def receive(library: Any, blocks: list[bytes]) -> tuple[list[str], dict[str, int]]:
    """Contents and counted errors that a receiver of 256-byte frames takes from blocks of bytes."""
    receiver = ctypes.c_void_p(library.receiver_new(253))
    taken, out = ctypes.c_uint32(), ctypes.create_string_buffer(256)
    found: list[str] = []
    errors: dict[str, int] = {}
    for block in blocks:
        at = 0
        while at < len(block):
            result = library.receiver_take(receiver, block[at:], len(block) - at, ctypes.byref(taken))
            at += taken.value
            if result == GOOD:
                length = library.receiver_content(receiver, out)
                found.append(out.raw[:length].hex())
            elif result != TAKEN:
                errors[NAMES[result]] = errors.get(NAMES[result], 0) + 1
    library.receiver_free(receiver)
    return found, errors


@pytest.mark.parametrize("cut", ["bytes", "block", "random"])
def test_streams_give_their_frames_and_errors(library: Any, written: dict[str, Any], cut: str) -> None:
    """What comes out of the wire does not depend on how it is cut."""
    draw = random.Random(1)
    for stream in written["streams"]:
        wire = bytes.fromhex(stream["wire"])
        cuts = {
            "bytes": range(1, len(wire)),
            "block": [],
            "random": sorted(draw.sample(range(1, len(wire)), min(20, len(wire) - 1))),
        }[cut]
        edges = [0, *cuts, len(wire)]
        blocks = [wire[a:b] for a, b in itertools.pairwise(edges)]
        errors = {name: count for name, count in stream["errors"].items() if count}
        assert receive(library, blocks) == (stream["frames"], errors), stream["name"]


def test_frames_are_coded_as_the_vectors_are(library: Any, written: dict[str, Any]) -> None:
    """CRC-16, COBS and delimiters come out as the reference has them, and are received again."""
    out = ctypes.create_string_buffer(2048)
    wires = [(bytes.fromhex(frame["content"]), frame["wire"]) for frame in written["frames"]]
    wires += [(bytes.fromhex(frame["content"]), None) for frame in written["cobs"]]
    for content, wire in wires:
        length = library.sender_frame(content[:6], min(6, len(content)), content[6:], len(content[6:]), out)
        coded = out.raw[:length]
        assert wire is None or coded.hex() == wire
        if len(content) <= 251:
            assert receive(library, [coded]) == ([content.hex()], {})


def test_refused_cobs_is_refused(library: Any, written: dict[str, Any]) -> None:
    """A code byte that points beyond the delimiter is counted as such."""
    for entry in written["cobs_refused"]:
        assert receive(library, [bytes.fromhex(entry["coded"]) + b"\0"]) == ([], {"cobs": 1})


def requested(library: Any, name: str, *arguments: Any) -> str:
    """The request's body that a function of edge_ask.h sends."""
    server = Server(lambda _: ([], b"\xff"), 10 / BAUD)
    client = Client(library)
    client.call(name, *arguments)
    assert Channel(client, server, BAUD, 0).run((REPLY,)) == REPLY
    client.close()
    return server.executed[0].hex()


def test_requests_are_written_as_the_vectors_are(library: Any, written: dict[str, Any]) -> None:
    """Every request that the C client can write is the one that the vectors have."""
    bodies = {json.dumps(entry["json"], sort_keys=True): entry["body"] for entry in written["compact"]["requests"]}

    def body(**message: Any) -> str:
        found: str = bodies[json.dumps(message, sort_keys=True)]
        return found

    text = "wake me at 7 – füñf 😀"
    coded = text.encode()
    assert requested(library, "edge_ask", 1, coded, len(coded), 0) == body(op="ask", text=text)
    assert requested(library, "edge_ask", 2, b"", 0, 0) == body(op="understand", text="")
    assert requested(library, "edge_ask", 4, b"x" * 300, 300, 0) == body(op="tag", text="x" * 300)
    assert requested(library, "edge_ask", 6, b"a", 1, 0) == body(op="embed", text="a")
    assert requested(library, "edge_ask_pair", 5, b"Who?", 4, b"Ada.", 4, 0) == body(
        op="answer", text="Who?", pair="Ada."
    )
    assert requested(library, "edge_open", 1, 0, 0, 0, 0) == body(op="open", stream=1)
    assert requested(library, "edge_feed", 2, b"\xf0\x9f", 2) == body(op="feed", stream=2, base64="8J8=")
    assert requested(library, "edge_close", 2) == body(op="close", stream=2)
    assert requested(library, "edge_drop", 2) == body(op="cancel", stream=2)
    assert requested(library, "edge_about", 0x18) == body(op="info")
    assert requested(library, "edge_about", 0x19) == body(op="health")


class Reader(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("left", ctypes.c_uint16)]


class Field(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("length", ctypes.c_uint16), ("tag", ctypes.c_uint8)]


class Entity(ctypes.Structure):
    _fields_ = [
        ("start", ctypes.c_uint32),
        ("end", ctypes.c_uint32),
        ("index", ctypes.c_uint16),
        ("score", ctypes.c_uint16),
    ]


def read(library: Any, body: bytes) -> tuple[int, list[tuple[int, bytes, Any]]]:
    """A reply as the C client reads it: byte 0, then tag, value, and what a label or an entity says."""
    server = Server(lambda _: ([], body), 10 / BAUD)
    client = Client(library)
    client.ask(b"")
    assert Channel(client, server, BAUD, 0).run((REPLY,)) == REPLY
    assert client.message == body
    reader, field, entity = Reader(), Field(), Entity()
    what = library.edge_read(client.link, ctypes.byref(reader)) & 0xFF
    found = []
    while library.edge_next(ctypes.byref(reader), ctypes.byref(field)) == 1:
        value = ctypes.string_at(field.value, field.length)
        meaning: Any = library.edge_number(ctypes.byref(field)) & 0xFFFFFFFF
        if field.tag in (0x41, 0x42):
            assert library.edge_read_entity(ctypes.byref(field), ctypes.byref(entity)) == 1
            meaning = entity.index, entity.score, entity.start, entity.end
        found.append((field.tag, value, meaning))
    client.close()
    return what, found


def test_replies_are_read_as_the_vectors_say(library: Any, written: dict[str, Any]) -> None:
    """Labels and entities of every reply in the vectors are found, with their indices, scores and places."""
    tables = written["compact"]["tables"]
    for entry in written["compact"]["replies"]:
        message = entry["json"]
        _, fields = read(library, bytes.fromhex(entry["body"]))
        entities = [meaning for tag, _, meaning in fields if tag == 0x42]
        labels = [meaning for tag, _, meaning in fields if tag == 0x41]
        if "error" in message:
            assert [meaning for tag, _, meaning in fields if tag == 0x56] == [5 if message["error"]["message"] else 255]
        elif entry["op"] == "understand":
            intent, slots = message["result"]["intent"], message["result"]["slots"]
            index = 0xFFFF if intent is None else tables["labels"].index(intent)
            assert labels == [(index, round(message["result"]["score"] * 10000), 0, 0)]
            assert [(tables["types"][i], start, end) for i, _, start, end in entities] == [
                (slot["type"], slot["start"], slot["end"]) for slot in slots
            ]
        elif entry["op"] == "classify":
            assert [(tables["labels"][i], score) for i, score, _, _ in labels] == [
                (label["label"], round(label["score"] * 10000)) for label in message["result"]
            ]


def test_a_field_beyond_the_end_is_not_read(library: Any) -> None:
    """Reading stops before a field that is longer than what is left."""
    assert read(library, bytes.fromhex("82 43 0100 61 43 0200 61"))[1] == [(0x43, b"a", 0x61)]
    assert read(library, bytes.fromhex("82 43 01"))[1] == []


def test_characters_are_found_in_utf8(library: Any) -> None:
    """edge_utf8_at gives the byte at which a character begins."""
    text = "aé–😀b"
    coded = text.encode()
    for place in range(len(text) + 2):
        assert library.edge_utf8_at(coded, len(coded), place) & 0xFFFF == len(text[:place].encode())
