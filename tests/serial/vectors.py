"""`python -m tests.serial.vectors`: write vectors.json, which implementations of docs/serial.md are held against.

Bytes are hexadecimal. In a stream, `frames` are the contents that a receiver has to find, without their CRC-16, and
`errors` what it has to count. `compact` pairs have what protocol.md's JSON says and what the compact form says.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tests.serial import reference as link
from tests.serial.compact_vectors import compact, entity, label

FILE = Path(__file__).with_name("vectors.json")
SESSION = 0xC0FFEE42
DIGEST = bytes.fromhex("a83e0b59e3ca0346")
TEXT = "turn off the kitchen lights"

Vectors = list[dict[str, Any]]


def main() -> None:
    vectors = {
        "version": link.VERSION,
        "crc": crcs(),
        "cobs": cobs(),
        "cobs_refused": [{"coded": coded} for coded in ("05010203", "ff" + "01" * 253, "02", "0301", "0211ff")],
        "frames": frames(),
        "messages": messages(),
        "streams": streams(),
        "compact": compact(),
    }
    FILE.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def crcs() -> Vectors:
    samples = [b"123456789", b"", b"\x00", b"\xff" * 4, bytes(range(256)), "füñf 😀".encode()]
    return [{"data": sample.hex(), "crc16": link.crc16(sample), "crc32": link.crc32(sample)} for sample in samples]


def cobs() -> Vectors:
    run = bytes(1 + i % 255 for i in range(600))
    samples = [b"\0", b"\0\0", b"\x11\x22\0\x33", b"\x11\0\0\0", b"\x11\x22\x33\x44", bytes(range(256))]
    samples += [run[:n] for n in (253, 254, 255, 507, 508, 509, 600)]
    samples += [run[:n] + b"\0" for n in (253, 254, 255, 508)] + [b"\0" + run[:254], run[:254] + b"\0" + run[:254]]
    return [{"content": sample.hex(), "coded": link.stuff(sample).hex()} for sample in samples]


def frames() -> Vectors:
    settings: dict[str, Any] = {
        "nonce": 0x12345678,
        "frame": 256,
        "message": 512,
        "window": 480,
        "pause": 5,
        "requests": 1,
    }
    offered = {"nonce": 0x12345678, "frame": 1024, "message": 262144, "window": 4096, "pause": 20, "requests": 1}
    said = {"digest": DIGEST.hex()}
    made: list[tuple[dict[str, Any], bytes]] = [
        ({"type": "hello", **settings, **said}, link.hello(**settings, digest=DIGEST)),
        ({"type": "hello", **settings, "digest": "00" * 8}, link.hello(**settings, digest=bytes(8))),
        (
            {"type": "welcome", **offered, **said, "session": SESSION},
            link.hello(**offered, digest=DIGEST, session=SESSION),
        ),
    ]
    for server, epoch, reason in ((True, 0x42, 1), (True, 0, 4), (False, 0x42, 0)):
        direction = link.SERVER if server else 0
        made.append(
            (
                {"type": "reset", "server": server, "epoch": epoch, "reason": reason},
                link.reset(direction, epoch, reason),
            )
        )
    made.append(({"type": "cancel", "epoch": 0x42, "number": 255}, link.cancel(SESSION, 255)))
    for flags, number, have, credit in (
        (0, 1, 0, 480),
        (link.ASK, 2, 70000, 65535),
        (link.DONE, 0, 0, 0),
        (link.GAP, 7, 245, 235),
        (link.EVENT | link.DONE, 255, 90, 512),
        (link.GAP | link.ASK, 9, 0, 21),
    ):
        for direction in (0, link.SERVER):
            fields = {"epoch": 0x42, "number": number, "have": have, "credit": credit, "server": bool(direction)}
            made.append(
                (
                    {"type": "state", **fields, **_flags(flags, "done")},
                    link.state(flags | direction, SESSION, number, have, credit),
                )
            )
    for flags, offset, length in (
        (link.LAST | link.ASK, 0, 31),
        (0, 0, 245),
        (link.ASK, 245, 1),
        (link.SERVER | link.EVENT | link.LAST, 65536, 246),
        (link.SERVER, 0, 1009),
    ):
        piece = bytes((7 * i + length) & 0xFF for i in range(length))
        parts: dict[str, Any] = {
            "epoch": 0x42,
            "number": 3,
            "offset": offset,
            "piece": piece.hex(),
            "server": bool(flags & link.SERVER),
        }
        made.append(({"type": "data", **parts, **_flags(flags, "last")}, link.data(flags, SESSION, 3, offset, piece)))
    return [{**fields, "content": content.hex(), "wire": link.wire(content).hex()} for fields, content in made]


def _flags(kind: int, bit4: str) -> dict[str, bool]:
    flags = {bit4: link.LAST, "ask": link.ASK, "event": link.EVENT}
    if bit4 == "done":
        flags["gap"] = link.GAP
    return {name: bool(kind & bit) for name, bit in flags.items()}


def messages() -> Vectors:
    """Messages whole, and cut for three sizes of frame."""
    request = b"\x02" + link.field(0x01, TEXT.encode())
    asked = link.message(SESSION, 0, 1, 0, request)
    bound = int.from_bytes(asked[-4:], "little")
    reply = b"\x82" + label(31, 9972) + entity(10, 10000, 13, 20)
    asking = json.dumps({"op": "understand", "text": TEXT}, separators=(",", ":")).encode()
    found = []
    for kind, number, tied, body in (
        (0, 1, 0, request),
        (1, 1, bound, reply),
        (0, 255, 0, asking),
        (2, 1, 0, b"\x70" + bytes(range(250)) * 4),
    ):
        whole = link.message(SESSION, kind, number, tied, body)
        flags = (0, link.SERVER, link.SERVER | link.EVENT)[kind]
        cuts = {
            str(frame): [link.wire(content).hex() for content in link.fragments(flags, SESSION, number, whole, frame)]
            for frame in (32, 64, 256)
        }
        found.append(
            {
                "session": SESSION,
                "class": kind,
                "number": number,
                "bound": tied,
                "body": body.hex(),
                "message": whole.hex(),
                "frames": cuts,
            }
        )
    return found


def streams() -> Vectors:
    """What comes out of a wire, and what a receiver of 256-byte frames makes of it."""
    good = [link.state(link.SERVER, SESSION, n, n, 480) for n in range(1, 5)]
    a, b, c, d = (link.wire(content) for content in good)
    long = link.data(link.SERVER, SESSION, 3, 0, bytes(1 + i % 255 for i in range(245)))
    too_long = link.wire(link.data(link.SERVER, SESSION, 3, 0, bytes(1 + i % 255 for i in range(300))))
    flipped = bytearray(b)
    flipped[5] ^= 0x10
    longer = bytearray(b)
    longer[1] = 0xF0

    def stream(name: str, data: bytes, found: list[bytes], **errors: int) -> dict[str, Any]:
        return {"name": name, "wire": data.hex(), "frames": [content.hex() for content in found], "errors": errors}

    made = [
        stream("whole frames", a + b + c, good[:3]),
        stream("delimiters shared", a + b[1:] + c[1:], good[:3]),
        stream("idle delimiters", bytes(20) + a + bytes(3) + b, good[:2]),
        stream("noise before a frame", b"\x91\x05\xff\x17" + a, good[:1], cobs=1),
        stream("a flipped bit", a + bytes(flipped) + c, [good[0], good[2]], crc=1),
        stream("a code byte that points beyond the frame", a + bytes(longer) + c, [good[0], good[2]], cobs=1),
        stream("a frame without its end", a + b[:7] + c + d, [good[0], *good[2:]], crc=1),
        stream("two delimiters lost: a frame joined to the next", a + b[:-1] + c[1:] + d, [good[0], good[3]], crc=1),
        stream("the largest frame", link.wire(long) + a, [long, good[0]]),
        stream("a frame beyond the buffer", too_long + a, good[:1], overflow=1),
        stream("a line without a delimiter for long, then a frame", b"\xaa" * 1000 + a, good[:1], overflow=1),
        stream(
            "a delimiter that became 0x01: a zero appended", a + b[:-1] + b"\x01" + c + d, [good[0], *good[2:]], crc=1
        ),
        stream("less than any frame", b"\0\x02\x11\0" + a, good[:1], crc=1),
    ]
    return [*made, _noisy()]


def _noisy() -> dict[str, Any]:
    """Frames between random bytes; what passes is found with the reference."""
    draw = random.Random(20)
    data, found, errors = b"", [], {"crc": 0, "cobs": 0}
    for n in range(60):
        content = link.data(link.SERVER | link.LAST, SESSION, n, 0, draw.randbytes(draw.randrange(1, 60)))
        data += link.wire(content)
        found.append(content)
        noise = bytes(draw.randrange(1, 256) for _ in range(draw.randrange(1, 30)))
        data += noise
        plain = link.unstuff(noise)
        errors["cobs" if plain is None else "crc"] += 1
        assert plain is None or len(plain) < 2 or link.crc16(plain[:-2]).to_bytes(2, "big") != plain[-2:]
    data += link.DELIMITER
    return {
        "name": "frames between random bytes",
        "wire": data.hex(),
        "frames": [f.hex() for f in found],
        "errors": errors,
    }


if __name__ == "__main__":
    main()
