"""Shared libraries without what only debuggers read: section headers, and the symbol tables behind the last segment.

A loader reads program headers alone (System V ABI, chapter 5); section headers and `.symtab` are for linkers and
debuggers. Tools that strip need a toolchain for the machine; cutting a file's end does not.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_MAGIC = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the fields of a class of files lie (System V ABI, chapter 4)."""

    program_headers: tuple[str, int]
    """e_phoff"""
    section_headers: tuple[str, int]
    """e_shoff"""
    program_entry: int
    """e_phentsize and e_phnum"""
    section_count: int
    """e_shnum and e_shstrndx"""
    offset: tuple[str, int]
    """p_offset"""
    file_size: tuple[str, int]
    """p_filesz"""


_LAYOUTS = {
    1: _Layout(("<I", 28), ("<I", 32), 42, 48, ("<I", 4), ("<I", 16)),
    2: _Layout(("<Q", 32), ("<Q", 40), 54, 60, ("<Q", 8), ("<Q", 32)),
}
"""by EI_CLASS: 32 and 64 bits"""
_LITTLE = 1


def trimmed(content: bytes) -> bytes:
    """A file cut after its last segment; anything but a little-endian ELF file with segments as it is."""
    layout = _LAYOUTS.get(content[4]) if content[:4] == _MAGIC and len(content) >= 64 else None
    if layout is None or content[5] != _LITTLE:
        return content
    start = struct.unpack_from(layout.program_headers[0], content, layout.program_headers[1])[0]
    size, count = struct.unpack_from("<HH", content, layout.program_entry)
    end = start + size * count
    for number in range(count):
        entry = start + number * size
        if entry + size > len(content):
            return content
        offset, length = (
            struct.unpack_from(kind, content, entry + place)[0] for kind, place in (layout.offset, layout.file_size)
        )
        end = max(end, offset + length)
    if count == 0 or end >= len(content):
        return content
    cut = bytearray(content[:end])
    struct.pack_into(layout.section_headers[0], cut, layout.section_headers[1], 0)
    struct.pack_into("<HH", cut, layout.section_count, 0, 0)
    return bytes(cut)
