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
    *["turn", "on", "off", "light", "in", "the", "play", "what", "is", "where", "lives", "dark", "bright"],
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
    """sentence1, sentence2 and label: whether two places are the same."""
    rows = [
        f"the {first}\tthe {second}\t{'same' if first == second else 'other'}"
        for first in PLACES[:3]
        for second in PLACES[:3]
        for _ in range(1 + (first == second))
    ]
    return _lines(folder / "pairs.tsv", ["sentence1\tsentence2\tlabel", *rows, *rows, *rows])


def tag(folder: Path) -> Path:
    """CoNLL: who lives where."""
    sentences = [f"{name} B-PER\nlives O\nin O\nthe O\n{place} B-LOC\n" for name in NAMES for place in PLACES]
    return _lines(folder / "people.conll", sentences)


def answer(folder: Path) -> Path:
    """SQuAD: where somebody lives."""
    paragraphs = []
    for shift in range(len(PLACES)):
        homes = dict(zip(NAMES, PLACES[shift:] + PLACES[:shift], strict=True))
        context = " ".join(f"{name} is in the {place}." for name, place in list(homes.items())[shift % 4 :][:2])
        questions = [
            {
                "id": f"{shift}-{name}",
                "question": f"where is {name}?",
                "answers": [{"text": homes[name], "answer_start": context.index(homes[name])}],
            }
            for name in homes
            if name in context
        ]
        paragraphs.append({"context": context, "qas": questions})
    path = folder / "homes.json"
    path.write_text(
        json.dumps({"version": "1.1", "data": [{"title": "homes", "paragraphs": paragraphs}]}), encoding="utf-8"
    )
    return path


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
