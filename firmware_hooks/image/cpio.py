"""Archives that a kernel unpacks as its first file system: cpio's "newc" format.

https://www.kernel.org/doc/html/latest/driver-api/early-userspace/buffer-format.html
"""

from __future__ import annotations

import stat


class Archive:
    """Everything belongs to root and is from 1970, so that equal contents make equal archives."""

    def __init__(self) -> None:
        """Begin with nothing in it."""
        self._data = bytearray()
        self._count = 0

    def folder(self, name: str) -> None:
        """Add a folder; those above it must be there already."""
        self._add(name, stat.S_IFDIR | 0o755)

    def file(self, name: str, content: bytes, mode: int) -> None:
        """Add a file."""
        self._add(name, stat.S_IFREG | mode, content)

    def device(self, name: str, major: int, minor: int) -> None:
        """Add a character device."""
        self._add(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def encoded(self) -> bytes:
        """The archive."""
        end = Archive()
        end._data, end._count = bytearray(self._data), self._count
        end._add("TRAILER!!!", 0)
        return bytes(end._data)

    def _add(self, name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._count += 1
        encoded = name.encode() + b"\0"
        # ino, mode, uid, gid, nlink, mtime, size, device of the file system, device, size of the name, check
        fields = (self._count, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0)
        self._padded(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
        self._padded(content)

    def _padded(self, block: bytes) -> None:
        self._data += block + bytes(-len(block) % 4)
