"""What the columns of tables and the fields of JSON lines may be called, and one row of them as an example."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from converter.data_sets.examples import Example, Labelled, Similar, Spoken, Task
from converter.errors import TrainingError

# The names that public data sets use: GLUE's (sentence, sentence1, question1, premise …), banking77's (category).
NAMES: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "sentence1", "premise", "question1"),
    "pair": ("pair", "sentence2", "hypothesis", "question2"),
    "label": ("label", "category", "intent"),
    "score": ("score", "similarity"),
}
NEEDED: Mapping[Task, tuple[str, ...]] = {
    "classify": ("text", "label"),
    "understand": ("text", "label"),
    "embed": ("text", "pair", "score"),
}
KNOWN = "; ".join(f"{meaning}: {', '.join(names)}" for meaning, names in NAMES.items())


def places(header: Sequence[str]) -> dict[str, int]:
    """Which column holds what, from their names; those with other names are left out."""
    clean = [name.strip().lower() for name in header]
    found = {}
    for meaning, names in NAMES.items():
        known = [clean.index(name) for name in names if name in clean]
        if known:
            found[meaning] = known[0]
    return found


def check(meanings: Collection[str], task: Task, where: str) -> None:
    """That columns or fields are enough for a task.

    Raises:
        TrainingError: one is missing, or there are pairs where the task takes single texts.
    """
    missing = [meaning for meaning in NEEDED[task] if meaning not in meanings]
    # STS-B calls its score "label" where it comes from the Hugging Face hub
    if task == "embed" and missing == ["score"] and "label" in meanings:
        missing = []
    if missing:
        raise TrainingError(f"{where} has no {' and no '.join(missing)}, which {task} needs; known names are {KNOWN}")
    if task == "understand" and "pair" in meanings:
        raise TrainingError(f"{where} has pairs of texts, but understand takes single ones; use --task classify")


def example(task: Task, row: Mapping[str, str], where: Callable[[], str]) -> Example:
    """One row as what the task learns from.

    Args:
        task: "classify", "understand" or "embed".
        row: by meaning ("text", "pair", "label", "score").
        where: file and line, for errors.

    Raises:
        TrainingError: something is empty, or the score is no number.
    """
    for meaning in ("text", "pair", "label", "score"):
        if meaning in row and not row[meaning].strip():
            raise TrainingError(f"{where()}: the {meaning} is empty")
    if task == "embed":
        return Similar(row["text"].strip(), row["pair"].strip(), _number(row.get("score", row.get("label", "")), where))
    label = row["label"].strip()
    if task == "understand":
        return Spoken(tuple(row["text"].split()), label)
    pair = row.get("pair")
    return Labelled(row["text"].strip(), label, None if pair is None else pair.strip())


def _number(text: str, where: Callable[[], str]) -> float:
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if score - score != 0:  # neither infinite nor NaN
        raise TrainingError(f"{where()}: the score {text!r} is not a number")
    return score
