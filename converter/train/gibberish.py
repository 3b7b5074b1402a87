"""Made-up texts that mean nothing, to be refused: random letters, words of the vocabulary thrown together, numbers."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence

LONGEST_TEXT = 8
"""words"""


def gibberish(count: int, words: Sequence[str], seed: int) -> list[str]:
    """`count` texts of one to `LONGEST_TEXT` words: of random words, of random letters, and of numbers and marks."""
    generator = random.Random(seed)  # noqa: S311 (repeatable noise, no secret)
    kinds = (lambda: generator.choice(words), lambda: _letters(generator), lambda: _numbers(generator))
    return [
        " ".join(kinds[number % len(kinds)]() for _ in range(length))
        for number in range(count)
        for length in (generator.randint(1, LONGEST_TEXT),)
    ]


def _letters(generator: random.Random) -> str:
    return "".join(generator.choices(string.ascii_lowercase, k=generator.randint(2, 10)))


def _numbers(generator: random.Random) -> str:
    return str(generator.randrange(1000)) if generator.random() < 0.7 else generator.choice(string.punctuation)
