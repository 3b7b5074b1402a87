"""Setting validation examples aside."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

E = TypeVar("E")


def set_aside(
    examples: Sequence[E], share: float, seed: int, stratum: Callable[[E], str], key: Callable[[E], str]
) -> tuple[list[E], list[E]]:
    """Splits into training and validation examples.

    Args:
        examples: all of them.
        share: of the keys of every stratum that goes to validation; one key at least is left to be trained on.
        seed: what it is drawn by.
        stratum: what is to be there on both sides, such as each label.
        key: examples with the same one stay on one side.
    """
    generator = random.Random(seed)  # noqa: S311 (a repeatable shuffle, no secret)
    keys: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for example in examples:
        keys[stratum(example)].setdefault(key(example))
    aside: set[tuple[str, str]] = set()
    for name in sorted(keys):
        shuffled = list(keys[name])
        generator.shuffle(shuffled)
        count = min(round(len(shuffled) * share), len(shuffled) - 1)
        aside.update((name, each) for each in shuffled[:count])
    chosen = [(stratum(example), key(example)) in aside for example in examples]
    train = [example for example, is_aside in zip(examples, chosen, strict=True) if not is_aside]
    return train, [example for example, is_aside in zip(examples, chosen, strict=True) if is_aside]
