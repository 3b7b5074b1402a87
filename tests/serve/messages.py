"""Messages as a fuzzer makes them: valid ones, valid ones with something changed, and bytes."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any

DEEP = 20_000
"""levels of nesting that no recursive parser takes; what is less than a tenth of it, all take"""

_TEXTS = (
    "turn off the kitchen lights",
    "wake me at seven tomorrow",
    "",
    " ",
    "x" * 9000,
    "play some jazz " * 40,
    "Zoë 日本語 🙂 \u202e \u0000 \ufeff",
    "e\u0301" * 50,
    "\ud800",
    "[MASK]",
    "[CLS] [SEP] [UNK]",
)
_IDS: tuple[Any, ...] = (
    0,
    1,
    2**53 - 1,
    2**53,
    2**64,
    -1,
    10**400,
    1.0,
    1e3,
    "",
    "a",
    "é" * 64,
    "x" * 65,
    True,
    None,
    [],
    {},
    "\ud800",
)
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, "", "a", "\u0000", "\ud800", "x" * 1000, [],
    [[]], {}, {"a": {}}, [None] * 70, ["a"] * 64, ["a"] * 65, {"id": 1, "op": "ask"},
)  # fmt: skip
_OPS = (
    "understand", "classify", "tag", "answer", "embed", "fill", "choose", "ask", "batch", "cancel", "hello", "info",
    "open", "feed", "close", "health", "metrics", "sing", "", "ASK", "__init__",
)  # fmt: skip
_STREAMS: tuple[Any, ...] = ("s", "t", 1, "é")

Message = dict[str, Any]


def round_of_lines(random_: random.Random, count: int) -> list[bytes]:
    """So many inputs, which may hold line feeds."""
    return [_line(random_, number) for number in range(count)]


def _line(random_: random.Random, number: int) -> bytes:
    kind = random_.random()
    if kind < 0.05:
        return random_.randbytes(random_.randint(0, 300))
    if kind < 0.06:
        return _extreme(random_)
    if kind < 0.061:
        # starts another worker, which takes its time
        return b'{"id": %d, "op": "reload"}' % number
    message = _valid(random_, number)
    if kind < 0.5:
        for _ in range(random_.choice([0, 1, 1, 1, 2, 3])):
            _change(random_, message)
    line = _encoded(random_, message)
    return _damaged(random_, line) if kind > 0.93 else line


def _valid(random_: random.Random, number: int) -> Message:
    make: Callable[[random.Random], Message] = random_.choice(
        [_text_request, _text_request, _batch, _cancel, _stream, _stream, _stream, _about]
    )
    message = {"id": number if random_.random() < 0.8 else f"n{number}", **make(random_)}
    if random_.random() < 0.1:
        message["deadline_ms"] = random_.choice([1, 0.001, 100, 2000, 60_000, 60_001, 0, -1, 1e308])
    return message


def _text_request(random_: random.Random) -> Message:
    op = random_.choice(_OPS[:8])
    message: Message = {"op": op, "text": random_.choice(_TEXTS)}
    if random_.random() < 0.2:
        message["pair"] = random_.choice(_TEXTS)
    if random_.random() < 0.2:
        message["top_k"] = random_.choice([1, 3, 100, 101, 0])
    if random_.random() < 0.1:
        message["choices"] = [random_.choice(_TEXTS) for _ in range(random_.randint(0, 5))]
    return message


def _batch(random_: random.Random) -> Message:
    entries: list[Any] = [_text_request(random_) for _ in range(random_.choice([0, 1, 2, 5, 64, 65]))]
    if random_.random() < 0.2:
        entries.append(random_.choice([_batch_of_batches(random_), None, [], {"op": "hello"}, {"op": "ask", "id": 3}]))
    return {"op": "batch", "requests": entries}


def _batch_of_batches(random_: random.Random) -> Message:
    return {"op": "batch", "requests": [_text_request(random_)]}


def _cancel(random_: random.Random) -> Message:
    if random_.random() < 0.5:
        return {"op": "cancel", "request": random_.randint(0, 99)}
    return {"op": "cancel", "stream": random_.choice(_STREAMS)}


def _about(random_: random.Random) -> Message:
    op = random_.choice(["hello", "info", "health", "metrics"])
    return {"op": op, **({"protocol": random_.choice([1, 1, 2])} if op == "hello" else {})}


def _stream(random_: random.Random) -> Message:
    stream = random_.choice(_STREAMS)
    match random_.choice(["open", "feed", "feed", "feed", "close"]):
        case "open":
            message: Message = {"op": "open", "stream": stream, "window": random_.choice([8, 16, 128, 3, 2, 129, 0])}
            for name, values in (
                ("task", ["tag", "classify", "understand", "embed", "answer", "fill"]),
                ("overlap", [0, 1, 4, 15, 200]),
                ("events", [True, False]),
                ("question", ["who?", ""]),
            ):
                if random_.random() < 0.3:
                    message[name] = random_.choice(values)
            return message
        case "feed":
            if random_.random() < 0.5:
                return {"op": "feed", "stream": stream, "text": random_.choice(_TEXTS)}
            data = random_.choice(_TEXTS).encode("utf-8", "surrogatepass") + random_.randbytes(
                random_.choice([0, 0, 3, 40])
            )
            encoded = base64.b64encode(data).decode()
            if random_.random() < 0.2:
                encoded = random_.choice(
                    ["=", "====", "a", "é", encoded[:-1], encoded + "=", " " + encoded, "A" * 90_000]
                )
            return {"op": "feed", "stream": stream, "base64": encoded}
        case _:
            return {"op": "close", "stream": stream}


def _change(random_: random.Random, message: Message) -> None:
    names = list(message)
    match random_.randrange(6):
        case 0 if names:
            del message[random_.choice(names)]
        case 1 if names:
            message[random_.choice(names)] = random_.choice(_ODD)
        case 2:
            message["id"] = random_.choice(_IDS)
        case 3:
            message["op"] = random_.choice(_OPS)
        case 4:
            message[random_.choice(["", "x", "ID", "result", "error", "model", "text", "pair", "top_k"])] = (
                random_.choice(_ODD)
            )
        case _:
            message["model"] = random_.choice(["assistant", "nobody", "", "../assistant", "\u0000", 7, None])


def _encoded(random_: random.Random, message: Message) -> bytes:
    text = json.dumps(message, ensure_ascii=random_.random() < 0.5, indent=None)
    if random_.random() < 0.03:
        text = text.replace(": ", ":" + random_.choice(["NaN", "Infinity", "1e999", "-0", "00", "\t", "tru"]) + ",", 1)
    if random_.random() < 0.03:
        text = "\t \r" + text + " \r"
    if random_.random() < 0.02:
        # the last of two counts, as in nearly every parser
        text = text[:-1] + ', "id": 7, "id": 8}'
    return text.encode("utf-8", "surrogatepass")


def _damaged(random_: random.Random, line: bytes) -> bytes:
    damaged = bytearray(line)
    for _ in range(random_.choice([1, 1, 2, 5])):
        place = random_.randrange(len(damaged) + 1)
        match random_.randrange(4):
            case 0 if place < len(damaged):
                damaged[place] = random_.randrange(256)
            case 1:
                damaged.insert(place, random_.choice([0, 10, 13, 34, 92, 123, 125, 0xC0, 0xFF, 0xED]))
            case 2:
                del damaged[place : place + random_.randint(1, 5)]
            case _:
                del damaged[place:]
    return bytes(damaged)


def _extreme(random_: random.Random) -> bytes:
    """What a parser or a buffer may choke on."""
    return random_.choice(
        [
            b"[" * DEEP,
            b'{"a":' * DEEP,
            b'{"id": 5, "op": "ask", "text": ' + b"[" * DEEP + b"]" * DEEP + b"}",
            b'{"id": 5, "op": "ask", "x": ' + b"9" * 5000 + b"}",
            b'{"id": ' + b"9" * 5000 + b"}",
            b'{"id": 6, "op": "ask", "text": "' + b"y" * 262_144 + b'"}',
            b"\x00" * 1000,
            b'{"id": 7, "op": "ask", "text": "' + b"z " * 100_000 + b'"}',
            b'{"id": 8, "op": "ask", "text": "\\ud83d"}',
            b'{"id": 9, "op": "ask", "text": "\xed\xa0\x80"}',
            b"\xff\xfe{\x00}\x00",
            b"\xef\xbb\xbf" + b'{"id": 10, "op": "health"}',
            b"GET / HTTP/1.1",
            b" " * 262_145,
            b" " * 262_144,
        ]
    )
