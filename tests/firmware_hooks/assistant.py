"""What the reference server answers with the bundled model: the requests of the examples, with names."""

from __future__ import annotations

from edge_runtime.model import Model
from tests.serial.compact_vectors import entity, label
from tests.serial.reference import field


def understand(model: Model, body: bytes) -> tuple[list[bytes], bytes]:
    """The reply to `understand` with names."""
    assert body[0] == 0x02, "only `understand` is answered"
    fields, rest = {}, body[1:]
    while rest:
        length = int.from_bytes(rest[1:3], "little")
        fields[rest[0]] = rest[3 : 3 + length]
        rest = rest[3 + length :]
    found = model.understand(fields[0x01].decode())
    reply = b"\x82" + label(0 if found.intent else 0xFFFF, round(found.score * 10_000))
    reply += field(0x43, found.intent.encode()) if found.intent else b""
    for slot in found.slots:
        reply += entity(0, round(slot.score * 10_000), slot.start, slot.end) + field(0x43, slot.type.encode())
    return [], reply
