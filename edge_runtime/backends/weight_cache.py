"""XNNPACK's packed weights in a file, which LiteRT maps instead of packing them at every load.

LiteRT does not check that such a file belongs to the model or is intact: one of another model gives wrong answers
without a word. So a file is used only if its name holds the digest of its content *and* of everything it depends on,
and LiteRT only ever sees the very file that was verified:

- packed into memory by an interpreter that is released before the result is hashed (it keeps its file open for
  writing), then copied to a file of ours, which is renamed;
- opened and verified, then handed over as that open descriptor;
- checked for being unchanged after LiteRT has mapped it (LiteRT opens a sound file for reading only, but would
  rewrite one that it took for unsound).

A new file is also tried before it is kept, for XNNPACK finds packed weights by the buffers of weights and bias alone:
where a network shares those between operators of different scales, its own cache makes it wrong.

Whatever goes wrong costs time and memory, never an answer: the caller goes on without the cache.
"""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.model_file import descriptor_path
from edge_runtime.verified import let_settle, verify

MAX_FILES = 8
"""caches kept; each is about as large as the model's matrices"""
UNFIT = ".unfit"
"""suffix of an empty file that stands for a model whose weights XNNPACK confuses when it caches them"""
_ABANDONED = 3600.0
"""seconds after which an unfinished file belongs to a process that died"""
_CHUNK = 1 << 20
_MARGIN = 4
"""packed weights take less than so many times the network's own size"""


@dataclass(slots=True)
class MappedCache:
    """A verified file, open as long as the interpreter that maps it lives."""

    file: Path
    descriptor: int
    _state: tuple[int, ...]

    @property
    def path(self) -> str:
        """What to give to the interpreter."""
        return descriptor_path(self.descriptor, self.file)

    def is_unchanged(self) -> bool:
        """Whether nobody has written to the file since it was verified."""
        return _state(self.descriptor) == self._state

    def close(self) -> None:
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class WeightCache:
    """The place of one model's packed weights for one version of LiteRT, kind of CPU and number of threads."""

    folder: Path
    """private (`verified.private_folder`)"""
    key: str

    @classmethod
    def of(cls, folder: Path, flatbuffer_sha256: str, version: str, cpu: str, threads: int) -> WeightCache:
        """The cache for these circumstances, each of which changes how weights are packed or which they are."""
        told = repr((flatbuffer_sha256, version, cpu, threads))
        return cls(folder, hashlib.sha256(told.encode()).hexdigest()[:32])

    def open(self) -> MappedCache | None:
        """A verified file, or None; damaged ones are removed."""
        with suppress(OSError):
            for file in sorted(self.folder.glob(f"weights-{self.key}-*.xnnpack")):
                found = self._open(file)
                if found is not None:
                    return found
                file.unlink(missing_ok=True)
        return None

    def build(self, pack: Callable[[str], bool], expected: int) -> None:
        """Let `pack` write a new file and keep it.

        It writes into memory first: LiteRT aborts the process where a disk is full.

        Args:
            pack: writes the cache with an interpreter that it releases again, tries it, and says whether it gave right
                answers; if not, the model is remembered as one that takes no cache.
            expected: about how many bytes it will write.
        """
        unfit = self.folder / f"weights-{self.key}{UNFIT}"
        if unfit.exists():
            return
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        if limit != resource.RLIM_INFINITY and limit < _MARGIN * expected:
            return
        with suppress(OSError):
            self._tidy()
            memory = os.memfd_create("weights", os.MFD_CLOEXEC)
            try:
                if not pack(f"/proc/self/fd/{memory}"):
                    unfit.touch(mode=0o600)
                elif os.fstat(memory).st_size > 0:
                    self._keep(memory)
            finally:
                os.close(memory)

    def _keep(self, memory: int) -> None:
        digest = _digest(self.key, memory)
        descriptor, name = tempfile.mkstemp(dir=self.folder, prefix="unfinished-")
        aside = Path(name)
        try:
            with open(descriptor, "wb") as file, open(memory, "rb", closefd=False) as packed:  # noqa: PTH123
                packed.seek(0)
                shutil.copyfileobj(packed, file, _CHUNK)
                file.flush()
                os.fsync(descriptor)
                os.fchmod(descriptor, 0o400)
            final = self.folder / f"weights-{self.key}-{digest}.xnnpack"
            aside.rename(final)
        finally:
            aside.unlink(missing_ok=True)
        let_settle(final)

    def _open(self, file: Path) -> MappedCache | None:
        claimed = file.stem.rpartition("-")[2]
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        state = os.fstat(descriptor)
        found = MappedCache(file, descriptor, _state(descriptor))
        ours = stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid() and state.st_size > 0
        if (
            ours
            and verify(descriptor, claimed, lambda: _digest(self.key, descriptor), self.folder)
            and found.is_unchanged()
        ):
            return found
        found.close()
        return None

    def _tidy(self) -> None:
        for file in self.folder.glob("unfinished-*"):
            if time.time() - file.stat().st_mtime > _ABANDONED:
                file.unlink(missing_ok=True)
        kept = sorted(self.folder.glob("weights-*.xnnpack"), key=lambda file: file.stat().st_mtime)
        for file in kept[: max(0, len(kept) - MAX_FILES + 1)]:
            file.unlink(missing_ok=True)


def names_and_digests(folder: Path) -> list[tuple[Path, str, str | None]]:
    """For each weight cache in a folder: the file, the digest that its name claims, its own (None: cannot be read)."""
    found: list[tuple[Path, str, str | None]] = []
    for file in sorted(folder.glob("weights-*.xnnpack")):
        key, _, claimed = file.stem.removeprefix("weights-").rpartition("-")
        digest = None
        with suppress(OSError):
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                digest = _digest(key, descriptor)
            finally:
                os.close(descriptor)
        found.append((file, claimed, digest))
    return found


def _digest(key: str, descriptor: int) -> str:
    """SHA-256 of the key and the content: another model's cache does not fit under this one's name."""
    digest = hashlib.sha256(key.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    while chunk := os.read(descriptor, _CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _state(descriptor: int) -> tuple[int, ...]:
    state = os.fstat(descriptor)
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
