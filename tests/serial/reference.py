"""docs/serial.md written down a second time, slowly and plainly, to hold the implementations against.

It shares no code with them: the CRCs are computed bit by bit, COBS by cutting at zeros.
"""

from __future__ import annotations

DELIMITER = b"\x00"
HELLO, WELCOME, RESET, DATA, STATE, CANCEL = 1, 2, 3, 4, 5, 6
SERVER, LAST, ASK, EVENT, GAP = 0x08, 0x10, 0x20, 0x40, 0x80
DONE = LAST
VERSION = 1
LONGEST_PIECE = 254
"""bytes of a COBS piece without a zero"""


def crc16(data: bytes) -> int:
    """CRC-16/GENIBUS."""
    crc = 0xFFFF
    for byte in data:
        for bit in range(7, -1, -1):
            carry = (crc >> 15) ^ ((byte >> bit) & 1)
            crc = (crc << 1) & 0xFFFF
            if carry:
                crc ^= 0x1021
    return crc ^ 0xFFFF


def crc32(data: bytes) -> int:
    """CRC-32/ISO-HDLC."""
    crc = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            carry = (crc ^ (byte >> bit)) & 1
            crc >>= 1
            if carry:
                crc ^= 0xEDB88320
    return crc ^ 0xFFFFFFFF


def stuff(content: bytes) -> bytes:
    """COBS; content is never empty."""
    pieces = content.split(DELIMITER)
    coded = b""
    for index, piece in enumerate(pieces):
        rest, last = piece, index == len(pieces) - 1
        while len(rest) >= LONGEST_PIECE:
            coded += b"\xff" + rest[:LONGEST_PIECE]
            rest = rest[LONGEST_PIECE:]
            if not rest and last:
                return coded
        coded += bytes([len(rest) + 1]) + rest
    return coded


def unstuff(coded: bytes) -> bytes | None:
    """The content, or None where a code byte points beyond the end."""
    content = b""
    while coded:
        code, coded = coded[0], coded[1:]
        if code == 0 or len(coded) < code - 1 or 0 in coded[: code - 1]:
            return None
        content += coded[: code - 1]
        coded = coded[code - 1 :]
        if code <= LONGEST_PIECE and coded:
            content += DELIMITER
    return content


def wire(content: bytes) -> bytes:
    """A frame as it is sent; `content` without its CRC-16."""
    return DELIMITER + stuff(content + crc16(content).to_bytes(2, "big")) + DELIMITER


def size(content: int) -> int:
    """Bytes on the wire of so many bytes of content, CRC-16 included."""
    return content + -(-content // LONGEST_PIECE) + 2


def largest_content(frame: int) -> int:
    """Bytes of content, CRC-16 included, of the largest frame of at most that size."""
    return max(content for content in range(frame) if size(content) <= frame)


def largest_fragment(frame: int) -> int:
    """Bytes of a message that a DATA frame of that size carries."""
    return largest_content(frame) - 8


def hello(
    nonce: int,
    frame: int,
    message: int,
    window: int,
    pause: int,
    requests: int,
    digest: bytes,
    session: int | None = None,
) -> bytes:
    """Content of a HELLO, or with `session` of a WELCOME."""
    content = bytes([HELLO if session is None else WELCOME | SERVER, 0, VERSION])
    content += nonce.to_bytes(4, "little") + frame.to_bytes(2, "little") + message.to_bytes(3, "little")
    content += window.to_bytes(2, "little") + pause.to_bytes(2, "little") + bytes([requests]) + digest
    if session is not None:
        content += session.to_bytes(4, "little")
    return content + crc32(content).to_bytes(4, "little")


def data(kind: int, session: int, number: int, offset: int, piece: bytes) -> bytes:
    """Content of a DATA; `kind`: its flags."""
    return bytes([DATA | kind, session & 0xFF, number]) + offset.to_bytes(3, "little") + piece


def state(kind: int, session: int, number: int, have: int, credit: int) -> bytes:
    """Content of a STATE; `kind`: its flags."""
    head = bytes([STATE | kind, session & 0xFF, number])
    return head + have.to_bytes(3, "little") + credit.to_bytes(2, "little")


def reset(kind: int, epoch: int, reason: int) -> bytes:
    """Content of a RESET; `kind`: its direction."""
    return bytes([RESET | kind, epoch, reason])


def cancel(session: int, number: int) -> bytes:
    """Content of a CANCEL."""
    return bytes([CANCEL, session & 0xFF, number])


def message(session: int, kind: int, number: int, bound: int, body: bytes) -> bytes:
    """A message with its CRC-32; `kind`: 0 request, 1 reply, 2 event; `bound`: the request's CRC-32, in a reply."""
    covered = session.to_bytes(4, "little") + bytes([kind, number]) + bound.to_bytes(4, "little") + body
    return body + crc32(covered).to_bytes(4, "little")


def fragments(kind: int, session: int, number: int, whole: bytes, frame: int) -> list[bytes]:
    """Contents of the DATA frames of a message, all sent without waiting: ASK on the last one only."""
    step = largest_fragment(frame)
    contents = []
    for offset in range(0, len(whole), step):
        last = LAST | ASK if offset + step >= len(whole) else 0
        contents.append(data(kind | last, session, number, offset, whole[offset : offset + step]))
    return contents


def field(tag: int, value: bytes) -> bytes:
    """A field of the compact form."""
    return bytes([tag]) + len(value).to_bytes(2, "little") + value


def receive(stream: bytes, frame: int) -> tuple[list[bytes], dict[str, int]]:
    """Contents without their CRC-16, and counted errors, that a receiver of such frames takes from the wire."""
    found, errors = [], {"crc": 0, "cobs": 0, "overflow": 0}
    *pieces, _ = stream.split(DELIMITER)
    for coded in pieces:
        content = unstuff(coded)
        if not coded:
            continue
        if len(coded) > frame - 2:
            errors["overflow"] += 1
        elif content is None:
            errors["cobs"] += 1
        elif len(content) < 2 or crc16(content[:-2]).to_bytes(2, "big") != content[-2:]:
            errors["crc"] += 1
        else:
            found.append(content[:-2])
    return found, {name: count for name, count in errors.items() if count}
