"""The C client as a shared library, its wire in memory and its clock in the test's hands."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[2] / "firmware_hooks" / "serial" / "src"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic", "-std=c99"]

IDLE, BUSY, REPLY, EVENT, TIMEOUT, LOST = range(6)
COUNTERS = ("crc", "cobs", "overflow", "header", "echo", "epoch", "message", "repeat", "timeout", "retry", "sessions")
LARGEST_WIRE = 65536


def build(folder: Path) -> ctypes.CDLL:
    """Compile and load the client with undefined behaviour trapped."""
    library = folder / "client.so"
    sources = [*sorted(SOURCES.glob("*.c")), Path(__file__).with_name("wire.c")]
    command = [
        "gcc",
        *WARNINGS,
        "-O2",
        "-g",
        "-fPIC",
        "-shared",
        "-fsanitize=undefined",
        "-fsanitize-undefined-trap-on-error",
    ]
    subprocess.run([*command, f"-I{SOURCES}", "-o", library, *sources], check=True)
    loaded = ctypes.CDLL(str(library))
    for name in ("wire_new", "wire_link", "wire_message", "receiver_new"):
        getattr(loaded, name).restype = ctypes.c_void_p
    return loaded


class Client:
    """One client and its wire."""

    def __init__(
        self,
        library: Any,
        *,
        frame: int = 256,
        message: int = 1024,
        window: int = 0,
        byte_us: int = 87,
        patience: int = 10_000,
        nonce: int = 1,
    ) -> None:
        self._library = library
        self._wire = ctypes.c_void_p(library.wire_new(frame, message, window, byte_us, patience, nonce))
        self.link = ctypes.c_void_p(library.wire_link(self._wire))
        self._out = ctypes.create_string_buffer(LARGEST_WIRE)
        self._kept: list[bytes] = []

    def close(self) -> None:
        self._library.wire_free(self._wire)

    def ask(self, text: bytes, operation: int = 2, options: int = 0) -> None:
        self._kept = [text]
        self._library.edge_ask(self.link, operation, text, len(text), options)

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of edge_ask.h or edge_link.h on the link."""
        self._kept = [argument for argument in arguments if isinstance(argument, bytes)]
        getattr(self._library, name)(self.link, *arguments)

    def poll(self, data: bytes, milliseconds: int) -> int:
        """What the link says after these bytes, or some of them, at that time."""
        self._library.wire_put(self._wire, data, len(data))
        status: int = self._library.wire_poll(self._wire, milliseconds & 0xFFFFFFFF)
        return status

    def room(self, bytes_: int) -> None:
        """How much the wire takes until it is emptied."""
        self._library.wire_room(self._wire, bytes_)

    def sent(self) -> bytes:
        """What it has sent since the last call."""
        length = self._library.wire_take(self._wire, self._out)
        return self._out.raw[:length]

    @property
    def message(self) -> bytes:
        length = self._library.wire_message_length(self._wire)
        return ctypes.string_at(self._library.wire_message(self._wire), length)

    @property
    def counters(self) -> dict[str, int]:
        values = (ctypes.c_uint32 * len(COUNTERS))()
        self._library.wire_counters(self._wire, values)
        return dict(zip(COUNTERS, values, strict=True))


def build_boards(folder: Path) -> None:
    """Build the bare-metal example for both boards."""
    script = SOURCES.parent / "examples" / "cortex_m" / "build.sh"
    subprocess.run(["sh", script, folder], check=True)
