"""A loaded model and what it can be asked."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from edge_runtime.backends.by_length import MAX_LENGTHS
from edge_runtime.backends.selection import AUTO, open_backend
from edge_runtime.engine import Engine, Tokens
from edge_runtime.errors import BackendError, InputError, ModelError, NoSuchHead
from edge_runtime.manifest import Head, Kind
from edge_runtime.model_file import find, open_model_file
from edge_runtime.streaming.reader import Reader
from edge_runtime.streaming.stream import Stream
from edge_runtime.tasks import answering, classification, embedding, filling, tagging
from edge_runtime.tasks.merging import merger
from edge_runtime.tasks.results import Answer, Choice, Entity, Filling, Label, Understanding
from edge_runtime.tokenizer import Encoding, Pieces, Tokenizer
from edge_runtime.tuning import MAX_THREADS, settle
from edge_runtime.verified import cache_folder, private_folder
from edge_runtime.windows import Overflow, Window, cut, mean, policy, stitch

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_runtime.backends.backend import Backend
    from edge_runtime.manifest import Manifest

STREAM_WINDOW = 128
"""tokens of a stream's window, unless told otherwise: as much as a board reads in a tenth of a second"""

_OPERATIONS: Mapping[Kind, str] = {
    "classification": "classify",
    "tagging": "tag",
    "answer": "answer",
    "fill": "fill",
    "choice": "choose",
    "embedding": "embed",
}


