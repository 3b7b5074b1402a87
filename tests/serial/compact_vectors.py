"""The compact form's vectors: JSON of protocol.md, or what it means, beside the bytes."""

from __future__ import annotations

import struct
from typing import Any

from tests.serial.reference import field

LABELS = ["alarm_set", "iot_hue_lightoff", "weather_query"]
TYPES = ["time", "house_place", "place_name"]


def compact() -> dict[str, Any]:
    """Tables that the replies' indices belong to; requests; replies, each with the options that the request had."""
    return {"tables": {"labels": LABELS, "types": TYPES}, "requests": requests(), "replies": replies()}


def u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def requests() -> list[dict[str, Any]]:
    text = "wake me at 7 – füñf 😀"
    made: list[tuple[dict[str, Any], bytes]] = [
        ({"op": "ask", "text": text}, b"\x01" + field(1, text.encode())),
        ({"op": "understand", "text": ""}, b"\x02" + field(1, b"")),
        (
            {"op": "understand", "text": text, "model": "assistant", "deadline_ms": 1500},
            b"\x02" + field(1, text.encode()) + field(5, b"assistant") + field(6, u32(1500)),
        ),
        (
            {"op": "classify", "text": "a", "pair": "b", "top_k": 2},
            b"\x03" + field(1, b"a") + field(2, b"b") + field(4, b"\x02"),
        ),
        ({"op": "tag", "text": "x" * 300}, b"\x04" + field(1, b"x" * 300)),
        ({"op": "answer", "text": "Who?", "pair": "Ada."}, b"\x05" + field(1, b"Who?") + field(2, b"Ada.")),
        ({"op": "embed", "text": "a"}, b"\x06" + field(1, b"a")),
        ({"op": "fill", "text": "a [MASK]", "top_k": 1}, b"\x07" + field(1, b"a [MASK]") + field(4, b"\x01")),
        (
            {"op": "choose", "text": "a", "choices": ["b", "c"]},
            b"\x08" + field(1, b"a") + field(3, b"b") + field(3, b"c"),
        ),
        ({"op": "open", "stream": 1}, b"\x10" + field(8, b"\x01")),
        (
            {"op": "open", "stream": 2, "task": "tag", "window": 64, "overlap": 8, "events": False},
            b"\x10" + field(8, b"\x02") + field(12, b"\x04") + field(9, u16(64)) + field(10, u16(8)) + field(11, b"\0"),
        ),
        (
            {"op": "open", "stream": 3, "task": "answer", "question": "Who?", "top_k": 1},
            b"\x10" + field(8, b"\x03") + field(12, b"\x05") + field(13, b"Who?") + field(4, b"\x01"),
        ),
        ({"op": "feed", "stream": 2, "base64": "8J8="}, b"\x11" + field(8, b"\x02") + field(7, b"\xf0\x9f")),
        ({"op": "close", "stream": 2}, b"\x12" + field(8, b"\x02")),
        ({"op": "cancel", "stream": 2}, b"\x13" + field(8, b"\x02")),
        ({"op": "info"}, b"\x18"),
        ({"op": "health"}, b"\x19"),
    ]
    return [{"json": message, "body": body.hex()} for message, body in made]


def label(index: int, score: int) -> bytes:
    return field(0x41, u16(index) + u16(score))


def entity(index: int, score: int, start: int, end: int) -> bytes:
    return field(0x42, u16(index) + u16(score) + u32(start) + u32(end))


