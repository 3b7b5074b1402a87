"""Text files of data: UTF-8, and only a line feed ends a line."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from converter.errors import TrainingError

_DECOMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.decompress,
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
}


def read_content(path: Path) -> str:
    """A whole file, line ends as they stand, without a byte order mark; .xz, .gz and .bz2 are unpacked.

    Raises:
        TrainingError: the file is missing, damaged, empty or not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror}") from error
    try:
        content = _DECOMPRESS.get(path.suffix.lower(), bytes)(content)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise TrainingError(f"{path} cannot be unpacked: {error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TrainingError(f"{path}: line {line} is not UTF-8; convert the file to UTF-8") from error
    if not text.strip():
        raise TrainingError(f"{path} is empty")
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file without their ends.

    Only a line feed ends a line: texts from the wild hold U+0085 and U+2028, which `str.splitlines` takes for ends.

    Raises:
        TrainingError: the file is missing, empty or not UTF-8.
    """
    return [line.rstrip("\r") for line in read_content(path).removesuffix("\n").split("\n")]
