"""Setting validation texts aside."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from converter.train.corpus import Example


def set_aside(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Splits into training and validation examples, `share` of every label's texts going to the latter.

    A text that occurs several times stays on one side. A label with one text only is trained, not validated.
    """
    generator = random.Random(seed)  # noqa: S311 (a repeatable shuffle, no secret)
    texts: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for example in examples:
        texts[example.label].setdefault(example.text)
    aside: set[tuple[str, str]] = set()
    for label in sorted(texts):
        shuffled = list(texts[label])
        generator.shuffle(shuffled)
        count = min(round(len(shuffled) * share), len(shuffled) - 1)
        aside.update((label, text) for text in shuffled[:count])
    train = [example for example in examples if (example.label, example.text) not in aside]
    validation = [example for example in examples if (example.label, example.text) in aside]
    return train, validation