def replies() -> list[dict[str, Any]]:
    slot = {"type": "house_place", "text": "kitchen", "start": 13, "end": 20, "score": 0.99986}
    understood = {"intent": "iot_hue_lightoff", "score": 0.99725, "slots": [slot]}
    labels = [{"label": "weather_query", "score": 0.75}, {"label": "alarm_set", "score": 0.00004}]
    final = {"final": [slot], "windows": 2, "characters": 95, "truncated": False}
    window = {"index": 1, "start": 0, "end": 47, "tokens": 14, "result": [slot]}
    named, timed = {"options": 1}, {"options": 2}
    answer = {"text": "Ada", "start": 0, "end": 3, "score": 0.5}
    chosen = {"index": 1, "text": "c", "score": 0.6, "scores": [0.4, 0.6]}
    token = {"token": 2088, "text": "world", "score": 0.9}
    timing = {"queue": 0.25, "tokenise": 0.05, "infer": 4.5}
    found = entity(1, 9999, 13, 20)
    kitchen = label(1, 9972) + found
    made: list[tuple[str, dict[str, Any], dict[str, Any], bytes]] = [
        ("understand", {}, {"result": understood}, b"\x82" + kitchen),
        (
            "understand",
            named,
            {"result": understood},
            b"\x82" + label(1, 9972) + field(0x43, b"iot_hue_lightoff") + found + field(0x43, b"house_place"),
        ),
        ("understand", timed, {"result": understood, "timing_ms": timing}, b"\x82" + kitchen + field(0x46, u32(4800))),
        ("understand", {}, {"result": {"intent": None, "score": 0.9, "slots": []}}, b"\x82" + label(0xFFFF, 9000)),
        ("understand", named, {"result": {"intent": None, "score": 1.0, "slots": []}}, b"\x82" + label(0xFFFF, 10000)),
        ("classify", {}, {"result": labels}, b"\x83" + label(2, 7500) + label(0, 0)),
        ("tag", {}, {"result": [slot]}, b"\x84" + found),
        ("tag", {}, {"result": []}, b"\x84"),
        ("answer", {}, {"result": answer}, b"\x85" + entity(0xFFFF, 5000, 0, 3)),
        ("embed", {}, {"result": [0.5, -0.25]}, b"\x86" + field(0x44, struct.pack("<2f", 0.5, -0.25))),
        ("fill", {}, {"result": [token]}, b"\x87" + field(0x45, u16(9000) + b"world")),
        ("choose", {}, {"result": chosen}, b"\x88" + label(1, 6000) + label(0, 4000)),
        (
            "open",
            {},
            {"result": {"stream": 2, "task": "tag", "model": "assistant", "window": 64, "overlap": 8}},
            b"\x90" + field(8, b"\x02") + field(9, u16(64)) + field(10, u16(8)),
        ),
        (
            "feed",
            {},
            {"result": {"windows": 1, "characters": 95}},
            b"\x91" + field(0x47, u32(1)) + field(0x48, u32(95)),
        ),
        (
            "close tag",
            {},
            {"result": final},
            b"\x92" + found + field(0x47, u32(2)) + field(0x48, u32(95)) + field(0x49, b"\0"),
        ),
        ("cancel", {}, {"result": {"cancelled": True}}, b"\x93" + field(0x4E, b"\x01")),
        (
            "health",
            {},
            {"result": {"state": "ready", "reasons": [], "uptime_s": 12.9, "models": []}},
            b"\x99" + field(0x54, b"\x01") + field(0x55, u32(12)),
        ),
        (
            "event tag",
            {},
            {"stream": 2, "window": window},
            b"\x70"
            + field(8, b"\x02")
            + field(0x4A, u32(1))
            + field(0x4B, u32(0))
            + field(0x4C, u32(47))
            + field(0x4D, u16(14))
            + found,
        ),
        (
            "any",
            {},
            {"error": {"code": "overloaded", "message": "too much"}},
            b"\xff" + field(0x56, b"\x05") + field(0x57, b"too much"),
        ),
        (
            "any",
            {},
            {"error": {"code": "never_heard_of", "message": ""}},
            b"\xff" + field(0x56, b"\xff") + field(0x57, b""),
        ),
    ]
    return [{"op": op, **options, "json": message, "body": body.hex()} for op, options, message, body in made]
