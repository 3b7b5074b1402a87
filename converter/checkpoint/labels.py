"""The names of a classifier's outputs, in their order."""

from __future__ import annotations

from converter.checkpoint.configuration import Configuration
from converter.errors import CheckpointError


def numbered_labels(configuration: Configuration, count: int) -> tuple[str, ...]:
    """`id2label` of config.json as a tuple of `count` labels; LABEL_0, LABEL_1 … (as transformers has it) without one.

    Raises:
        CheckpointError: its numbers are not 0 to count − 1, or two labels are the same.
    """
    by_id = configuration.fields.get("id2label")
    if by_id is None:
        return tuple(f"LABEL_{i}" for i in range(count))
    if not isinstance(by_id, dict) or not all(isinstance(label, str) for label in by_id.values()):
        raise CheckpointError(f"{configuration.path}: id2label must map numbers to names")
    if set(by_id) != {str(i) for i in range(len(by_id))}:
        raise CheckpointError(f"{configuration.path}: id2label's numbers must run from 0 to {len(by_id) - 1}")
    if len(by_id) != count:
        raise CheckpointError(
            f"{configuration.path}: id2label has {len(by_id)} labels and the classifier {count} outputs"
        )
    labels = tuple(by_id[str(i)] for i in range(count))
    _check_distinct(configuration, "id2label", labels)
    return labels


def label_list(configuration: Configuration, field: str) -> tuple[str, ...]:
    """The list of names `field` of config.json.

    Raises:
        CheckpointError: it is missing, empty, not a list of names, or holds one name twice.
    """
    names = configuration.fields.get(field)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{configuration.path}: {field} must be a list of names")
    _check_distinct(configuration, field, tuple(names))
    return tuple(names)


def _check_distinct(configuration: Configuration, field: str, labels: tuple[str, ...]) -> None:
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise CheckpointError(f"{configuration.path}: {field} names {twice[0]!r} more than once")
