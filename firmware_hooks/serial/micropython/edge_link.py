"""Ask a board that runs squeezebert-edge over a serial line, from MicroPython or CPython: the client of docs/serial.md.

    from machine import UART
    from edge_link import Link

    link = Link(UART(1, 115200, rxbuf=512), 115200)
    link.understand("turn off the kitchen lights")
    # {'intent': 'iot_hue_lightoff', 'score': 0.9972, 'slots': [{'type': 'house_place', 'text': 'kitchen', …}]}

One file, nothing beyond `binascii`, `struct` and `time`. Either call an operation, which waits, or `begin` a request
and call `poll` until it says something other than BUSY.
"""

import binascii
import struct
import time

try:
    from typing import Any
except ImportError:
    Any = None  # type: ignore[assignment,misc]  # MicroPython reads annotations and forgets them

IDLE, BUSY, REPLY, EVENT, TIMEOUT, LOST = range(6)

HELLO, WELCOME, RESET, DATA, STATE, CANCEL = range(1, 7)
SERVER, LAST, DONE, ASK, WINDOW_EVENT, GAP = 0x08, 0x10, 0x10, 0x20, 0x40, 0x80
LENGTHS = {WELCOME: 33, RESET: 3, DATA: 7, STATE: 8}
ALLOWED = {WELCOME: 0, RESET: 0, DATA: LAST | ASK | WINDOW_EVENT, STATE: DONE | ASK | WINDOW_EVENT | GAP}

VERSION = 1
AROUND = 11
STATE_SIZE = 13
MAX_FRAME = 256
MIN_FRAME = 32
HELLO_EVERY, HELLO_LATER = 300, 2000
ALIVE_EVERY, MAX_WAIT = 1000, 2000
MAX_TIMEOUTS, MAX_UNANSWERED = 8, 5
FIRST_FLIGHT, MAX_FLIGHT, STEADY = 2, 8, 8
CLOCK_MASK = 0x3FFFFFFF
"""ticks_ms() begins again at 2^30 on 32-bit ports, at multiples of it on others"""

CODES = (
    "bad_request too_long unknown_model no_such_head overloaded deadline cancelled forbidden unavailable internal stale"
)
OPERATIONS = {"ask": 1, "understand": 2, "classify": 3, "tag": 4, "answer": 5, "embed": 6, "fill": 7, "choose": 8}


