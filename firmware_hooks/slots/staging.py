"""Where a model lies while it arrives: beside the slots, on the same file system, touching neither.

What a broken connection left is continued, if the same statement comes again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from firmware_hooks.errors import Refused
from firmware_hooks.slots import storage

RESERVE = 1 << 20
"""bytes that must stay free beside the model, for records and for everybody else on the file system"""


class Staging:
    """The folder `incoming`, held by one process at a time (`with`)."""

    def __init__(self, folder: Path) -> None:
        """`folder`: of the model's slots."""
        self._folder = folder / "incoming"
        self.model = self._folder / "model.tflite"
        self.statement = self._folder / "model.sig"
        self._lock = -1

    def __enter__(self) -> Self:
        """Raises Refused where another process is sending a model."""
        storage.make_folder(self._folder)
        self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise Refused("another model is being sent to this slot just now; try again when that is done") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def begin(self, statement: bytes, size: int) -> int:
        """Make ready for a model of `size` bytes → how many of them are here already.

        Raises:
            Refused: there is not room enough; nothing was written or removed.
        """
        here = self._here(statement)
        free = storage.free(self._folder)
        # what lies here for another model makes room when it goes
        reclaimed = 0 if here is not None else _size(self.model)
        needed = size - (here or 0) + RESERVE
        if free + reclaimed < needed:
            raise Refused(
                f"{self._folder} has {free + reclaimed} bytes free and {needed} are needed; make room and push again"
            )
        if here is None or here > size:
            self.discard()
            storage.write(self.statement, statement)
            return 0
        return here

    def append(self, pieces: Iterable[bytes], most: int) -> int:
        """Write what follows, `most` bytes of it → how many there were.

        What was written before an error stays, to be continued. Nothing is asked of `pieces` once all is here: whoever
        sends them may have nothing more to say, and waits for an answer.
        """
        written = 0

        def bounded() -> Iterator[bytes]:
            nonlocal written
            coming = iter(pieces)
            while written < most and (piece := next(coming, None)) is not None:
                part = piece[: most - written]
                written += len(part)
                yield part

        storage.append(self.model, bounded())
        return written

    def discard(self) -> None:
        """Throw away what is here."""
        storage.remove(self.statement)
        storage.remove(self.model)

    def _here(self, statement: bytes) -> int | None:
        """Bytes of the model that this statement is about; None if what is here belongs to another."""
        try:
            same = self.statement.read_bytes() == statement
        except OSError:
            return None
        return _size(self.model) if same else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
