"""Stretches of a text that is not kept as a whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.streaming.excerpt import GAP, MAX_KEPT, Excerpt, Kept

PLACES = st.integers(-2, 40)


@given(st.text(min_size=1, max_size=30), st.integers(0, 10), st.lists(st.integers(1, 5), min_size=1), PLACES, PLACES)
def test_slices(text: str, first: int, sizes: list[int], start: int, end: int) -> None:
    """A slice of an excerpt is that of the whole text, as far as the excerpt goes."""
    kept, place = Kept(), 0
    while place < len(text):
        size = sizes[place % len(sizes)]
        kept.append(first + place, text[place : place + size])
        place += size
    whole = kept.cut(0, 100)
    assert whole == Excerpt(((first, text),))
    start, end = max(0, start), max(0, end)
    assert whole[start:end] == (" " * first + text)[max(start, first) : end]
    assert whole[start:][:1] == (" " * first + text)[max(start, first) :][:1]
    assert str(whole.cut(start, end)) == whole[start:end]
    assert str(whole) == text


def test_gaps() -> None:
    """What was not kept is replaced by one sign wherever a slice crosses it."""
    excerpt = Excerpt(((5, "turn"), (20, "off")))
    assert str(excerpt) == f"turn{GAP}off"
    assert excerpt[7:21] == f"rn{GAP}o"
    assert excerpt[7:15] == f"rn{GAP}"
    assert excerpt[12:22] == f"{GAP}of"
    assert excerpt[10:12] == GAP
    assert excerpt[23:30] == excerpt[0:5] == ""
    assert str(Excerpt()) == ""


def test_joining() -> None:
    """Excerpts that overlap, touch or lie apart become one."""
    first = Excerpt(((0, "turn off"),))
    assert first.join(Excerpt(((5, "off the"),))) == Excerpt(((0, "turn off the"),))
    assert first.join(Excerpt(((8, " the"),))) == Excerpt(((0, "turn off the"),))
    assert str(first.join(Excerpt(((12, "the"),)))) == f"turn off{GAP}the"
    assert Excerpt().join(first) == first


def test_thinning() -> None:
    """Thinning keeps tokens with what stands next to them, and both ends of long ones."""
    kept = Kept()
    kept.append(0, "turn" + " " * MAX_KEPT + "x" * MAX_KEPT)
    kept.thin([(0, 4), (4 + MAX_KEPT, 4 + 2 * MAX_KEPT)])
    excerpt = kept.cut(0, kept.end)
    assert excerpt.end == 4 + 2 * MAX_KEPT
    assert len(str(excerpt)) < 2000
    assert str(excerpt).replace(" ", "").split(GAP)[0] == "turn"
    assert excerpt[kept.end - 3 :] == "xxx"
    kept.forget(kept.end)
    assert str(kept.cut(0, kept.end)) == ""
