"""What is run: token ids of English, cut to the lengths that are measured."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

TEXT = """\
The kitchen lights were still on when she came home, so she turned them off, asked what the weather would be like in
the morning, and set an alarm for half past six. Her brother had sent a message: the train from Manchester was an hour
late, and would she order two pizzas from the Italian place by the station? She put milk, eggs and bread on the
shopping list, played the last episode of a podcast about the history of the telephone, and moved her appointment with
the dentist to Thursday. Nobody had watered the plants. The heating came on by itself at seven, as it did every
evening from October to March, and the robot vacuum cleaner started its round through the hall, the living room and
the bedroom.
"""
"""repeated where more tokens are measured"""
SHORTEST, LONGEST = 5, 40
"""tokens of a request that an app sends: from "stop the music" to two sentences"""
REQUESTS = 24
PADDED = 64
"""the length that peers pad such requests to: the next power of two that all of them fit into"""
SEED = 8
PAD = 0
"""as in BERT's vocabulary"""


@cache
def _pieces(model: Path) -> tuple[int, list[int], int]:
    """[CLS], the text's pieces, [SEP], by the tokenizer that is in our model file."""
    from edge_runtime import load

    with load(model, overflow="truncate") as loaded:
        first, *pieces, last = loaded.encode(TEXT).ids
    return first, pieces, last


def tokens(model: Path, length: int, begin: int = 0) -> list[int]:
    """`length` token ids: [CLS], pieces of the text from `begin` on, [SEP]."""
    first, pieces, last = _pieces(model)
    return [first, *(pieces[(begin + i) % len(pieces)] for i in range(length - 2)), last]


def mixed(model: Path) -> list[list[int]]:
    """Requests of 5 to 40 tokens, every length as likely as every other, in a fixed random order."""
    random = np.random.default_rng(SEED)
    lengths = random.integers(SHORTEST, LONGEST + 1, REQUESTS).tolist()
    return [tokens(model, length, int(random.integers(0, 100))) for length in lengths]


def pad(ids: list[int], length: int = PADDED) -> list[int]:
    return ids + [PAD] * (length - len(ids))
