"""Folders of `seq.in`, `label` and, where slots are known, `seq.out`: line n of each belongs to one text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from converter.data_sets.bio import bio, is_tag
from converter.data_sets.examples import Example, Labelled, Spoken, Tagged, Task
from converter.data_sets.lines import read_lines
from converter.errors import TrainingError


def read_folder(folder: Path, task: Task) -> tuple[Example, ...]:
    """The texts of a folder, for "understand", "classify" (labels alone) or "tag" (tags alone).

    Raises:
        TrainingError: a file is missing, lines do not match each other, or the task takes no such folder.
    """
    if not (folder / "seq.in").is_file():
        raise TrainingError(f"{folder} has no seq.in; give a folder with seq.in and label, or a file")
    if task in ("answer", "embed"):
        raise TrainingError(f"{folder} holds texts with labels, which {task} cannot be read from")
    if task == "tag":
        return tuple(Tagged(words, tags) for words, _, tags in _rows(folder, labels=False, tags=True) if tags)
    rows = _rows(folder, labels=True, tags=task == "understand" and (folder / "seq.out").exists())
    if task == "classify":
        return tuple(Labelled(" ".join(words), label) for words, label, _ in rows)
    return tuple(Spoken(words, label, tags) for words, label, tags in rows)


def guess_folder(folder: Path) -> Task | None:
    """What the folder's files are for: "understand" where there are slots, "classify" where there are labels alone."""
    if not (folder / "label").exists():
        return "tag" if (folder / "seq.out").exists() else None
    return "understand" if (folder / "seq.out").exists() else "classify"


def _rows(folder: Path, *, labels: bool, tags: bool) -> list[tuple[tuple[str, ...], str, tuple[str, ...] | None]]:
    files = {"seq.in": read_lines(folder / "seq.in")}
    if labels:
        files["label"] = read_lines(folder / "label")
    if tags:
        files["seq.out"] = read_lines(folder / "seq.out")
    _check_counts(folder, {name: len(lines) for name, lines in files.items()})
    rows = []
    for number, text in enumerate(files["seq.in"], start=1):
        # snips has spaces at the end of lines and several between words
        words = tuple(text.split())
        label = files["label"][number - 1].strip() if labels else ""
        if not words:
            raise TrainingError(f"{folder / 'seq.in'}: line {number} is empty")
        if labels and not label:
            raise TrainingError(f"{folder / 'label'}: line {number} is empty")
        line = files["seq.out"][number - 1] if tags else None
        rows.append((words, label, None if line is None else _tags(folder, number, line, len(words))))
    return rows


def _tags(folder: Path, number: int, line: str, words: int) -> tuple[str, ...]:
    tags = line.split()
    if len(tags) != words:
        raise TrainingError(f"{folder / 'seq.out'}: line {number} has {len(tags)} tags for {words} words of seq.in")
    for tag in tags:
        if not is_tag(tag):
            raise TrainingError(f"{folder / 'seq.out'}: line {number}: {tag!r} is not O, B-slot or I-slot")
    return bio(tags)


def _check_counts(folder: Path, counts: Mapping[str, int]) -> None:
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        shorter = min(counts, key=lambda name: counts[name])
        raise TrainingError(
            f"{folder} has files of unequal length (lines: {listed}); {shorter} ends after line {counts[shorter]}"
        )
