"""CoNLL's columns: a word a line with its tag, an empty line after each sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from converter.data_sets.bio import bio, is_tag
from converter.data_sets.examples import Tagged
from converter.data_sets.lines import read_lines
from converter.errors import TrainingError

DOCUMENT = "-DOCSTART-"
"""CoNLL-2003's mark between documents"""

Row = tuple[int, list[str]]
"""line number, columns"""


def read_conll(path: Path) -> tuple[Tagged, ...]:
    """The sentences of a file of two or more columns, parted by tabs or by spaces.

    The tag is the last column that holds a tag on every line (CoNLL-2003 has parts of speech and chunks before it,
    Universal NER annotators after it); the word is the first, or the second where the first counts the words. Tags are
    turned into BIO. Words that are nothing but white space, such as emoji that an export lost, are left out; one that
    holds white space becomes several.

    Raises:
        TrainingError: lines have unequal numbers of columns, or no column holds tags.
    """
    sentences = _sentences(path)
    rows = [row for sentence in sentences for row in sentence]
    width = len(rows[0][1])
    for number, columns in rows:
        if len(columns) != width:
            raise TrainingError(f"{path}: line {number} has {len(columns)} columns, the lines before it {width}")
    tag = _tag_column(path, rows)
    word = 1 if tag > 1 and _counts_words(sentences) else 0
    examples = [_tagged(sentence, word, tag) for sentence in sentences]
    return tuple(example for example in examples if example.words)


def _sentences(path: Path) -> list[list[Row]]:
    lines = read_lines(path)
    tabs = any("\t" in line for line in lines if line.strip() and not line.startswith("#"))
    sentences: list[list[Row]] = [[]]
    for number, line in enumerate(lines, start=1):
        columns = [column.strip() for column in line.split("\t")] if tabs else line.split()
        if not line.strip() or columns[0] == DOCUMENT:
            sentences.append([])
        elif not (line.startswith("#") and not sentences[-1] and _is_comment(columns)):
            sentences[-1].append((number, columns))
    found = [sentence for sentence in sentences if sentence]
    if not found:
        raise TrainingError(f"{path} holds no words")
    return found


def _is_comment(columns: Sequence[str]) -> bool:
    """Of a line that begins with # before the first word of a sentence: not if it is the word # (or #tag) itself."""
    return len(columns) < 2 or not any(is_tag(column) for column in columns[1:]) or "=" in columns[1:]


def _tag_column(path: Path, rows: Sequence[Row]) -> int:
    width = len(rows[0][1])
    for column in range(width - 1, 0, -1):
        if all(is_tag(columns[column]) for _, columns in rows):
            return column
    # name the line that spoils the column that comes nearest
    spoilt = {
        column: [(number, columns[column]) for number, columns in rows if not is_tag(columns[column])]
        for column in range(1, width)
    }
    if not spoilt:
        raise TrainingError(
            f"{path}: line {rows[0][0]} has one column; a word and its tag are expected, parted by a tab"
        )
    number, value = min(spoilt.values(), key=len)[0]
    raise TrainingError(f"{path}: line {number}: {value!r} is not O, B-type or I-type")


def _counts_words(sentences: Sequence[Sequence[Row]]) -> bool:
    """Whether the first column numbers the words of each sentence."""
    return all(
        [columns[0] for _, columns in sentence] == [str(number) for number in range(first, first + len(sentence))]
        for sentence in sentences
        for first in [0 if sentence[0][1][0] == "0" else 1]
    )


def _tagged(sentence: Sequence[Row], word: int, tag: int) -> Tagged:
    words: list[str] = []
    tags: list[str] = []
    for (_, columns), label in zip(sentence, bio([columns[tag] for _, columns in sentence]), strict=True):
        parts = columns[word].split()
        words += parts
        tags += [label if place == 0 else label.replace("B-", "I-", 1) for place in range(len(parts))]
    return Tagged(tuple(words), bio(tags))
