"""Logits of a text → labels with calibrated probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.tasks.results import Label

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.manifest import Head


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities along the last axis; logits are divided by `temperature` first (Guo et al., 2017)."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def check_top_k(top_k: int) -> None:
    """Check how many labels are wanted.

    Raises:
        InputError: `top_k` is no positive integer.
    """
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise InputError(f"top_k must be a positive integer, not {top_k!r}")


def best(scores: NDArray[np.float64], top_k: int) -> list[int]:
    """Places of the `top_k` highest scores, highest first; equal ones in their order.

    Raises:
        InputError: `top_k` is no positive integer.
    """
    check_top_k(top_k)
    return [int(place) for place in np.argsort(-scores, kind="stable")[:top_k]]


def rank(logits: NDArray[np.float32], head: Head, top_k: int) -> list[Label]:
    """The likeliest labels of one text, likeliest first, from its logits [labels]."""
    probabilities = softmax(logits, head.temperature)
    return [Label(head.labels[place], float(probabilities[place])) for place in best(probabilities, top_k)]


def recognise(logits: NDArray[np.float32], head: Head) -> tuple[str | None, float]:
    """The likeliest label and its score; no label where it is too unlikely, or "out of scope" is likelier still.

    The score is the label's probability times its reliability, by which texts can be ordered: the lower, the likelier
    that none of the labels is meant. It is that of a label in scope even where none is given.
    """
    probabilities = softmax(logits, head.temperature)
    first, *others = best(probabilities, 2)
    strange = head.labels[first] == head.out_of_scope
    place = others[0] if strange else first
    probability = float(probabilities[place])
    score = probability * head.reliability[place] if head.reliability else probability
    return (None if strange or probability < head.threshold else head.labels[place]), score
