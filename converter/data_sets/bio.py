"""Tags of words: O, and B- or I- before a type. One way of writing them inside this project, BIO (also called IOB2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

OUTSIDE = "O"
# IOB1 and IOB2 have B and I; BIOES and BILOU mark the end of an entity and those of one word, too.
_POSITIONS = {"B": "B", "I": "I", "E": "I", "L": "I", "S": "B", "U": "B"}

EntitySpan = tuple[str, int, int]
"""type, first word, word after the last"""


def is_tag(tag: str) -> bool:
    """Whether this is a tag of any of the customary schemes (IOB1, IOB2, BIOES, BILOU)."""
    return tag == OUTSIDE or (tag[:1] in _POSITIONS and tag[1:2] == "-" and len(tag) > 2)


def bio(tags: Sequence[str]) -> tuple[str, ...]:
    """A sentence's tags in any of those schemes, as BIO.

    An entity begins where its tag says so, and at an I- that does not continue an entity of its own type: so IOB1,
    which writes B- only between two entities of one type that touch, becomes BIO, and BIO stays as it is.
    """
    result = []
    before = ""
    for tag in tags:
        position, _, kind = tag.partition("-")
        if not kind:
            result.append(OUTSIDE)
        else:
            result.append(f"{_POSITIONS[position] if kind == before else 'B'}-{kind}")
        before = kind
    return tuple(result)


def spans(tags: Sequence[str]) -> Iterator[EntitySpan]:
    """The entities that a line of BIO tags stands for.

    As conlleval and seqeval's default mode have it: an I- that does not continue an entity of its own type begins one.
    """
    start, kind = 0, ""
    for place, tag in enumerate((*tags, OUTSIDE)):
        position, _, name = tag.partition("-")
        if kind and (position != "I" or name != kind):
            yield kind, start, place
            kind = ""
        if position != OUTSIDE and not kind:
            start, kind = place, name
