"""Logits of a question and its context → the stretch of the context that answers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.tasks.classification import softmax
from edge_runtime.tasks.results import Answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.streaming.excerpt import Excerpt
    from edge_runtime.windows import Window

MAX_ANSWER_TOKENS = 30
"""the customary bound on an answer's length (Devlin et al., 2019, `run_squad.py`)"""


def find(context: str, windows: Sequence[Window], logits: Sequence[NDArray[np.float32]]) -> Answer:
    """The best answer in any window: the highest sum of start and end logits, the first of equal ones.

    Args:
        context: the second text of the pair, of which every window holds at least one token.
        windows: of the pair.
        logits: start and end of each token of each window, [S, 2].
    """
    candidates = [find_within(context, window, rows) for window, rows in zip(windows, logits, strict=True)]
    return max(candidates, key=lambda candidate: candidate[0])[1]


def find_within(context: str | Excerpt, window: Window, logits: NDArray[np.float32]) -> tuple[float, Answer]:
    """The best answer in one window, and its sum of logits."""
    places = [place for place, text in enumerate(window.encoding.texts) if text == 1]
    starts, ends = logits[places, 0], logits[places, 1]
    sums = starts[:, None] + ends[None, :]
    first, last = np.indices(sums.shape)
    sums = np.where((last >= first) & (last < first + MAX_ANSWER_TOKENS), sums, -np.inf)
    begin, finish = (int(place) for place in np.unravel_index(int(np.argmax(sums)), sums.shape))
    probability = softmax(logits.T)
    score = float(probability[0, places[begin]] * probability[1, places[finish]])
    start = window.encoding.offsets[places[begin]]
    end = window.encoding.offsets[places[finish]]
    assert start is not None
    assert end is not None
    return float(sums[begin, finish]), Answer(context[start[0] : end[1]], start[0], end[1], score)