class EdgeError(Exception):
    """The server answered with an error; or nobody did (`timeout`), or a stream was lost with its session (`lost`)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def crc16(data: bytes) -> int:
    """CRC-16/GENIBUS before its final XOR."""
    crc = 0xFFFF
    for byte in data:
        x = (crc >> 8) ^ byte
        x ^= x >> 4
        crc = ((crc << 8) ^ (x << 12) ^ (x << 5) ^ x) & 0xFFFF
    return crc


def crc32(data: bytes) -> int:
    """CRC-32 of zlib, also where the port has no binascii.crc32."""
    if hasattr(binascii, "crc32"):
        return binascii.crc32(data) & 0xFFFFFFFF
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame(content: bytes) -> bytes:
    """A frame for the wire: CRC-16, COBS, both delimiters."""
    content += (crc16(content) ^ 0xFFFF).to_bytes(2, "big")
    coded = b"\x00"
    at, end = 0, len(content)
    while at <= end:
        zero = content.find(b"\x00", at)
        zero = end if zero < 0 else zero
        if zero - at >= 254:
            coded += b"\xff" + content[at : at + 254]
            at += 254
            if at == end:
                break
        else:
            coded += bytes((zero - at + 1,)) + content[at:zero]
            at = zero + 1
    return coded + b"\x00"


class Receiver:
    """Bytes from the wire to the contents of good frames."""

    def __init__(self, largest: int) -> None:
        """`largest`: frame, in bytes on the wire."""
        self._room = largest - 2
        self._coded = b""
        self._overflow = False
        self.counters = {"crc": 0, "cobs": 0, "overflow": 0}

    def feed(self, data: bytes) -> list[bytes | None]:
        """Contents without their CRC-16; None for a damaged frame of 4 bytes or more."""
        found: list[bytes | None] = []
        pieces = data.split(b"\x00")
        for place in range(len(pieces)):
            self._coded += pieces[place]
            if len(self._coded) > self._room:
                self._overflow = True
                self._coded = b""
            if place == len(pieces) - 1:
                break
            if self._overflow:
                self._damaged("overflow", MAX_FRAME, found)
            elif self._coded:
                self._finish(found)
            self._coded = b""
            self._overflow = False
        return found

    def _damaged(self, error: str, length: int, found: list[bytes | None]) -> None:
        self.counters[error] += 1
        if length >= 4:
            found.append(None)

    def _finish(self, found: list[bytes | None]) -> None:
        coded = self._coded
        content = b""
        at = 0
        while at < len(coded):
            code = coded[at]
            piece = coded[at + 1 : at + code]
            at += code
            content += piece
            if at > len(coded):
                self._damaged("cobs", len(content), found)
                return
            if code < 255 and at < len(coded):
                content += b"\x00"
        if len(content) < 2 or crc16(content) != 0x1D0F:
            self._damaged("crc", len(content), found)
        else:
            found.append(content[:-2])


def field(tag: int, value: bytes) -> bytes:
    """A field of the compact form."""
    return struct.pack("<BH", tag, len(value)) + value


def fields(body: bytes) -> list[tuple[int, bytes]]:
    """Tags and values after byte 0; one that is longer than what is left ends them."""
    found = []
    at = 1
    while at + 3 <= len(body):
        tag, length = struct.unpack("<BH", body[at : at + 3])
        at += 3 + length
        if at > len(body):
            break
        found.append((tag, body[at - length : at]))
    return found


class Link:
    """A serial line with a board at its other end."""

    def __init__(
        self,
        port: Any,
        baud: int,
        largest_frame: int = 256,
        largest_message: int = 4096,
        window: int = 480,
        pause: int = 20,
        patience: int = 10000,
        nonce: int | None = None,
        clock: Any = None,
    ) -> None:
        """Set up; nothing is sent yet.

        Args:
            port: has read(n), which gives at most n bytes or None, without waiting, and write(bytes), which gives the
                number of bytes taken.
            baud: bits per second; must be what the port was opened with.
            largest_frame: that is taken, 64 to 1024 bytes on the wire.
            largest_message: that is taken, in bytes; it is what memory is needed for.
            window: bytes of a message that may come unacknowledged: what the port's own buffer holds.
            pause: milliseconds, at most, between two calls of `poll`.
            patience: milliseconds until a request is given up.
            nonce: something that differs from start to start; left out: the clock.
            clock: milliseconds, for tests.
        """
        self.digest = bytes(8)
        """of the server's first model, its first 8 bytes"""
        self.message = b""
        """the reply or the event, after REPLY or EVENT"""
        self._port = port
        self._byte_ms = 10000 / baud
        self._frame, self._largest, self._window = largest_frame, largest_message, min(window, largest_message)
        self._pause, self._patience = pause, patience
        self._clock = clock or getattr(time, "ticks_ms", None) or (lambda: int(time.monotonic() * 1000))
        self._nonce = (self._clock() if nonce is None else nonce) & 0xFFFFFFFF
        self._receiver = Receiver(largest_frame)
        self.counters = self._receiver.counters
        for name in ("header", "echo", "epoch", "message", "repeat", "timeout", "retry", "sessions"):
            self.counters[name] = 0
        self._found: list[bytes | None] = []
        self._out = b""
        self._fragment_out = False
        self._session = 0
        self._up = self._waiting = self._once = self._acked = self._failed = self._gap_told = False
        self._body = b""
        self._request = b""
        self._crc = 0
        self._number = self._event = self._in_number = 0
        self._in_flags = DONE
        self._have = b""
        self._state: tuple[int, int, int] | None = None
        self._base = self._next = self._limit = self._next_credit = 0
        self._peer_frame, self._peer_pause, self._size = MAX_FRAME, 20, MAX_FRAME
        self._flight, self._streak, self._timeouts, self._unanswered = FIRST_FLIGHT, 0, 0, 0
        self._hello_wait = 0
        self._begun_at = self._sent_at = self._heard_at = 0

    # --- asking

    def understand(self, text: str, operation: str = "understand", **options: Any) -> dict[str, Any]:
        """Intent (or None) and slots of a text. Options: `model`, `deadline_ms`.

        Returns:
            {"intent", "score", "slots": [{"type", "text", "start", "end", "score"}]}

        Raises:
            EdgeError: the server cannot answer, or nobody does.
        """
        named = self._operate(operation, text, options)
        labels = [entry for entry in named if "start" not in entry]
        return {
            "intent": labels[0]["name"],
            "score": labels[0]["score"],
            "slots": [_entity(entry, text) for entry in named if "start" in entry],
        }

    def classify(self, text: str, **options: Any) -> list[dict[str, Any]]:
        """Labels of a text, likeliest first: [{"label", "score"}]. Options: `pair`, `top_k`, `model`, `deadline_ms`."""
        return [{"label": entry["name"], "score": entry["score"]} for entry in self._operate("classify", text, options)]

    def tag(self, text: str, **options: Any) -> list[dict[str, Any]]:
        """Entities of a text: [{"type", "text", "start", "end", "score"}]. Options: `model`, `deadline_ms`."""
        return [_entity(entry, text) for entry in self._operate("tag", text, options)]

    def _operate(self, operation: str, text: str, options: dict[str, Any]) -> list[dict[str, Any]]:
        body = bytes((OPERATIONS[operation],)) + field(0x01, text.encode()) + field(0x0E, b"\x01")
        for name, value in options.items():
            if name == "top_k":
                body += field(0x04, bytes((value,)))
            elif name == "deadline_ms":
                body += field(0x06, struct.pack("<I", value))
            else:
                body += field({"pair": 0x02, "model": 0x05}[name], value.encode())
        return entries(self.ask(body))

    def read(
        self, task: str, pieces: Any, on_event: Any = None, window: int = 0, overlap: int = 0
    ) -> list[dict[str, Any]]:
        """Read a text of any length, in pieces of bytes cut anywhere, as a stream: what `task` finds in all of it.

        `on_event` is called with the entries that each window gave.
        """
        opening = b"\x10" + field(0x08, b"\x01") + field(0x0C, bytes((OPERATIONS[task],)))
        if window:
            opening += field(0x09, struct.pack("<H", window)) + field(0x0A, struct.pack("<H", overlap))
        self.ask(opening + field(0x0E, b"\x01"), True)
        for piece in pieces:
            self.ask(b"\x11" + field(0x08, b"\x01") + field(0x07, piece), True, on_event)
        return entries(self.ask(b"\x12" + field(0x08, b"\x01"), True, on_event))

    def ask(self, body: bytes, once: bool = False, on_event: Any = None) -> bytes:
        """Send a request, compact or JSON, and wait for its reply.

        Raises:
            EdgeError: it is an error, or there is none.
        """
        self.begin(body, once)
        while True:
            status = self.poll()
            if status == EVENT:
                if on_event:
                    on_event(entries(self.message))
            elif status == REPLY:
                break
            elif status != BUSY:
                code = "timeout" if status == TIMEOUT else "lost"
                raise EdgeError(code, "nobody answers" if status == TIMEOUT else "the session ended, and its streams")
            else:
                time.sleep(0.001)
        if self.message[:1] == b"\xff":
            told = dict(fields(self.message))
            number = told.get(0x56, b"\xff")[0]
            names = CODES.split()
            raise EdgeError(names[number - 1] if 1 <= number <= len(names) else "other", told.get(0x57, b"").decode())
        return self.message

    # --- the link

    def begin(self, body: bytes, once: bool = False) -> None:
        """Begin a request. `once`: it belongs to a stream, and is not repeated in another session."""
        if self._fragment_out and self._out:
            self._out = b"\x00"
        self._fragment_out = False
        self._body, self._once, self._waiting, self._failed = body, once, True, False
        self._begun_at = self._clock()
        if self._up:
            self._begin_request()

    def poll(self) -> int:
        """Work off what has come and send what is due, without waiting; one of IDLE … LOST."""
        data = self._port.read(256)
        if data:
            self._found += self._receiver.feed(data)
        status = BUSY
        while self._found and status == BUSY:
            content = self._found.pop(0)
            if content is None:
                self._on_damage()
            else:
                status = self._on_frame(content)
        self._transmit()
        if status != BUSY:
            return status
        if self._failed:
            self._failed = False
            return LOST
        if not self._waiting:
            return BUSY if self._out else IDLE
        if self._since(self._begun_at) >= self._patience:
            self._waiting = False
            return TIMEOUT
        return BUSY

    def _since(self, then: int) -> int:
        return (self._clock() - then) & CLOCK_MASK

    def _message_crc(self, kind: int, number: int, bound: int, body: bytes) -> int:
        return crc32(struct.pack("<IBBI", self._session, kind, number, bound) + body)

    def _tell_present(self, kind: int) -> None:
        if self._in_flags & DONE and self._waiting:
            self._state = kind, self._number, 0
        else:
            self._state = kind | self._in_flags, self._in_number, len(self._have)

    def _begin_hello(self, wait: int) -> None:
        self._up, self._state = False, None
        self._nonce = (self._nonce + 1) & 0xFFFFFFFF
        self._hello_wait, self._sent_at = wait, self._clock()
        if self._waiting and self._once:
            self._waiting, self._failed = False, True

    def _begin_request(self) -> None:
        self._number = (self._number + 1) & 0xFF
        self._crc = self._message_crc(0, self._number, 0, self._body)
        self._request = self._body + struct.pack("<I", self._crc)
        self._base = self._next = self._timeouts = self._unanswered = 0
        self._limit, self._flight, self._acked = self._next_credit, FIRST_FLIGHT, False
        self._sent_at = self._heard_at = self._clock()

    def _smaller(self) -> None:
        self.counters["retry"] += 1
        self._streak, self._flight = 0, 1
        self._size = max(MIN_FRAME, self._size // 2)

    def _on_damage(self) -> None:
        if self._up:
            self._gap_told = True
            self._tell_present(GAP | ASK if self._waiting else GAP)

    def _on_frame(self, content: bytes) -> int:
        kind = content[0] if content else 0
        sort = kind & 7
        length = len(content)
        if content and not kind & SERVER:
            self.counters["echo"] += 1
            return BUSY
        if (
            sort not in LENGTHS
            or length < LENGTHS[sort]
            or (sort != DATA and length != LENGTHS[sort])
            or kind & ~(ALLOWED[sort] | 7 | SERVER)
        ):
            self.counters["header"] += 1
            return BUSY
        if sort == WELCOME:
            self._on_welcome(content)
            return BUSY
        if sort == RESET and content[1] == 0 and not self._up:
            self._hello_wait = HELLO_LATER
            return BUSY
        if not self._up or content[1] != self._session & 0xFF:
            self.counters["epoch"] += 1
            return BUSY
        self._heard_at, self._unanswered = self._clock(), 0
        if sort == RESET:
            self._begin_hello(HELLO_LATER if content[2] in (2, 4) else 0)
        elif sort == DATA:
            return self._on_data(kind, content[2], int.from_bytes(content[3:6], "little"), content[6:])
        else:
            have, credit = int.from_bytes(content[3:6], "little"), int.from_bytes(content[6:8], "little")
            self._on_state(kind, content[2], have, credit)
        return BUSY

    def _on_welcome(self, content: bytes) -> None:
        if crc32(content[:29]) != struct.unpack("<I", content[29:])[0]:
            self.counters["message"] += 1
            return
        version, nonce = struct.unpack("<BI", content[2:7])
        if self._up or nonce != self._nonce or version != VERSION:
            return
        self._peer_frame = min(struct.unpack("<H", content[7:9])[0], MAX_FRAME)
        self._next_credit, self._peer_pause = struct.unpack("<HH", content[12:16])
        self.digest = content[17:25]
        self._session = struct.unpack("<I", content[25:29])[0]
        self._number = self._event = self._in_number = self._streak = 0
        self._in_flags, self._have, self._size, self._up = DONE, b"", self._peer_frame, True
        self.counters["sessions"] += 1
        if self._waiting:
            self._begin_request()

    def _on_state(self, kind: int, number: int, have: int, credit: int) -> None:
        if kind & ASK:
            self._tell_present(0)
        if kind & DONE:
            self._next_credit = credit
        if not self._waiting:
            return
        if number != self._number:
            if not self._acked:
                if kind & DONE and self._base == 0:
                    self._limit = credit
                if kind & GAP and self._next:
                    self._base = self._next = 0
                    self._smaller()
        elif kind & DONE:
            self._base = self._next = len(self._request)
            self._acked = True
        elif have <= len(self._request):
            self._limit = have + credit
            if kind & GAP or self._acked:
                if self._next > have:
                    self._smaller()
                self._base = self._next = have
                self._timeouts, self._acked = 0, False
            elif have > self._base:
                self._progress(have)

    def _progress(self, have: int) -> None:
        self._base, self._next, self._timeouts = have, max(self._next, have), 0
        self._sent_at = self._clock()
        self._flight = min(self._flight + 1, MAX_FLIGHT)
        self._streak += 1
        if self._streak >= STEADY:
            self._streak = 0
            self._size = min(self._size * 2, self._peer_frame)

    def _on_data(self, kind: int, number: int, offset: int, piece: bytes) -> int:
        event = kind & WINDOW_EVENT
        wanted = 1 <= (number - self._event) & 0xFF <= 127 if event else self._waiting and number == self._number
        if not wanted:
            self.counters["repeat"] += 1
            self._state = event | DONE, number, offset + len(piece)
            return BUSY
        if not event:
            self._acked = True
        if (self._in_flags, self._in_number) != (event, number):
            self._in_flags, self._in_number, self._have = event, number, b""
        have = len(self._have)
        if offset > have:
            if not self._gap_told:
                self._gap_told = True
                self._state = event | GAP, number, have
            return BUSY
        if offset < have:
            self.counters["repeat"] += 1
            self._state = event, number, have
            return BUSY
        if have + len(piece) > self._largest:
            return BUSY
        self._have += piece
        self._gap_told = False
        if kind & LAST:
            return self._complete(event, number)
        if kind & ASK:
            self._state = event, number, len(self._have)
        return BUSY

    def _complete(self, event: int, number: int) -> int:
        body, crc = self._have[:-4], int.from_bytes(self._have[-4:], "little")
        if crc != self._message_crc(2 if event else 1, number, 0 if event else self._crc, body) or not body:
            self.counters["message"] += 1
            self._have = b""
            self._state = event | GAP, number, 0
            return BUSY
        self._in_flags = event | DONE
        self._state = self._in_flags, number, len(self._have)
        self.message = body
        if event:
            self._event = number
            return EVENT
        self._waiting = False
        return REPLY

    def _transmit(self) -> None:
        while True:
            if not self._out:
                self._choose()
                if not self._out:
                    return
            self._out = self._out[self._port.write(self._out) or 0 :]
            if self._out:
                return
            if self._fragment_out or not self._up:
                self._sent_at = self._clock()
            self._fragment_out = False

    def _send(self, content: bytes) -> None:
        self._out = frame(content)

    def _choose(self) -> None:
        """Begin the frame that is due, if one is."""
        if not self._up:
            if self._waiting and self._since(self._sent_at) >= self._hello_wait:
                self._hello()
            return
        if self._waiting:
            if self._acked or self._next >= self._limit:
                self._check_alive()
            if not self._acked and self._next > self._base:
                self._check_timeout()
        self._choose_in_session()

    def _choose_in_session(self) -> None:
        if not self._up:
            return
        epoch = self._session & 0xFF
        if self._state:
            kind, number, have = self._state
            credit = self._window if kind & DONE else min(self._window, self._largest - have)
            self._send(bytes((STATE | kind, epoch, number)) + have.to_bytes(3, "little") + credit.to_bytes(2, "little"))
            self._state = None
        elif self._waiting and not self._acked:
            end = min(self._base + self._flight * (self._size - AROUND), self._limit, len(self._request))
            piece = self._request[self._next : min(end, self._next + self._size - AROUND)]
            if piece:
                kind = DATA | ASK | (LAST if self._next + len(piece) == len(self._request) else 0)
                self._send(bytes((kind, epoch, self._number)) + self._next.to_bytes(3, "little") + piece)
                self._next += len(piece)
                self._fragment_out = True

    def _hello(self) -> None:
        content = struct.pack("<BBBIH", HELLO, 0, VERSION, self._nonce, self._frame)
        content += self._largest.to_bytes(3, "little") + struct.pack("<HHB", self._window, self._pause, 1) + bytes(8)
        self._hello_wait = max(HELLO_EVERY, int(4 * 34 * self._byte_ms))
        self._send(content + struct.pack("<I", crc32(content)))

    def _check_timeout(self) -> None:
        flight = self._next - self._base
        wait = self._byte_ms * (flight * 1.5 + self._frame + 2 * STATE_SIZE) + self._pause + self._peer_pause
        for _ in range(self._timeouts):
            wait = wait if wait >= MAX_WAIT else 2 * wait
        if self._since(self._sent_at) < wait:
            return
        self.counters["timeout"] += 1
        self._sent_at = self._clock()
        self._timeouts += 1
        if self._timeouts > MAX_TIMEOUTS:
            self._begin_hello(0)
        else:
            self._next = self._base
            self._smaller()

    def _check_alive(self) -> None:
        if self._since(self._heard_at) < ALIVE_EVERY:
            return
        self._heard_at = self._clock()
        self._unanswered += 1
        if self._unanswered > MAX_UNANSWERED:
            self._begin_hello(0)
        else:
            self._tell_present(ASK)


def entries(body: bytes) -> list[dict[str, Any]]:
    """Labels and entities of a reply or an event: {"name", "score"}, an entity also {"start", "end"}, in characters.

    `name` is None where a text is not recognised.
    """
    found: list[dict[str, Any]] = []
    for tag, value in fields(body):
        if tag == 0x41:
            found.append({"name": None, "score": int.from_bytes(value[2:4], "little") / 10000})
        elif tag == 0x42:
            score, start, end = struct.unpack("<HII", value[2:12])
            found.append({"name": None, "score": score / 10000, "start": start, "end": end})
        elif tag == 0x43 and found:
            found[-1]["name"] = value.decode()
    return found


def _entity(entry: dict[str, Any], text: str) -> dict[str, Any]:
    start, end = entry["start"], entry["end"]
    return {"type": entry["name"], "text": text[start:end], "start": start, "end": end, "score": entry["score"]}
