"""A card that loses what was not synced: a disk for QEMU, served over NBD, with a write cache that a power cut takes.

What the board wrote and did not flush is in memory here. A flush, or a write with "force unit access", puts it on the
card. When the power goes, of each sector that is still in the cache any of the versions that were written since the
last flush may be there, or none: chosen at random, for each sector anew, so that writes are torn and overtake each
other. That is more than a real card with a cache does that keeps its promises.

https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md: the fixed newstyle handshake, the simple replies
"""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

SECTOR = 512
"""bytes that a disk writes all of or nothing"""

NBD_MAGIC, OPTION_MAGIC = 0x4E42444D41474943, 0x49484156454F5054
OPTION_REPLY_MAGIC = 0x3E889045565A9
REQUEST_MAGIC, REPLY_MAGIC = 0x25609513, 0x67446698
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
EXPORT_NAME, ABORT, INFO, GO = 1, 2, 6, 7
ACKNOWLEDGED, INFORMATION, UNSUPPORTED = 1, 3, (1 << 31) + 1
INFO_EXPORT = 0
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 1 << 2, 1 << 3
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
FUA = 1
"""flag of a write that is on the card when it is answered"""
EIO, EINVAL = 5, 22


@dataclass
class Cut:
    """What a power cut found in the cache."""

    pending: int
    """sectors that were not flushed"""
    lost: int
    """of those, left as they were before"""


@dataclass
class Cache:
    """The card, and what is not on it yet."""

    file: Path
    sectors: dict[int, list[bytes]] = field(default_factory=dict)
    """sector → its versions since the last flush, oldest first"""
    writes: int = 0
    """requests to write that came so far"""
    lock: threading.Lock = field(default_factory=threading.Lock)
    _alarm: tuple[int, Callable[[], None]] | None = None

    def __post_init__(self) -> None:
        """Open the card."""
        self._card = self.file.open("r+b", buffering=0)
        self.size = self.file.stat().st_size

    def read(self, offset: int, length: int) -> bytes:
        """What the board sees: the newest version of everything."""
        first, last = offset // SECTOR, -(-(offset + length) // SECTOR)
        with self.lock:
            self._card.seek(first * SECTOR)
            found = bytearray(self._card.read((last - first) * SECTOR))
            for sector in range(first, last):
                if versions := self.sectors.get(sector):
                    start = (sector - first) * SECTOR
                    found[start : start + SECTOR] = versions[-1]
        skip = offset - first * SECTOR
        return bytes(found[skip : skip + length])

    def write(self, offset: int, data: bytes) -> None:
        """Take whole sectors into the cache."""
        with self.lock:
            self.writes += 1
            if self._alarm is not None and self.writes >= self._alarm[0]:
                self._alarm[1]()
                self._alarm = None
            for start in range(0, len(data), SECTOR):
                self.sectors.setdefault((offset + start) // SECTOR, []).append(data[start : start + SECTOR])

    def at(self, writes: int, act: Callable[[], None]) -> None:
        """Do something when so many writes have come, before that one is answered."""
        with self.lock:
            self._alarm = writes, act

    def flush(self, offset: int = 0, length: int | None = None) -> None:
        """Put everything, or what lies in a range, onto the card."""
        with self.lock:
            end = self.size if length is None else offset + length
            chosen = [sector for sector in self.sectors if offset <= sector * SECTOR < end]
            for sector in chosen:
                self._put(sector, self.sectors.pop(sector)[-1])

    def cut(self, chance: random.Random) -> Cut:
        """Let the power go."""
        with self.lock:
            self._alarm = None
            # most cuts keep about half; some nearly all or nearly nothing, as caches do that are quick or slow
            share = chance.choice([0.0, 0.1, 0.5, 0.5, 0.5, 0.9, 1.0])
            pending = len(self.sectors)
            kept = 0
            for sector, versions in self.sectors.items():
                if chance.random() < share:
                    self._put(sector, chance.choice(versions))
                    kept += 1
            self.sectors.clear()
            return Cut(pending, pending - kept)

    def close(self) -> None:
        """Close the card."""
        self._card.close()

    def _put(self, sector: int, content: bytes) -> None:
        self._card.seek(sector * SECTOR)
        self._card.write(content)


class Server:
    """Serves a cache at a Unix socket, to one QEMU after another."""

    def __init__(self, cache: Cache, path: Path) -> None:
        """Listen."""
        self.cache, self.path = cache, path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._idle = threading.Condition()
        self._served = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_idle(self) -> None:
        """Wait until what a QEMU that is gone had sent before has been taken."""
        with self._idle:
            self._idle.wait_for(lambda: self._served == 0)

    def close(self) -> None:
        """End."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._idle:
                self._served += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as incoming:
                if _handshake(connection, incoming, self.cache.size):
                    while self._answer(connection, incoming):
                        pass
        except (OSError, EOFError):
            pass
        finally:
            with self._idle:
                self._served -= 1
                self._idle.notify_all()

    def _answer(self, connection: socket.socket, incoming: _Reader) -> bool:
        """Do one request; whether another may come."""
        magic, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", _exactly(incoming, 28))
        if magic != REQUEST_MAGIC or kind == DISCONNECT:
            return False
        data = _exactly(incoming, length) if kind == WRITE else b""
        error, answer = 0, b""
        aligned = offset % SECTOR == 0 and length % SECTOR == 0
        if kind == READ:
            answer = self.cache.read(offset, length)
        elif kind == WRITE and aligned:
            self.cache.write(offset, data)
            if flags & FUA:
                self.cache.flush(offset, length)
        elif kind == FLUSH:
            self.cache.flush()
        else:
            error = EINVAL
        connection.sendall(struct.pack(">IIQ", REPLY_MAGIC, error, handle) + answer)
        return True


class _Reader(Protocol):
    """A buffered stream of bytes."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        ...


def _exactly(incoming: _Reader, size: int) -> bytes:
    data = incoming.read(size)
    if len(data) != size:
        raise EOFError
    return data


def _handshake(connection: socket.socket, incoming: _Reader, size: int) -> bool:
    """Agree on the one export there is; whether requests follow."""
    connection.sendall(struct.pack(">QQH", NBD_MAGIC, OPTION_MAGIC, FIXED_NEWSTYLE | NO_ZEROES))
    (client,) = struct.unpack(">I", _exactly(incoming, 4))
    transmission = HAS_FLAGS | SEND_FLUSH | SEND_FUA
    while True:
        magic, option, length = struct.unpack(">QII", _exactly(incoming, 16))
        if magic != OPTION_MAGIC:
            return False
        _exactly(incoming, length)
        if option == EXPORT_NAME:
            padding = b"" if client & NO_ZEROES else bytes(124)
            connection.sendall(struct.pack(">QH", size, transmission) + padding)
            return True
        if option in (INFO, GO):
            export = struct.pack(">HQH", INFO_EXPORT, size, transmission)
            connection.sendall(_option_reply(option, INFORMATION, export) + _option_reply(option, ACKNOWLEDGED))
            if option == GO:
                return True
        else:
            connection.sendall(_option_reply(option, ACKNOWLEDGED if option == ABORT else UNSUPPORTED))
            if option == ABORT:
                return False


def _option_reply(option: int, kind: int, data: bytes = b"") -> bytes:
    return struct.pack(">QIII", OPTION_REPLY_MAGIC, option, kind, len(data)) + data
