"""Labelled data in the formats that people have it in, read into examples."""

from __future__ import annotations

from converter.data_sets.examples import (
    TASKS,
    DataSet,
    Example,
    Labelled,
    Question,
    Similar,
    Span,
    Spoken,
    Tagged,
    Task,
)
from converter.data_sets.label_map import LabelMap, read_label_map
from converter.data_sets.reading import guess_task, read, source_name
from converter.data_sets.texts import read_texts, texts_of

__all__ = [
    "TASKS",
    "DataSet",
    "Example",
    "LabelMap",
    "Labelled",
    "Question",
    "Similar",
    "Span",
    "Spoken",
    "Tagged",
    "Task",
    "guess_task",
    "read",
    "read_label_map",
    "read_texts",
    "source_name",
    "texts_of",
]
