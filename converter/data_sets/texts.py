"""Texts alone, from data or from lines: for what is out of scope, and for counting wordpieces."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from converter.data_sets.examples import Example, Labelled, Question, Similar
from converter.data_sets.lines import read_lines
from converter.data_sets.reading import guess_task, read
from converter.errors import TrainingError


def read_texts(path: Path, labels: Collection[str] | None = None) -> tuple[str, ...]:
    """Every text of a data set, or a file's lines.

    Args:
        path: data of any format whose task can be told from its layout, or else a file of one text a line.
        labels: if given, only those texts of data are taken whose label is one of these.

    Raises:
        TrainingError: as `read`, or no text has one of `labels`.
    """
    task = guess_task(path)
    if task is None and path.is_dir():
        raise TrainingError(f"{path} has no seq.in and label")
    if task is None:
        return tuple(text for line in read_lines(path) if (text := " ".join(line.split())))
    examples = read(path, task).examples
    if labels is not None:
        examples = tuple(example for example in examples if getattr(example, "label", None) in labels)
        if not examples:
            raise TrainingError(f"{path} has no text with one of the out-of-scope labels")
    return tuple(dict.fromkeys(text for example in examples for text in texts_of(example)))


def texts_of(example: Example) -> tuple[str, ...]:
    """The one text of an example, or both."""
    if isinstance(example, Question):
        return example.question, example.context
    if isinstance(example, Similar):
        return example.text, example.pair
    if isinstance(example, Labelled) and example.pair is not None:
        return example.text, example.pair
    return (example.text,)
