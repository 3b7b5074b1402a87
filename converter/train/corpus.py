"""Training texts from files: `seq.in`/`seq.out`/`label` folders and `text<TAB>label` files."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from converter.errors import TrainingError

OUTSIDE = "O"
# Names that the first line of a text<TAB>label file may have, as GLUE's files do; any other first line is an example.
_HEADERS = {("sentence", "label"), ("text", "label")}


@dataclass(frozen=True)
class Example:
    """One text with what is to be learnt from it."""

    words: tuple[str, ...]
    """what stands between spaces"""
    label: str
    tags: tuple[str, ...] | None = None
    """BIO, one a word; None where nothing is known about slots"""

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class Corpus:
    """The examples of one folder or file."""

    name: str
    examples: tuple[Example, ...]

    @property
    def tagged(self) -> bool:
        return any(example.tags is not None for example in self.examples)


@dataclass(frozen=True)
class Renaming:
    """What labels are to be called, so that two corpora that name one thing differently can be joined."""

    intents: Mapping[str, str] = field(default_factory=dict)
    slots: Mapping[str, str] = field(default_factory=dict)


def read_corpus(path: Path, renaming: Renaming | None = None) -> Corpus:
    """Reads a folder with seq.in, label and (not necessarily) seq.out, or a file of `text<TAB>label` lines.

    Raises:
        TrainingError: naming file and line: nothing there, lines that do not match each other, an unknown layout.
    """
    renaming = renaming or Renaming()
    if path.is_dir():
        examples = _read_folder(path, renaming)
    elif path.is_file():
        examples = _read_table(path, renaming)
    else:
        raise TrainingError(f"{path} does not exist; give a folder with seq.in and label, or a text<TAB>label file")
    return Corpus(source_name(path), examples)


def source_name(path: Path) -> str:
    """What scores and the model's card call a folder ("hwu64/train") or a file ("reviews.tsv") of data."""
    full = path.resolve()
    return f"{full.parent.name}/{full.name}" if path.is_dir() else full.name


def read_texts(path: Path, labels: Collection[str] | None = None) -> tuple[str, ...]:
    """Texts alone, for what is out of scope: a folder's seq.in, or a file's lines.

    Args:
        path: the folder, or a file of one text a line.
        labels: if given, only those texts of a folder are taken that its label file gives one of these.

    Raises:
        TrainingError: as `read_corpus`, or a folder has none of `labels`.
    """
    if not path.is_dir():
        return tuple(text for line in read_lines(path) if (text := " ".join(line.split())))
    corpus = read_corpus(path)
    texts = tuple(example.text for example in corpus.examples if labels is None or example.label in labels)
    if not texts:
        raise TrainingError(f"{path} has no text with one of the out-of-scope labels")
    return texts


def read_renaming(path: Path) -> Renaming:
    """Reads a JSON file `{"intents": {old: new}, "slots": {old: new}}`.

    Raises:
        TrainingError: it is not such a file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict) or not set(content) <= {"intents", "slots"}:
        raise TrainingError(f'{path} must hold an object with "intents" and "slots"')
    for part in content.values():
        if not isinstance(part, dict) or not all(isinstance(name, str) for name in part.values()):
            raise TrainingError(f"{path} must map names to names")
    return Renaming(content.get("intents", {}), content.get("slots", {}))


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file without their ends.

    Only a line feed ends a line: texts from the wild hold U+0085 and U+2028, which `str.splitlines` takes for ends.

    Raises:
        TrainingError: the file is missing, empty or not UTF-8.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise TrainingError(f"{path}: line {line} is not UTF-8") from error
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror}") from error
    lines = [line.rstrip("\r") for line in content.removesuffix("\n").split("\n")]
    if lines == [""]:
        raise TrainingError(f"{path} is empty")
    return lines


def _read_folder(folder: Path, renaming: Renaming) -> tuple[Example, ...]:
    texts = read_lines(folder / "seq.in")
    labels = read_lines(folder / "label")
    counts = {"seq.in": len(texts), "label": len(labels)}
    tags: list[str] | list[None] = [None] * len(texts)
    if (folder / "seq.out").exists():
        tags = read_lines(folder / "seq.out")
        counts["seq.out"] = len(tags)
    _check_counts(folder, counts)
    return tuple(
        _example(folder, number, row, renaming)
        for number, row in enumerate(zip(texts, labels, tags, strict=True), start=1)
    )


def _example(folder: Path, number: int, row: tuple[str, str, str | None], renaming: Renaming) -> Example:
    text, label, tags = row
    # snips has spaces at the end of lines and several between words.
    words = tuple(text.split())
    if not words:
        raise TrainingError(f"{folder / 'seq.in'}: line {number} is empty")
    if not label.strip():
        raise TrainingError(f"{folder / 'label'}: line {number} is empty")
    intent = renaming.intents.get(label.strip(), label.strip())
    if tags is None:
        return Example(words, intent)
    each = tags.split()
    if len(each) != len(words):
        raise TrainingError(
            f"{folder / 'seq.out'}: line {number} has {len(each)} tags for {len(words)} words of seq.in"
        )
    return Example(words, intent, tuple(_renamed(folder, number, tag, renaming) for tag in each))


def _renamed(folder: Path, number: int, tag: str, renaming: Renaming) -> str:
    if tag == OUTSIDE:
        return tag
    position, _, slot = tag.partition("-")
    if position not in ("B", "I") or not slot:
        raise TrainingError(f"{folder / 'seq.out'}: line {number}: {tag!r} is not O, B-slot or I-slot")
    return f"{position}-{renaming.slots.get(slot, slot)}"


def _read_table(path: Path, renaming: Renaming) -> tuple[Example, ...]:
    lines = read_lines(path)
    first = 1 if tuple(lines[0].split("\t")) in _HEADERS else 0
    examples = []
    for number, line in enumerate(lines[first:], start=first + 1):
        columns = line.split("\t")
        if len(columns) != 2 or not columns[0].strip() or not columns[1].strip():
            raise TrainingError(f"{path}: line {number} is not text<TAB>label")
        label = columns[1].strip()
        examples.append(Example(tuple(columns[0].split()), renaming.intents.get(label, label)))
    if not examples:
        raise TrainingError(f"{path} is empty")
    return tuple(examples)


def _check_counts(folder: Path, counts: Mapping[str, int]) -> None:
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        shorter = min(counts, key=lambda name: counts[name])
        raise TrainingError(
            f"{folder} has files of unequal length (lines: {listed}); {shorter} ends after line {counts[shorter]}"
        )
