"""New training texts out of the given ones: slots exchange their values, number words become digits."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from converter.train.corpus import OUTSIDE, Example
from converter.train.scores import spans

Values = dict[str, list[tuple[str, ...]]]
"""the words of every occurrence of a slot, by slot: frequent values are drawn often"""

# "one" is left out: it is a pronoun as often as a number.
DIGITS = {
    word: str(number)
    for numbers, words in (
        (range(2, 10), "two three four five six seven eight nine"),
        (range(10, 16), "ten eleven twelve thirteen fourteen fifteen"),
        (range(20, 100, 10), "twenty thirty forty fifty sixty seventy eighty ninety"),
    )
    for number, word in zip(numbers, words.split(" "), strict=True)
}


def slot_values(examples: Sequence[Example]) -> Values:
    """All values that the slots of `examples` have."""
    values: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for example in examples:
        for slot, start, end in spans(example.tags or ()):
            values[slot].append(example.words[start:end])
    return dict(values)


def exchange(example: Example, values: Values, share: float, generator: random.Random) -> Example:
    """`example` with each slot's value replaced, with probability `share`, by one that the slot has elsewhere.

    Teaches that a slot is told by what stands around it, not by its words alone.
    """
    if not example.tags or all(tag == OUTSIDE for tag in example.tags):
        return example
    words: list[str] = []
    tags: list[str] = []
    done = 0
    for slot, start, end in spans(example.tags):
        value = generator.choice(values[slot]) if generator.random() < share else example.words[start:end]
        words += [*example.words[done:start], *value]
        tags += [*example.tags[done:start], f"B-{slot}", *(f"I-{slot}" for _ in value[1:])]
        done = end
    return Example((*words, *example.words[done:]), example.label, (*tags, *example.tags[done:]))


def with_digits(example: Example) -> Example:
    """`example` with its number words written as digits: transcribed speech has the former, typed text the latter."""
    return Example(tuple(DIGITS.get(word, word) for word in example.words), example.label, example.tags)
