"""Tables: .csv (commas, quotes) and .tsv (tabs; quotes are text), with a first line of names or just text and label."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from converter.data_sets import columns
from converter.data_sets.examples import Example, Task
from converter.data_sets.lines import read_content
from converter.errors import TrainingError

WITHOUT_HEADER = ("text", "label")


def read_table(path: Path, task: Task) -> tuple[Example, ...]:
    """The rows of a table.

    Args:
        path: `.csv` is read with commas and double quotes (RFC 4180), anything else with tabs, where quotes are
            characters as any other (as GLUE's files have it).
        task: "classify", "understand" or "embed".

    Raises:
        TrainingError: a line has too few or too many columns, the task needs a column that is not there, …
    """
    if task not in columns.NEEDED:
        raise TrainingError(f"{path} is a table, which {task} cannot be read from; docs/data.md names its formats")
    rows = _rows(path)
    _, first = next(rows)
    places = _header(path, first)
    if places is None:
        places = dict(zip(WITHOUT_HEADER, range(2), strict=True))
        rows = _rows(path)
    columns.check(places, task, f"{path}: its first line" if len(first) > 2 else str(path))
    examples = []
    for number, row in rows:
        if len(row) != len(first):
            raise TrainingError(
                f"{path}: line {number} has {_columns(len(row))}, the first line has {len(first)}"
                + ("" if path.suffix.lower() == ".csv" else "; columns are parted by one tab")
            )
        values = {meaning: row[place] for meaning, place in places.items()}
        examples.append(columns.example(task, values, _where(path, number)))
    if not examples:
        raise TrainingError(f"{path} has column names and no line below them")
    return tuple(examples)


def guess_table(path: Path) -> Task | None:
    """What the columns are for: "embed" where there are pairs with a score, "classify" where there are labels."""
    _, first = next(_rows(path))
    places = _header(path, first)
    if places is None or {"text", "label"} <= set(places):
        return "classify"
    return "embed" if {"text", "pair", "score"} <= set(places) else None


def _header(path: Path, first: list[str]) -> dict[str, int] | None:
    """Where the first line's columns are; None if it is an example, text and label."""
    places = columns.places(first)
    if "text" in places and ("label" in places or "score" in places):
        return places
    if places or len(first) != len(WITHOUT_HEADER):
        parted = "commas" if path.suffix.lower() == ".csv" else "tabs"
        raise TrainingError(
            f"{path}: its first line has {_columns(len(first))} parted by {parted} and does not name a text with a "
            f"label or a score; known names are {columns.KNOWN}. Without names there must be two: text, label"
        )
    return None


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number of its last line, and columns, of each row; empty lines are left out."""
    # Only a line feed ends a line; inside a .csv's quotes it is part of the text.
    lines = (line.removesuffix("\r") for line in read_content(path).removesuffix("\n").split("\n"))
    if path.suffix.lower() == ".csv":
        reader = csv.reader((f"{line}\n" for line in lines), strict=True)
    else:
        # the csv module takes a carriage return for the end of a line
        reader = csv.reader((line.replace("\r", " ") for line in lines), delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise TrainingError(f"{path}: line {reader.line_num}: {error}") from error


def _where(path: Path, number: int) -> Callable[[], str]:
    return lambda: f"{path}: line {number}"


def _columns(count: int) -> str:
    return "one column" if count == 1 else f"{count} columns"
