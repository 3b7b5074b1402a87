"""A model file on disk: mapped, and verified before an interpreter sees it.

It is a `.tflite` flatbuffer with an archive after it (`archive`), which holds the manifest (`manifest`), the tokenizer
and a card.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edge_runtime import __version__
from edge_runtime.archive import Archive, open_archive
from edge_runtime.errors import ModelError, UnknownModel
from edge_runtime.manifest import Manifest, parse
from edge_runtime.verified import verify

BUNDLED = Path(__file__).parent / "models"
SUFFIX = ".tflite"

MAX_FILE_SIZE = (1 << 31) - 1
"""bytes; a flatbuffer's offsets reach no further"""
MAX_MANIFEST_SIZE = 8 << 20
"""bytes; a hundred thousand labels fit"""
MAX_TOKENIZER_SIZE = 64 << 20
"""bytes; that of a 250,000-token vocabulary has 17 MB"""
MAX_CARD_SIZE = 1 << 20
"""bytes"""

_IDENTIFIER = b"TFL3"
"""bytes 4 to 8 of a TFLite flatbuffer"""


def find(name_or_path: str | os.PathLike[str]) -> Path:
    """Where a bundled model lies, or the path itself.

    Raises:
        UnknownModel: no bundled model has the name and no file is at the path; it names the bundled models.
    """
    given = os.fspath(name_or_path)
    if "\0" in given:
        raise UnknownModel("a model's path cannot hold a NUL character")
    if os.sep not in given and not given.endswith(SUFFIX):
        bundled = BUNDLED / f"{given}{SUFFIX}"
        if bundled.is_file():
            return bundled
    path = Path(given)
    if path.is_file():
        return path
    known = ", ".join(bundled_names()) or "none"
    raise UnknownModel(f"no model is called {given!r} and no file is there; bundled models: {known}")


def bundled_names() -> list[str]:
    """Names of the models that came with this package."""
    return sorted(path.stem for path in BUNDLED.glob(f"*{SUFFIX}"))


@dataclass(slots=True)
class ModelFile:
    """An open, mapped and verified model file; `close` when done."""

    path: Path
    size: int
    """bytes, all of the file"""
    manifest: Manifest
    digest: str
    """SHA-256 of manifest.json, which in turn holds those of the network and of the tokenizer"""
    _descriptor: int
    _archive: Archive
    _map: mmap.mmap

    @property
    def interpreter_path(self) -> str:
        """A path that leads to the very file that was verified, even if another one takes its place meanwhile."""
        return descriptor_path(self._descriptor, self.path)

    def tokenizer(self) -> bytes:
        """tokenizer.json.

        Raises:
            ModelError: it is missing, too large or not the one that the manifest names.
        """
        content = self._archive.read("tokenizer.json", MAX_TOKENIZER_SIZE)
        self._let_go()
        if hashlib.sha256(content).hexdigest() != self.manifest.tokenizer_sha256:
            raise ModelError(f"{self.path}: tokenizer.json is not the one that belongs to this model")
        return content

    def card(self) -> str:
        """card.md: where the model comes from, what it was trained on and under which licences."""
        return self._archive.read("card.md", MAX_CARD_SIZE).decode("utf-8", "replace")

    @property
    def flatbuffer_size(self) -> int:
        """Where the archive begins."""
        return self._archive.start

    def network(self) -> bytes:
        """The flatbuffer alone, as interpreters load it from memory."""
        return bytes(self._archive.data[: self.flatbuffer_size])

    @property
    def has_network(self) -> bool:
        """Whether what precedes the archive begins as a TFLite flatbuffer does."""
        return bytes(self._archive.data[4:8]) == _IDENTIFIER

    def verify_network(self, stamps: Path | None) -> bool:
        """Whether the flatbuffer has the digest that the manifest names; hashed unless a stamp says so already."""

        def claim(digest: str) -> str:
            return f"flatbuffer {digest}"

        def hashed() -> str:
            with self._archive.data[: self.flatbuffer_size] as flatbuffer:
                digest = hashlib.sha256(flatbuffer).hexdigest()
            self._let_go()
            return claim(digest)

        return verify(self._descriptor, claim(self.manifest.flatbuffer_sha256), hashed, stamps)

    def _let_go(self) -> None:
        """Take back the pages that reading has mapped: interpreters map the file for themselves, few are read again.

        The kernel keeps them in its page cache, but they are no longer this process's (madvise(2), MADV_DONTNEED).
        """
        self._map.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Unmap and close the file."""
        self._archive.data.release()
        self._map.close()
        os.close(self._descriptor)


def open_model_file(path: Path, stamps: Path | None) -> ModelFile:
    """Map a model file and verify all of it.

    Args:
        path: of the file.
        stamps: private folder that remembers which files have been hashed (`verified`); None to hash every time.

    Raises:
        UnknownModel: the file cannot be opened.
        ModelError: it is damaged, none of ours, or made for a newer runtime.
    """
    try:
        # Non-blocking, so that a named pipe in a model's place is an error and not a wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UnknownModel(f"{path} cannot be opened: {error.strerror}") from None
    with ExitStack() as undo:
        undo.callback(os.close, descriptor)
        try:
            file = _map(path, descriptor)
            undo.pop_all()
            undo.callback(file.close)
            wrong = _flaw(file, stamps)
        except ModelError as error:
            wrong = str(error)
        except (OSError, ValueError) as error:
            wrong = f"it cannot be read: {error}"
        if wrong:
            raise ModelError(f"{path} cannot be used: {wrong}")
        undo.pop_all()
        return file


def _map(path: Path, descriptor: int) -> ModelFile:
    """Map the file and read its manifest."""
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode) or not 0 < state.st_size <= MAX_FILE_SIZE:
        raise ModelError("it is empty, too large or no regular file")
    with ExitStack() as undo:
        data = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        undo.callback(data.close)
        view = undo.enter_context(memoryview(data))
        archive = open_archive(view)
        text = archive.read("manifest.json", MAX_MANIFEST_SIZE)
        manifest = parse(text, __version__)
        undo.pop_all()
        return ModelFile(path, state.st_size, manifest, hashlib.sha256(text).hexdigest(), descriptor, archive, data)


def _flaw(file: ModelFile, stamps: Path | None) -> str | None:
    """What does not fit the manifest, or None if all does."""
    manifest = file.manifest
    if manifest.flatbuffer_size != file.flatbuffer_size or not file.has_network:
        return "its network is no TFLite flatbuffer or has another size than the manifest says"
    file.tokenizer()
    if not file.verify_network(stamps):
        return "its network does not have the digest that the manifest names; copy the file again"
    return None


def descriptor_path(descriptor: int, otherwise: Path) -> str:
    """A path that opens the same file as an open descriptor, where the system has one."""
    path = f"/proc/self/fd/{descriptor}"
    return path if Path(path).exists() else str(otherwise)
