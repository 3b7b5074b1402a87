"""Bytes cut anywhere become the same lines, in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.protocol.lines import Lines

LIMIT = 8


def whole(data: bytes) -> list[bytes | None]:
    """The definition: lines of at most LIMIT bytes, None for longer ones, also for a last one without its end."""
    *lines, rest = data.split(b"\n")
    found: list[bytes | None] = [line if len(line) <= LIMIT else None for line in lines]
    return found + ([None] if len(rest) > LIMIT else [])


@given(st.lists(st.binary(max_size=30).map(lambda piece: piece.replace(b"\x01", b"\n").replace(b"\x02", b"\n"))))
def test_any_cut_gives_the_same_lines(pieces: list[bytes]) -> None:
    """However the bytes are cut, the lines are those of the whole, and every long one is told of once."""
    lines = Lines(LIMIT)
    found = [line for piece in pieces for line in lines.feed(piece)]
    assert found == whole(b"".join(pieces))


@given(st.binary(max_size=60), st.integers(1, 5))
def test_small_pieces(data: bytes, size: int) -> None:
    """The same for pieces of a few bytes, of which most hold no line's end."""
    data = data.replace(b"\x00", b"\n")
    lines = Lines(LIMIT)
    found = [line for start in range(0, len(data), size) for line in lines.feed(data[start : start + size])]
    assert found == whole(data)


def test_partial() -> None:
    """The beginning of a line is noticed, of a long one too."""
    lines = Lines(LIMIT)
    seen = [lines.partial]
    for piece, found in ((b"ab", []), (b"c\n", [b"abc"]), (b"x" * 9, [None]), (b"x", []), (b"\n", [])):
        assert list(lines.feed(piece)) == found
        seen.append(lines.partial)
    assert seen == [False, True, False, True, True, False]


def test_endless_line_is_not_kept() -> None:
    """A line that never ends takes no more memory than a line may."""
    lines = Lines(LIMIT)
    for _ in range(1000):
        list(lines.feed(b"x" * 100))
    assert len(lines._buffer) <= LIMIT
