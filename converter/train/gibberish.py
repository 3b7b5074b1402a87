"""Made-up texts that mean nothing, to be refused: random letters, and words of the vocabulary thrown together."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence

LONGEST_TEXT = 8
"""words"""


def gibberish(count: int, words: Sequence[str], seed: int) -> list[str]:
    """`count` texts of one to `LONGEST_TEXT` words, half of them of random letters and half of random words."""
    generator = random.Random(seed)  # noqa: S311 (repeatable noise, no secret)
    return [
        " ".join(_letters(generator) if number % 2 else generator.choice(words) for _ in range(length))
        for number in range(count)
        for length in (generator.randint(1, LONGEST_TEXT),)
    ]


def _letters(generator: random.Random) -> str:
    return "".join(generator.choices(string.ascii_lowercase, k=generator.randint(2, 10)))
