"""A model's labels as numbers: the tables of docs/serial.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_runtime.errors import EdgeError

NONE = 0xFFFF
"""the index of no label: not recognised, or an answer"""


class Stale(EdgeError):  # noqa: N818  short names, as they are caught
    """A label came up that the client's table does not have: the model has been replaced."""

    code = "stale"


class Tables:
    """Of one model at one moment."""

    def __init__(self, labels: Sequence[str], types: Sequence[str]) -> None:
        """`labels`: of the first classification head; `types`: of entities."""
        self.labels = tuple(labels)
        self.types = tuple(types)
        self._labels = {name: index for index, name in enumerate(self.labels)}
        self._types = {name: index for index, name in enumerate(self.types)}

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Tables:
        """From what `info` says of a model."""
        labels: Sequence[str] = ()
        types: dict[str, None] = {}
        kinds: Mapping[str, str] = info["heads"]
        for head, kind in kinds.items():
            names: Sequence[str] = info["labels"].get(head) or ()
            if kind == "classification" and not labels:
                labels = names
            elif kind == "tagging" and not types:
                types = dict.fromkeys(_type(name) for name in names if name != "O")
        return cls(labels, tuple(types))

    def label(self, name: str | None) -> int:
        """Raises Stale for one that is not there."""
        return NONE if name is None else self._index(self._labels, name)

    def type(self, name: str) -> int:
        """Raises Stale for one that is not there."""
        return self._index(self._types, name)

    @staticmethod
    def _index(table: Mapping[str, int], name: str) -> int:
        index = table.get(name, NONE)
        if index == NONE:
            raise Stale("the model has been replaced and its labels have changed; say HELLO and fetch them again")
        return index


def _type(label: str) -> str:
    """`time` of `B-time`: as the tagging task cuts it."""
    return label[2:] if label[:2] in ("B-", "I-") and len(label) > 2 else label
