"""What a model says of a stream's windows, one after the other → what it says of the whole text, in constant memory.

The rules are those of `windows` for a text that is there as a whole: labels and vectors are means weighted by tokens,
each token's tags come from the window in which it is farthest from an edge, and the best answer of all windows wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.streaming.excerpt import Excerpt
from edge_runtime.tasks import answering, classification, embedding, tagging
from edge_runtime.tasks.results import Answer, Entity, Label, Understanding
from edge_runtime.tokenizer import Pieces
from edge_runtime.windows import Window, improve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.manifest import Head, Kind

TASKS = ("classify", "understand", "tag", "answer", "embed")
"""what can be asked of a text that is read in windows"""

MAX_ENTITIES = 4096
"""kept of one stream: a megabyte; a text with more is to be looked at window by window"""
MAX_RUN = 1024
"""tokens without white space between them whose words wait for its end; longer ones (rows of dashes) are cut there"""

Logits = Mapping[str, "NDArray[np.float32]"]
"""by head"""


class Merger(Protocol):
    """Merges what was found in the windows of one stream."""

    @property
    def truncated(self) -> bool:
        """Whether something was left out of the result, for there was too much."""

    def add(self, window: Window, logits: Logits) -> Any:
        """Take the next window; what it alone says."""

    def result(self) -> Any:
        """What all windows say, of which there was at least one. To be called once, after the last."""


def merger(task: str, head: Callable[[Kind], Head], top_k: int) -> Merger:
    """What merges for a task.

    Args:
        task: one of `TASKS`.
        head: gives the model's head of a kind.
        top_k: labels that "classify" is to give.

    Raises:
        InputError: there is no such task for streams, or `top_k` is no positive integer.
        NoSuchHead: the model has no head for it.
    """
    classification.check_top_k(top_k)
    match task:
        case "classify":
            return Labels(head("classification"), top_k)
        case "understand":
            return Intent(head("classification"), head("tagging"))
        case "tag":
            return Entities(head("tagging"))
        case "answer":
            return BestAnswer(head("answer"))
        case "embed":
            return Vector(head("embedding"))
    raise InputError(f"a stream can be asked to {', '.join(TASKS)}, not {task!r}")


class Labels:
    """Labels of the whole text: `Model.classify`."""

    truncated = False

    def __init__(self, head: Head, top_k: int) -> None:
        self._head = head
        self._top_k = top_k
        self._mean = Mean()

    def add(self, window: Window, logits: Logits) -> list[Label]:
        rows = logits[self._head.name]
        self._mean.add(window, rows)
        return classification.rank(rows[0], self._head, self._top_k)

    def result(self) -> list[Label]:
        return classification.rank(self._mean.value(), self._head, self._top_k)


class Vector:
    """The vector of the whole text: `Model.embed`."""

    truncated = False

    def __init__(self, head: Head) -> None:
        self._head = head
        self._mean = Mean()

    def add(self, window: Window, logits: Logits) -> NDArray[np.float32]:
        rows = logits[self._head.name]
        self._mean.add(window, rows)
        return embedding.unit(rows[0])

    def result(self) -> NDArray[np.float32]:
        return embedding.unit(self._mean.value())


class BestAnswer:
    """The best answer in the whole text: `Model.answer`."""

    truncated = False

    def __init__(self, head: Head) -> None:
        self._head = head
        self._best: tuple[float, Answer] | None = None

    def add(self, window: Window, logits: Logits) -> Answer:
        found = answering.find_within(window.excerpt, window, logits[self._head.name])
        if self._best is None or found[0] > self._best[0]:
            self._best = found
        return found[1]

    def result(self) -> Answer:
        assert self._best is not None
        return self._best[1]


class Entities:
    """Entities of the whole text, each once: `Model.tag`."""

    def __init__(self, head: Head) -> None:
        self.truncated = False
        self._head = head
        self._tagger = tagging.Tagger(head)
        self._stitch = Stitch(head.width)
        self._excerpt = Excerpt()

    def add(self, window: Window, logits: Logits) -> list[Entity]:
        rows = logits[self._head.name]
        self._excerpt = self._excerpt.join(window.excerpt)
        self._stitch.add(window, rows)
        self._read(self._stitch.decided())
        content = [text is not None for text in window.encoding.texts]
        return tagging.entities(window.excerpt, _content(window), rows[content], self._head)

    def result(self) -> list[Entity]:
        self._stitch.end()
        self._read(len(self._stitch))
        self._tagger.end()
        self._bound()
        return self._tagger.found

    def _read(self, count: int) -> None:
        """Read the tags of the first tokens."""
        pieces, rows = self._stitch.take(count)
        self._tagger.read(self._excerpt, pieces, rows)
        self._excerpt = self._excerpt.cut(self._tagger.position, self._excerpt.end)
        self._bound()

    def _bound(self) -> None:
        if len(self._tagger.found) > MAX_ENTITIES:
            del self._tagger.found[MAX_ENTITIES:]
            self.truncated = True


class Intent:
    """Intent and slots of the whole text: `Model.understand`."""

    def __init__(self, intents: Head, slots: Head) -> None:
        self._head = intents
        self._mean = Mean()
        self._slots = Entities(slots)

    @property
    def truncated(self) -> bool:
        return self._slots.truncated

    def add(self, window: Window, logits: Logits) -> Understanding:
        rows = logits[self._head.name]
        self._mean.add(window, rows)
        return self._understanding(rows[0], self._slots.add(window, logits))

    def result(self) -> Understanding:
        return self._understanding(self._mean.value(), self._slots.result())

    def _understanding(self, logits: NDArray[np.float32], slots: list[Entity]) -> Understanding:
        intent, score = classification.recognise(logits, self._head)
        return Understanding(intent, score, () if intent is None else tuple(slots))


class Mean:
    """`windows.mean`, one window at a time."""

    def __init__(self) -> None:
        self._sum: NDArray[np.float64] | None = None
        self._weight = 0

    def add(self, window: Window, rows: NDArray[np.float32]) -> None:
        """Take what the next window gave: [1, width]."""
        row = rows[0].astype(np.float64) * window.weight
        self._sum = row if self._sum is None else self._sum + row
        self._weight += window.weight

    def value(self) -> NDArray[np.float32]:
        """[width]."""
        assert self._sum is not None
        mean: NDArray[np.float32] = (self._sum / self._weight).astype(np.float32)
        return mean


class Stitch:
    """`windows.stitch`, one window at a time: holds the tokens that may still be in another window, or be read on."""

    def __init__(self, width: int) -> None:
        self._first = 0
        """number of the first token that is held"""
        self._offsets: list[tuple[int, int]] = []
        self._words: list[int] = []
        self._rows = np.zeros((0, width), np.float32)
        self._best = np.zeros(0)
        self._latest: tuple[Window, NDArray[np.float32]] | None = None
        """its end may be the text's: whether its tokens have an edge there is decided by the next one"""

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, window: Window, rows: NDArray[np.float32]) -> None:
        """Take the next window and a row for each of its tokens, special ones included: [S, width]."""
        self._improve(last=False)
        self._latest = window, rows
        content = _content(window)
        known = self._first + len(self) - window.start
        self._offsets += content.offsets[known:]
        self._words += content.words[known:]
        more = len(self) - len(self._best)
        self._rows = np.concatenate([self._rows, np.zeros((more, self._rows.shape[1]), np.float32)])
        self._best = np.concatenate([self._best, np.full(more, -1.0)])

    def end(self) -> None:
        """There are no more windows."""
        self._improve(last=True)

    def decided(self) -> int:
        """How many tokens are in no later window and end before white space."""
        latest = self._latest
        place = 0 if latest is None else latest[0].start - self._first
        limit = place
        while place > 0 and (
            self._words[place] == self._words[place - 1] or self._offsets[place][0] <= self._offsets[place - 1][1]
        ):
            place -= 1
        if place == 0 and limit > MAX_RUN:
            place = limit
            while place > 0 and self._words[place] == self._words[place - 1]:
                place -= 1
        return place

    def take(self, count: int) -> tuple[Pieces, NDArray[np.float32]]:
        """Let go of the first tokens: pieces (of which the ids are not kept) and rows."""
        pieces = Pieces((0,) * count, tuple(self._offsets[:count]), tuple(self._words[:count]))
        rows = self._rows[:count]
        self._first += count
        del self._offsets[:count], self._words[:count]
        self._rows, self._best = self._rows[count:], self._best[count:]
        return pieces, rows

    def _improve(self, *, last: bool) -> None:
        if self._latest is not None:
            improve(self._rows, self._best, *self._latest, self._first, last=last)
            self._latest = None


def _content(window: Window) -> Pieces:
    """The tokens of a window without special ones."""
    encoding = window.encoding
    offsets = tuple(offset for offset in encoding.offsets if offset is not None)
    words = tuple(word for word in encoding.words if word is not None)
    ids = tuple(number for number, text in zip(encoding.ids, encoding.texts, strict=True) if text is not None)
    return Pieces(ids, offsets, words)
