"""How good predictions are: accuracy, and F1 of slots by exact spans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from converter.train.corpus import OUTSIDE

Span = tuple[str, int, int]
"""slot, first word, word after the last"""


def spans(tags: Sequence[str]) -> Iterator[Span]:
    """The spans that a line of BIO tags stands for.

    As conlleval and seqeval's default mode have it: an I- that does not continue a span of its own slot begins one.
    """
    start, slot = 0, ""
    for place, tag in enumerate((*tags, OUTSIDE)):
        position, _, name = tag.partition("-")
        if slot and (position != "I" or name != slot):
            yield slot, start, place
            slot = ""
        if position != OUTSIDE and not slot:
            start, slot = place, name


def span_f1(expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Micro-averaged F1 of spans over all lines, 0 to 1; a span counts if slot, start and end are right.

    1.0 where there is nothing to find and nothing was found.
    """
    right = found = wanted = 0
    for truth, guess in zip(expected, predicted, strict=True):
        true_spans, guessed_spans = set(spans(truth)), set(spans(guess))
        right += len(true_spans & guessed_spans)
        wanted += len(true_spans)
        found += len(guessed_spans)
    return 2 * right / (wanted + found) if wanted + found else 1.0


def accuracy(expected: Sequence[object], predicted: Sequence[object]) -> float:
    """Share of equal pairs, 0 to 1. Raises ValueError for none at all."""
    if not expected:
        raise ValueError("accuracy of nothing")
    return sum(a == b for a, b in zip(expected, predicted, strict=True)) / len(expected)
