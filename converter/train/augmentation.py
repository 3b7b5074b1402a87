"""New training texts out of the given ones: slots exchange values, number words become digits, marks at the end."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converter.data_sets.bio import OUTSIDE, spans
from converter.data_sets.examples import Spoken

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
# Sentence ends that people type and that training texts mostly lack.
MARKS = (".", "?", "!")


@dataclass(frozen=True)
class Augmentation:
    """How often what is changed; 0 everywhere leaves texts as they are."""

    exchange: float = 0.0
    """probability of a slot's value to be replaced by another of its values"""
    digits: float = 0.0
    """share of texts whose number words become digits"""
    punctuation: float = 0.0
    """share of texts that get a full stop, question or exclamation mark at their end"""

    def __call__(
        self, example: Spoken, values: Mapping[str, Sequence[tuple[str, ...]]], generator: random.Random
    ) -> Spoken:
        """`example`, changed at random; `values` are all that its slots have."""
        example = exchange(example, values, self.exchange, generator)
        if generator.random() < self.digits:
            example = with_digits(example)
        return punctuated(example, generator) if generator.random() < self.punctuation else example


def slot_values(examples: Sequence[Spoken]) -> Values:
    """All values that the slots of `examples` have."""
    values: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for example in examples:
        for slot, start, end in spans(example.tags or ()):
            values[slot].append(example.words[start:end])
    return dict(values)


def exchange(
    example: Spoken, values: Mapping[str, Sequence[tuple[str, ...]]], share: float, generator: random.Random
) -> Spoken:
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
    return Spoken((*words, *example.words[done:]), example.label, (*tags, *example.tags[done:]))


def with_digits(example: Spoken) -> Spoken:
    """`example` with its number words written as digits: transcribed speech has the former, typed text the latter."""
    return Spoken(tuple(DIGITS.get(word, word) for word in example.words), example.label, example.tags)


def punctuated(example: Spoken, generator: random.Random) -> Spoken:
    """`example` with a mark at its end, unless it ends with one already."""
    if example.words[-1].endswith(MARKS):
        return example
    tags = None if example.tags is None else (*example.tags, OUTSIDE)
    return Spoken((*example.words, generator.choice(MARKS)), example.label, tags)
