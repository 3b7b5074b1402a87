"""Tiny data that a tiny network learns in seconds, one set for each task."""

from __future__ import annotations

import json
from pathlib import Path

PLACES = ["kitchen", "hall", "garden", "attic", "cellar", "bathroom"]
NAMES = ["anna", "ben", "clara", "david", "emma", "felix"]
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    ".",
    "!",
    "?",
    *["turn", "on", "off", "light", "in", "the", "play", "what", "is", "where", "lives", "dark", "bright", "it"],
    *PLACES,
    *NAMES,
]


def vocabulary(folder: Path) -> Path:
    path = folder / "vocab.txt"
    path.write_text("\n".join(WORDS), encoding="utf-8")
    return path


def understand(folder: Path) -> Path:
    """seq.in, seq.out and label: turn … on or off in a place."""
    rows = [
        (f"turn {word} the light in the {place}", "O O O O O O B-place", f"light_{word}")
        for place in PLACES
        for word in ("on", "off")
        for _ in range(3)
    ]
    data = folder / "home" / "train"
    data.mkdir(parents=True)
    for column, name in enumerate(("seq.in", "seq.out", "label")):
        (data / name).write_text("".join(f"{row[column]}\n" for row in rows), encoding="utf-8")
    return data


def classify(folder: Path) -> Path:
    """text<TAB>label with a header: the label is a word of the text."""
    rows = [
        f"{verb} {word} the {place}\t{word}" for verb in ("turn", "light") for place in PLACES for word in ("on", "off")
    ]
    return _lines(folder / "texts.tsv", ["text\tlabel", *rows, *rows])


def pairs(folder: Path) -> Path:
    """sentence1, sentence2 and label: what the second text says, whatever the first one does."""
    rows = [
        f"the {first} is {one}\tthe {second} is {other}\t{other}"
        for first in PLACES[:3]
        for second in PLACES[:3]
        for one in ("dark", "bright")
        for other in ("dark", "bright")
    ]
    return _lines(folder / "pairs.tsv", ["sentence1\tsentence2\tlabel", *rows])


def tag(folder: Path) -> Path:
    """CoNLL: who lives where."""
    sentences = [f"{name} B-PER\nlives O\nin O\nthe O\n{place} B-LOC\n" for name in NAMES for place in PLACES]
    return _lines(folder / "people.conll", sentences)


def answer(folder: Path) -> Path:
    """SQuAD: who is it, and where, at the end of a context that takes several windows of 14 tokens."""
    paragraphs = []
    for number, (name, place) in enumerate(zip(NAMES, PLACES, strict=True)):
        context = "turn on the light. " * (number % 3) + f"{name} is in the {place}."
        questions = [
            {"id": f"{word}-{name}", "question": f"{word} is it?", "answers": [_span(context, right)]}
            for word, right in (("what", name), ("where", place))
        ]
        paragraphs.append({"context": context, "qas": questions})
    document = {"version": "1.1", "data": [{"title": "homes", "paragraphs": paragraphs}]}
    path = folder / "homes.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _span(context: str, text: str) -> dict[str, object]:
    return {"text": text, "answer_start": context.index(text)}


def embed(folder: Path) -> Path:
    """sentence1, sentence2, score: 5 where light is alike, 0 where it is not."""
    rows = [
        f"the {first} is {one}\tthe {second} is {other}\t{5.0 if one == other else 0.0}"
        for first in PLACES[:4]
        for second in PLACES[:4]
        for one, other in (("dark", "dark"), ("dark", "bright"), ("bright", "bright"))
    ]
    return _lines(folder / "alike.tsv", ["sentence1\tsentence2\tscore", *rows])


def _lines(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