class Source(Protocol):
    """What a model is made from: a model file, or something that can be read like one."""

    @property
    def path(self) -> Path: ...
    @property
    def size(self) -> int: ...
    @property
    def digest(self) -> str: ...
    @property
    def manifest(self) -> Manifest: ...
    def tokenizer(self) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Spent:
    """Where time went."""

    tokenise: float
    """seconds"""
    infer: float
    """seconds"""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model is and how it was loaded."""

    name: str
    path: str
    size: int
    """bytes of the whole file"""
    digest: str
    """SHA-256 of its manifest, which holds those of the network and of the tokenizer"""
    task: str
    """the operation that `edge-runtime ask` picks: understand, classify, tag, answer, fill, choose, embed or run"""
    tasks: tuple[str, ...]
    """all operations that it has heads for"""
    heads: Mapping[str, Kind]
    labels: Mapping[str, tuple[str, ...]]
    """by head"""
    max_length: int
    """tokens, special ones included"""
    licence: str | None
    created_with: str
    architecture: Mapping[str, Any]
    quantisation: Mapping[str, Any]
    accuracy: Mapping[str, Any]
    source: Mapping[str, Any]
    backend: str
    backend_version: str
    backend_reason: str
    """why this backend"""
    weight_cache: str | None
    """file that the packed weights are mapped from"""
    threads: int
    overflow: Overflow

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def load(
    name_or_path: str | os.PathLike[str],
    threads: int | None = None,
    backend: str = AUTO,
    overflow: str = "error",
    cache: bool = True,
    lengths: int = 1,
) -> Model:
    """Load a model.

    Args:
        name_or_path: a bundled model's name, or the path of a .tflite that edge-converter made.
        threads: that one inference may use; left out: as `edge-boards tune` chose for this board, else 1.
        backend: "litert-compiled", "litert" or "tflite-runtime"; "auto" takes $EDGE_RUNTIME_BACKEND, else the tuned
            one, else the best that is safe on this CPU.
        overflow: what to do with texts longer than the model takes: "error", "truncate" or "window" (`windows`).
        cache: whether to keep packed weights and digests already verified in the cache folder.
        lengths: of texts, in tokens, that copies of the network are kept ready for. They are made as lengths turn up;
            each takes some MB, and a text of such a length up to half the time less (docs/serving.md).

    Raises:
        UnknownModel: there is no such model.
        ModelError: the file is damaged, none of ours, or for a newer runtime.
        BackendError: no TFLite runtime here can run it.
        InputError: an argument is wrong.
    """
    if threads is not None and (
        isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS
    ):
        raise InputError(f"threads must be 1 to {MAX_THREADS}, not {threads!r}")
    if isinstance(lengths, bool) or not isinstance(lengths, int) or not 1 <= lengths <= MAX_LENGTHS:
        raise InputError(f"lengths must be 1 to {MAX_LENGTHS}, not {lengths!r}")
    checked = policy(overflow)
    folder = cache_folder() if cache else None
    if private_folder(folder) is not None:
        folder = None
    file = open_model_file(find(name_or_path), folder)
    try:
        settings = settle(backend, threads)
        loaded = open_backend(file, settings.selection, settings.threads, folder, lengths)
    except ModelError as error:
        file.close()
        raise ModelError(f"{file.path} cannot be used: {error}") from None
    except BaseException:
        file.close()
        raise
    return Model(file, loaded, settings.selection.reason, settings.threads, checked)


class Model:
    """A loaded model; `load` makes it. Threads may share it. Close it, or use it in a `with` statement."""

    def __init__(self, file: Source, backend: Backend, reason: str, threads: int, overflow: Overflow) -> None:
        self._file = file
        self._manifest = file.manifest
        self._engine = Engine(backend, file.manifest)
        self._overflow = overflow
        self._closing = threading.Lock()
        self._parsed: Tokenizer | None = None
        self._closed = False
        self._tokenising = 0.0
        manifest = file.manifest
        tasks = self._tasks()
        licence = manifest.source.get("licence")
        self.info = ModelInfo(
            name=manifest.name,
            path=str(file.path),
            size=file.size,
            digest=file.digest,
            task=tasks[0] if tasks else "run",
            tasks=tasks,
            heads={head.name: head.kind for head in manifest.heads},
            labels={head.name: head.labels for head in manifest.heads if head.labels},
            max_length=manifest.max_length,
            licence=licence if isinstance(licence, str) else None,
            created_with=manifest.created_with,
            architecture=manifest.architecture,
            quantisation=manifest.quantisation,
            accuracy=manifest.accuracy,
            source=manifest.source,
            backend=backend.name,
            backend_version=backend.version,
            backend_reason=reason,
            weight_cache=str(backend.weight_cache) if backend.weight_cache else None,
            threads=threads,
            overflow=overflow,
        )

    @property
    def spent(self) -> Spent:
        """Seconds that went into tokenising and into the network since loading, by all threads."""
        return Spent(self._tokenising, self._engine.seconds)

    def count_tokenising(self, seconds: float) -> None:
        """Add what a stream's reader took to `spent`."""
        self._tokenising += seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the interpreter and unmap the file. Closing twice is no error; any other use afterwards is."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._engine.close()
                self._file.close()

    def run(self, ids: Tokens, types: Tokens | None = None) -> dict[str, NDArray[np.float32]]:
        """Run the network on token ids as they are, at their exact length; the overflow policy concerns texts only.

        Args:
            ids: special tokens included, [S].
            types: token type of each, [S]; all 0 if left out.

        Returns:
            Logits by head: [S, width] for heads per token, [1, width] for heads per text.

        Raises:
            InputError: no ids, ids or types out of range, or lengths that differ.
            TooLong: more than `info.max_length` ids.
        """
        return self._engine.run(ids, types)

    def encode(self, text: str, pair: str | None = None) -> Encoding:
        """Token ids, types and character offsets of a text or a pair.

        What is too long raises `TooLong` or is truncated as the overflow policy says; under "window" all of it is
        returned, which may be more than `run` takes.

        Raises:
            InputError: a text is no string, or holds half of a surrogate pair.
            TooLong: it has more tokens than the model takes, and the policy is "error".
        """
        tokenizer = self._tokenizer
        first = tokenizer.pieces(text)
        second = None if pair is None else tokenizer.pieces(pair)
        if self._overflow == "window":
            return tokenizer.join(first, second)
        return cut(tokenizer, first, second, self._manifest.max_length, self._overflow)[0].encoding

    def stream(self, window: int | None = None, overlap: int = 0, question: str | None = None) -> Stream:
        """Tokenise a text that arrives as bytes, cut anywhere, into windows; memory does not grow with the text.

        Args:
            window: tokens of each window, special ones (and the question's) included; left out: what the model takes,
                `STREAM_WINDOW` at most.
            overlap: tokens of the text that each window shares with the one before.
            question: the first text of a pair, repeated in every window; the stream is the second.

        Raises:
            InputError: an argument is out of range.
            TooLong: the question leaves no room in a window.
            ModelError: the tokenizer is none whose text can be cut.
        """
        return self._stream(window, overlap, question)

    def read_stream(
        self,
        task: str,
        window: int | None = None,
        overlap: int | None = None,
        question: str | None = None,
        top_k: int = 3,
    ) -> Reader:
        """Read a text that arrives as bytes, of any length: a result for each window and a merged one in the end.

        Args:
            task: "classify", "understand", "tag", "answer" or "embed".
            window: tokens of each window, as for `stream`.
            overlap: tokens of the text that each window shares with the one before; left out: a quarter of them where
                places in the text matter ("understand", "tag", "answer"), else none.
            question: what "answer" looks for; the first text of a pair for "classify".
            top_k: labels that "classify" gives.

        Raises:
            NoSuchHead: the model has no head for the task.
            InputError, TooLong, ModelError: as for `stream`; the task is none of these; "answer" has no question, or
                a task has one that takes none.
        """
        merging = merger(task, self._head, top_k)
        if (question is None) if task == "answer" else (question is not None and task != "classify"):
            raise InputError(f"{task} {'needs a' if question is None else 'takes no'} question")
        if overlap is None and task in ("classify", "embed"):
            overlap = 0
        return Reader(self, self._stream(window, overlap, question), merging)

    def classify(self, text: str, pair: str | None = None, top_k: int = 3) -> list[Label]:
        """The likeliest labels of a text or a pair, likeliest first, with calibrated probabilities.

        Raises:
            NoSuchHead: the model has no classification head.
            InputError: a text is empty or no string, or `top_k` is no positive integer.
            TooLong: see `windows`.
        """
        head = self._head("classification")
        windows, logits = self._read(self._pieces(text), None if pair is None else self._pieces(pair))
        return classification.rank(mean(windows, logits[head.name]), head, top_k)

    def understand(self, text: str) -> Understanding:
        """The intent of a text and its slots; an intent of None and no slots where it is not recognised (`tag` finds
        entities in any text).

        Raises:
            NoSuchHead: the model lacks a classification head or a tagging head beside it.
            InputError: the text is empty or no string.
            TooLong: see `windows`.
        """
        intents, slots = self._head("classification"), self._head("tagging")
        pieces = self._pieces(text)
        windows, logits = self._read(pieces)
        intent, score = classification.recognise(mean(windows, logits[intents.name]), intents)
        found = [] if intent is None else self._entities(text, pieces, windows, logits, slots)
        return Understanding(intent, score, tuple(found))

    def tag(self, text: str) -> list[Entity]:
        """The entities in a text, in its order.

        Raises:
            NoSuchHead: the model has no tagging head.
            InputError: the text is empty or no string.
            TooLong: see `windows`.
        """
        head = self._head("tagging")
        pieces = self._pieces(text)
        windows, logits = self._read(pieces)
        return self._entities(text, pieces, windows, logits, head)

    def answer(self, question: str, context: str) -> Answer:
        """The stretch of the context that answers the question best.

        Raises:
            NoSuchHead: the model has no answer head.
            InputError: a text is empty or no string.
            TooLong: see `windows`.
        """
        head = self._head("answer")
        windows, logits = self._read(self._pieces(question), self._pieces(context))
        return answering.find(context, windows, logits[head.name])

    def embed(self, text: str) -> NDArray[np.float32]:
        """The vector of a text, [hidden], of length 1.

        Raises:
            NoSuchHead: the model has no embedding head.
            InputError: the text is empty or no string.
            TooLong: see `windows`.
        """
        head = self._head("embedding")
        windows, logits = self._read(self._pieces(text))
        return embedding.unit(mean(windows, logits[head.name]))

    def fill(self, text: str, top_k: int = 5) -> list[Filling]:
        """The likeliest tokens for the one [MASK] in a text, likeliest first.

        Raises:
            NoSuchHead: the model has no fill head.
            InputError: the text does not hold [MASK] exactly once, or `top_k` is no positive integer.
            TooLong: see `windows`; or [MASK] stands in the part that was truncated.
        """
        head = self._head("fill")
        pieces = self._pieces(text)
        place = filling.mask_place(self._tokenizer, pieces)
        windows, logits = self._read(pieces)
        return filling.fill(text, self._tokenizer, pieces, place, stitch(windows, logits[head.name]), top_k)

    def choose(self, question: str, choices: Sequence[str]) -> Choice:
        """The choice that fits a question or the beginning of a sentence best.

        Raises:
            NoSuchHead: the model has no choice head.
            InputError: there are no choices, or a text is empty or no string.
            TooLong: see `windows`.
        """
        head = self._head("choice")
        if isinstance(choices, str) or not choices:
            raise InputError("choices must be a list of at least one text")
        first = self._pieces(question)
        logits = []
        for choice in choices:
            windows, rows = self._read(first, self._pieces(choice))
            logits.append(mean(windows, rows[head.name])[0])
        scores = classification.softmax(np.array(logits, np.float32))
        index = classification.best(scores, 1)[0]
        return Choice(index, choices[index], float(scores[index]), tuple(float(score) for score in scores))

    @property
    def _tokenizer(self) -> Tokenizer:
        # Parsed at the first text: it takes as long and as much memory as all the rest of loading, and callers of `run`
        # never need it. Its digest was checked when the file was opened.
        with self._closing:
            if self._closed:
                raise BackendError("the model is closed; load it again")
            if self._parsed is None:
                self._parsed = Tokenizer(self._file.tokenizer())
            return self._parsed

    def _stream(self, window: int | None, overlap: int | None, question: str | None) -> Stream:
        longest = self._manifest.max_length
        if window is None:
            window = min(longest, STREAM_WINDOW)
        elif isinstance(window, int) and window > longest:
            raise InputError(f"window is {window} and the model takes {longest} tokens")
        return Stream(self._tokenizer, window, overlap, None if question is None else self._pieces(question))

    def _pieces(self, text: str) -> Pieces:
        tokenizer = self._tokenizer
        began = time.perf_counter()
        pieces = tokenizer.pieces(text)
        self._tokenising += time.perf_counter() - began
        if not len(pieces):
            raise InputError("the text is empty")
        return pieces

    def _read(
        self, first: Pieces, second: Pieces | None = None
    ) -> tuple[list[Window], dict[str, list[NDArray[np.float32]]]]:
        """Windows of the texts, and by head the logits of each."""
        windows = cut(self._tokenizer, first, second, self._manifest.max_length, self._overflow)
        runs = [self._engine.run(window.encoding.ids, window.encoding.types) for window in windows]
        return windows, {head.name: [run[head.name] for run in runs] for head in self._manifest.heads}

    def _entities(
        self,
        text: str,
        pieces: Pieces,
        windows: Sequence[Window],
        logits: Mapping[str, Sequence[NDArray[np.float32]]],
        head: Head,
    ) -> list[Entity]:
        read = pieces.cut(0, windows[-1].stop)
        return tagging.entities(text, read, stitch(windows, logits[head.name]), head)

    def _head(self, kind: Kind) -> Head:
        for head in self._manifest.heads:
            if head.kind == kind:
                return head
        known = ", ".join(f"{head.name} ({head.kind})" for head in self._manifest.heads)
        operations = ", ".join(self._tasks()) or "run"
        raise NoSuchHead(
            f"{self._manifest.name} has no {kind} head; its heads are {known}, so it can be asked to {operations}"
        )

    def _tasks(self) -> tuple[str, ...]:
        kinds = {head.kind for head in self._manifest.heads}
        understands = ("understand",) if {"classification", "tagging"} <= kinds else ()
        return understands + tuple(operation for kind, operation in _OPERATIONS.items() if kind in kinds)
