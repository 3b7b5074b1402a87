"""Labelled data of any known format: which reader, by what a file is called and what is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, overload

from converter.data_sets.conll import read_conll
from converter.data_sets.examples import (
    TASKS,
    DataSet,
    Example,
    Labelled,
    Question,
    Similar,
    Spoken,
    Tagged,
    Task,
)
from converter.data_sets.folder import guess_folder, read_folder
from converter.data_sets.json_lines import guess_json_lines, read_json_lines
from converter.data_sets.lines import read_content
from converter.data_sets.squad import parse_squad
from converter.data_sets.table import guess_table, read_table
from converter.errors import TrainingError

JSON_LINES = {".jsonl", ".ndjson"}
CONLL = {".conll", ".bio", ".iob", ".iob2", ".conllu"}
TABLES = {".csv", ".tsv"}


@overload
def read(path: Path, task: Literal["understand"]) -> DataSet[Spoken]: ...
@overload
def read(path: Path, task: Literal["classify"]) -> DataSet[Labelled]: ...
@overload
def read(path: Path, task: Literal["tag"]) -> DataSet[Tagged]: ...
@overload
def read(path: Path, task: Literal["answer"]) -> DataSet[Question]: ...
@overload
def read(path: Path, task: Literal["embed"]) -> DataSet[Similar]: ...
@overload
def read(path: Path, task: Task) -> DataSet[Any]: ...
def read(path: Path, task: Task) -> DataSet[Any]:
    """The examples of a folder or file, as `docs/data.md` describes the formats.

    Args:
        path: a folder with seq.in and label; a .csv, .tsv, .jsonl, .json (SQuAD) or .conll file. Files with another
            ending are taken for CoNLL's columns if the task is "tag", for SQuAD's JSON if it is "answer", and for
            text<TAB>label otherwise.
        task: what the examples are to be for.

    Raises:
        TrainingError: naming file and line: nothing there, an unknown layout, nothing that the task could use.
    """
    if task not in TASKS:
        raise TrainingError(f"the task must be one of {', '.join(TASKS)}, not {task!r}")
    _check_exists(path)
    return DataSet(source_name(path), _read(path, task))


def guess_task(path: Path) -> Task | None:
    """The task that data is for, where its layout leaves no doubt; None where it does.

    Raises:
        TrainingError: the file cannot be read.
    """
    _check_exists(path)
    suffix = path.suffix.lower()
    if path.is_dir():
        return guess_folder(path)
    if suffix in CONLL:
        return "tag"
    if suffix in JSON_LINES:
        return guess_json_lines(path)
    if suffix == ".json":
        return "answer" if _json_document(path) is not None else guess_json_lines(path)
    return guess_table(path) if suffix in TABLES else None


def source_name(path: Path) -> str:
    """What scores and the model's card call a folder ("hwu64/train") or a file ("reviews.tsv") of data."""
    full = path.resolve()
    return f"{full.parent.name}/{full.name}" if path.is_dir() else full.name


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise TrainingError(
            f"{path} does not exist; give a folder with seq.in and label, or a .tsv, .csv, .jsonl, .json or .conll file"
        )


def _read(path: Path, task: Task) -> tuple[Example, ...]:
    suffix = path.suffix.lower()
    if path.is_dir():
        return read_folder(path, task)
    if suffix in JSON_LINES:
        return read_json_lines(path, task)
    if suffix == ".json" or (task == "answer" and suffix not in CONLL | TABLES):
        document = _json_document(path)
        if document is None:
            return read_json_lines(path, task)
        if task != "answer":
            raise TrainingError(f"{path} holds questions with their contexts, which {task} cannot be read from")
        return parse_squad(document, path)
    if suffix in CONLL or (task == "tag" and suffix not in TABLES):
        if task != "tag":
            raise TrainingError(f"{path} holds words with tags, which {task} cannot be read from")
        return read_conll(path)
    return read_table(path, task)


def _json_document(path: Path) -> Any:
    """A file that is one JSON object with "data", as SQuAD's; None if it is something else."""
    try:
        document = json.loads(read_content(path))
    except ValueError:
        return None
    return document if isinstance(document, dict) and "data" in document else None
