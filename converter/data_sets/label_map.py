"""What labels and types of entities are to be called, so that data sets with names of their own can be joined."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from converter.data_sets.bio import OUTSIDE, bio
from converter.data_sets.examples import DataSet, Labelled, Question, Similar, Spoken, Tagged
from converter.errors import TrainingError

E = TypeVar("E", Labelled, Spoken, Tagged, Question, Similar)

OTHERS = "*"
"""stands for every type of entity that is not named"""


@dataclass(frozen=True)
class LabelMap:
    """Old names → new ones; what is not named stays as it is."""

    intents: Mapping[str, str] = field(default_factory=dict)
    """labels of texts"""
    slots: Mapping[str, str | None] = field(default_factory=dict)
    """types of entities; None drops what has the type (its words become O), `{"*": None}` all that is not named"""

    def label(self, label: str) -> str:
        return self.intents.get(label, label)

    def tags(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        """BIO in, BIO out."""
        return bio([self._tag(tag) for tag in tags])

    def apply(self, data: DataSet[E]) -> DataSet[E]:
        """The same examples with labels and tags renamed."""
        return DataSet(data.name, tuple(self._example(example) for example in data.examples))

    def _tag(self, tag: str) -> str:
        if tag == OUTSIDE:
            return tag
        position, _, kind = tag.partition("-")
        new = self.slots[kind] if kind in self.slots else self.slots.get(OTHERS, kind)
        return OUTSIDE if new is None else f"{position}-{new}"

    def _example(self, example: E) -> E:
        changes: dict[str, Any] = {}
        if isinstance(example, Labelled | Spoken):
            changes["label"] = self.label(example.label)
        if isinstance(example, Spoken | Tagged) and example.tags is not None:
            changes["tags"] = self.tags(example.tags)
        return replace(example, **changes)


def read_label_map(path: Path) -> LabelMap:
    """Reads a JSON file `{"intents": {old: new}, "slots": {old: new or null, "*": null}}`.

    Raises:
        TrainingError: it is not such a file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict) or not set(content) <= {"intents", "slots"}:
        raise TrainingError(f'{path} must hold an object with "intents" and "slots"')
    for part, may_drop in (("intents", False), ("slots", True)):
        names = content.get(part, {})
        if not isinstance(names, dict) or not all(
            _is_name(name) or (may_drop and name is None) for name in names.values()
        ):
            raise TrainingError(f"{path}: {part} must map names to names" + (" or to null" if may_drop else ""))
    return LabelMap(content.get("intents", {}), content.get("slots", {}))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
