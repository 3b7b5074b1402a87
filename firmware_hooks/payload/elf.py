"""Shared libraries without what only debuggers and linkers read: section headers, symbol tables, holes.

A loader reads program headers alone (System V ABI, chapter 5), and addresses in memory do not depend on where in the
file a segment lies as long as it stays aligned. Tools that strip need a toolchain for the machine, and cannot strip
libraries whose tables `patchelf` moved; leaving out all that no segment covers needs neither.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

_MAGIC = b"\x7fELF"
_LITTLE = 1
"""EI_DATA"""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the fields of a class of files lie (System V ABI, chapters 4 and 5)."""

    word: str
    """of offsets and sizes"""
    header: int
    """size of the file's"""
    program_headers: int
    """e_phoff"""
    section_headers: int
    """e_shoff"""
    program_entry: int
    """e_phentsize, and e_phnum after it"""
    section_count: int
    """e_shnum, and e_shstrndx after it"""
    offset: int
    """p_offset, within a program header"""
    file_size: int
    """p_filesz"""
    alignment: int
    """p_align"""


_LAYOUTS = {
    1: _Layout("<I", 52, 28, 32, 42, 48, 4, 16, 28),
    2: _Layout("<Q", 64, 32, 40, 54, 60, 8, 32, 48),
}
"""by EI_CLASS: 32 and 64 bits"""


def trimmed(content: bytes) -> bytes:
    """A library with nothing but its headers and segments; anything else than little-endian ELF as it is."""
    layout = _LAYOUTS.get(content[4]) if content[:4] == _MAGIC and len(content) > 64 else None
    if layout is None or content[5] != _LITTLE:
        return content
    try:
        return _compact(content, layout)
    except struct.error:
        # a program header that leads out of the file: none of our business
        return content


def _compact(content: bytes, layout: _Layout) -> bytes:
    def word(place: int) -> int:
        return int(struct.unpack_from(layout.word, content, place)[0])

    table = word(layout.program_headers)
    size, count = struct.unpack_from("<HH", content, layout.program_entry)
    entries = range(table, table + size * count, size)
    if not entries:
        return content
    used = [(0, layout.header), (table, table + size * count)]
    used += [
        (word(entry + layout.offset), word(entry + layout.offset) + word(entry + layout.file_size)) for entry in entries
    ]
    unit = max(word(entry + layout.alignment) for entry in entries) or 1
    pieces, moved = _pieces(used, unit)
    cut = bytearray().join(content[start:end] for start, end in pieces)
    for entry in entries:
        struct.pack_into(layout.word, cut, moved(entry) + layout.offset, moved(word(entry + layout.offset)))
    struct.pack_into(layout.word, cut, layout.program_headers, moved(table))
    struct.pack_into(layout.word, cut, layout.section_headers, 0)
    struct.pack_into("<HH", cut, layout.section_count, 0, 0)
    return bytes(cut)


def _pieces(used: list[tuple[int, int]], unit: int) -> tuple[list[tuple[int, int]], Callable[[int], int]]:
    """What of a file is kept, when holes between what is used shrink by whole units, and where its bytes go."""
    pieces: list[tuple[int, int]] = []
    start = end = 0
    for first, last in sorted(used):
        hole = (first - end) // unit * unit
        if hole > 0:
            # what is left of a hole stays before what follows it, which so keeps its alignment
            pieces.append((start, end))
            start = end + hole
        end = max(end, last)
    pieces.append((start, end))

    def moved(offset: int) -> int:
        before = 0
        for first, last in pieces:
            if offset <= last:
                return before + max(0, offset - first)
            before += last - first
        return before

    return pieces, moved
