"""What labelled data is made of: one class of example for each task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Task = Literal["understand", "classify", "tag", "answer", "embed"]
"""named after the methods of a loaded model"""
TASKS: tuple[Task, ...] = ("understand", "classify", "tag", "answer", "embed")


@dataclass(frozen=True)
class Labelled:
    """A text, or a pair of texts, with one label: "classify"."""

    text: str
    label: str
    pair: str | None = None


@dataclass(frozen=True)
class Spoken:
    """What somebody says, with what is meant by it: "understand"."""

    words: tuple[str, ...]
    """what stands between white space"""
    label: str
    """the intent"""
    tags: tuple[str, ...] | None = None
    """BIO, one a word; None where nothing is known about slots"""

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class Tagged:
    """A sentence with its entities: "tag"."""

    words: tuple[str, ...]
    """none holds white space"""
    tags: tuple[str, ...]
    """BIO, one a word"""

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class Span:
    """A stretch of a text."""

    start: int
    """first character"""
    text: str


@dataclass(frozen=True)
class Question:
    """A question and the text that answers it, or does not: "answer"."""

    id: str
    question: str
    context: str
    answers: tuple[Span, ...]
    """any of them is right; none: the context does not say"""


@dataclass(frozen=True)
class Similar:
    """Two texts and how alike they are: "embed"."""

    text: str
    pair: str
    score: float
    """on any scale (STS-B: 0 to 5); more is more alike"""


Example = Labelled | Spoken | Tagged | Question | Similar
E_co = TypeVar("E_co", Labelled, Spoken, Tagged, Question, Similar, covariant=True)


@dataclass(frozen=True)
class DataSet(Generic[E_co]):
    """The examples of one file or folder."""

    name: str
    """what scores and cards call it: "hwu64/train", "reviews.tsv" """
    examples: tuple[E_co, ...]
