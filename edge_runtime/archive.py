"""The zip archive that follows the flatbuffer in a model file.

It is read by hand and strictly rather than with `zipfile`: the archive must reach from the flatbuffer's last byte to
the file's last byte without a gap, entries must be stored, and each local header must repeat what the directory says.
A byte flipped anywhere in it is then either noticed or without meaning (a date, for instance).

Layout: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (directory) and 4.3.16 (its end).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

from edge_runtime.errors import ModelError

_END = struct.Struct("<4s4H2LH")
_DIRECTORY_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")

MAX_ENTRIES = 16
"""We write three or four; a directory of thousands would only cost time."""

_STORED = 0
_UTF8_NAME = 0x800
"""the only general-purpose flag that may be set: no encryption, no sizes after the data"""


class ArchiveError(ModelError):
    """The part of a model file after its flatbuffer is damaged or missing."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Entries of one archive inside `data`, found but not yet read."""

    data: memoryview
    start: int
    """offset of the first entry, which is where the flatbuffer ends"""
    entries: Mapping[str, tuple[int, int, int]]
    """name → (offset, size, CRC-32)"""

    def read(self, name: str, max_size: int) -> bytes:
        """One entry's bytes.

        Raises:
            ArchiveError: there is no such entry, it is larger than `max_size`, or its checksum does not fit.
        """
        if name not in self.entries:
            raise ArchiveError(f"the model file holds no {name}; it was not made by edge-converter or is damaged")
        offset, size, checksum = self.entries[name]
        if size > max_size:
            raise ArchiveError(f"{name} in the model file has {size} bytes; at most {max_size} are accepted")
        content = bytes(self.data[offset : offset + size])
        if crc32(content) != checksum:
            raise ArchiveError(f"{name} in the model file is damaged (its checksum differs); copy the file again")
        return content


def open_archive(data: memoryview) -> Archive:
    """Find the archive at the end of a whole model file.

    Raises:
        ArchiveError: no archive, or one that is not laid out as we write it.
    """
    end = len(data) - _END.size
    if end < 0 or bytes(data[end : end + 4]) != b"PK\5\6":
        raise ArchiveError(
            "no archive follows the flatbuffer: the file is cut short or is a .tflite that edge-converter did not make"
        )
    _, disk, first_disk, here, count, size, start, comment = _END.unpack(data[end:])
    if disk or first_disk or comment or here != count or count > MAX_ENTRIES or start + size != end:
        raise ArchiveError("the end of the model file's archive is damaged; copy the file again")
    entries: dict[str, tuple[int, int, int]] = {}
    spans: list[tuple[int, int]] = []
    position = start
    for _ in range(count):
        name, span, place, position = _entry(data, position, end)
        if name in entries:
            raise ArchiveError(f"the model file's archive names {name} twice")
        entries[name] = place
        spans.append(span)
    if position != end or not spans:
        raise ArchiveError("the directory of the model file's archive is damaged; copy the file again")
    spans.sort()
    reaches = [begin for begin, _ in spans[1:]] + [start]
    if any(stop != following for (_, stop), following in zip(spans, reaches, strict=True)):
        raise ArchiveError("the entries of the model file's archive leave gaps or overlap; copy the file again")
    return Archive(data, spans[0][0], entries)


def _entry(data: memoryview, position: int, end: int) -> tuple[str, tuple[int, int], tuple[int, int, int], int]:
    """Read the directory's entry at `position`: name, span of header and data, (offset, size, CRC), next position."""
    damaged = ArchiveError("the directory of the model file's archive is damaged; copy the file again")
    if position + _DIRECTORY_ENTRY.size > end:
        raise damaged
    fields = _DIRECTORY_ENTRY.unpack_from(data, position)
    signature, _, _, flags, method, _, _, checksum, packed, size, name_size, extra, comment = fields[:13]
    disk, _, _, header = fields[13:]
    following = position + _DIRECTORY_ENTRY.size + name_size + extra + comment
    if (
        signature != b"PK\1\2"
        or flags & ~_UTF8_NAME
        or method != _STORED
        or packed != size
        or disk
        or following > end
        or header + _LOCAL_HEADER.size > position
    ):
        raise damaged
    raw_name = bytes(data[position + _DIRECTORY_ENTRY.size :][:name_size])
    local = _LOCAL_HEADER.unpack_from(data, header)
    first = header + _LOCAL_HEADER.size
    content = first + local[9] + local[10]
    if (
        local[0] != b"PK\3\4"
        or local[2:4] != (flags, method)
        or local[6:10] != (checksum, packed, size, name_size)
        or bytes(data[first : first + name_size]) != raw_name
        or content + size > position
    ):
        raise damaged
    try:
        name = raw_name.decode("utf-8")
    except UnicodeDecodeError:
        raise damaged from None
    return name, (header, content + size), (content, size, checksum), following
