"""Texts that arrive as bytes, cut anywhere, and the windows that they become."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import cache
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime import InputError, Model, TooLong, Window, load
from edge_runtime.streaming import long_chunk
from edge_runtime.streaming import stream as module
from edge_runtime.streaming.excerpt import GAP, MAX_KEPT
from edge_runtime.streaming.stream import Stream
from tests.edge_runtime.streaming import texts
from tests.edge_runtime.streaming.agreement import agrees
from tests.edge_runtime.tiny_checkpoint import MAX_LENGTH

SPECIALS, PAIR_SPECIALS = 2, 3
TEXTS = st.lists(
    st.one_of(st.sampled_from(texts.ALPHABET), st.text(st.characters(exclude_categories=["Cs"]), max_size=4))
).map("".join)
CUTS = st.lists(st.integers(0, 300))

made = cache(texts.tokenizer)


@pytest.fixture(autouse=True)
def _hold_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test changes about how much is held back is as it was afterwards."""
    monkeypatch.setattr(module, "LONG_CHUNK", module.LONG_CHUNK)


@given(TEXTS, CUTS, st.sampled_from(sorted(texts.MAKES)), st.sampled_from([0, 3, 256]), st.integers(3, 20), st.data())
def test_identity(text: str, cuts: list[int], make: str, held: int, window: int, data: st.DataObject) -> None:
    """However bytes are cut and windows overlap, their content is that of the whole text: ids, offsets and words."""
    overlap = data.draw(st.integers(0, window - SPECIALS - 1))
    module.LONG_CHUNK = held
    windows = texts.stream(made(make), texts.blocks(text.encode(), cuts), window, overlap)
    assert texts.content(windows, overlap) == made(make).pieces(text)


@pytest.mark.parametrize("make", texts.MAKES)
def test_identity_of_random_texts(make: str) -> None:
    """The same for many texts, with words from none held back to all."""
    source = random.Random(1)
    for text in islice(texts.texts(source, make), 200):
        assert agrees(made(make), text, source), ascii(text)


@given(TEXTS, CUTS, st.integers(3, 20), st.data())
def test_windows_follow_each_other(text: str, cuts: list[int], window: int, data: st.DataObject) -> None:
    """Windows are numbered, full but for the last, and share exactly the overlap; none is only overlap."""
    overlap = data.draw(st.integers(0, window - SPECIALS - 1))
    windows = texts.stream(made("uncased"), texts.blocks(text.encode(), cuts), window, overlap)
    assert [one.index for one in windows] == list(range(len(windows)))
    assert all(len(one.ids) == window for one in windows[:-1])
    assert all(one.stop - one.start == len(one.ids) - SPECIALS for one in windows)
    assert all(before.stop - after.start == overlap for before, after in pairwise(windows))
    assert all(after.stop > before.stop for before, after in pairwise(windows))
    assert not windows or windows[-1].stop == len(made("uncased").pieces(text))


@given(TEXTS, CUTS, st.integers(3, 20))
def test_windows_bring_their_text(text: str, cuts: list[int], window: int) -> None:
    """A window's excerpt is the text from the end of the token before it to the end of its last."""
    before = 0
    for one in texts.stream(made("uncased"), texts.blocks(text.encode(), cuts), window, 0):
        offsets = [offset for offset in one.offsets if offset is not None]
        assert one.span == (offsets[0][0], offsets[-1][1])
        assert all(one.excerpt[start:end] == text[start:end] for start, end in offsets)
        assert str(one.excerpt) == text[min(before, offsets[0][0]) : offsets[-1][1]]
        before = offsets[-1][1]


def test_windows_come_early() -> None:
    """A window is given as soon as the word after its last token has begun."""
    fed = Stream(made("uncased"), 5, 0)
    assert fed.feed(b"turn off the") == []
    assert [window.span for window in fed.feed(b" k")] == [(0, 12)]
    assert fed.feed(b"itchen lights") == []
    assert [window.span for window in fed.close()] == [(13, 27)]


def test_question() -> None:
    """A first text stands whole in every window, with the types that the tokenizer gives to pairs."""
    tokenizer = made("uncased")
    question = tokenizer.pieces("which lights?")
    fed = Stream(tokenizer, 10, 1, question)
    windows = fed.feed(b"turn off the kitchen lights and play some jazz") + fed.close()
    room = 10 - PAIR_SPECIALS - len(question)
    assert len(windows) > 1
    assert all(window.ids[1 : 1 + len(question)] == question.ids for window in windows)
    assert windows[0].types == (0,) * (len(question) + 2) + (1,) * (room + 1)
    assert windows[0].span == (0, 20)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"abc \xff def", 4),
        (b"\x80", 0),
        ("é".encode() + b"\xc3(", 2),
        (b"\xed\xa0\x80", 0),
        (b"\xf4\x90\x80\x80", 0),
        (b"a" * 70000 + b"\xc0\xaf", 70000),
        (b"abc \xe4\xb8", 4),
    ],
    ids=["no byte", "continuation", "interrupted", "surrogate", "beyond Unicode", "far on, overlong", "unfinished"],
)
@pytest.mark.parametrize("block", [1, 3, 100_000])
def test_wrong_bytes(data: bytes, place: int, block: int) -> None:
    """What is no UTF-8 is an InputError that names the byte, however it is cut; a stream that failed stays failed."""
    fed = Stream(made("uncased"), 8, 0)
    blocks = texts.blocks(data, range(0, len(data), block))
    with pytest.raises(InputError, match=f"byte {place} of the stream"):
        [fed.feed(each) for each in blocks] and fed.close()
    with pytest.raises(InputError, match=f"byte {place} of the stream"):
        fed.feed(b"more")
    with pytest.raises(InputError, match=f"byte {place} of the stream"):
        fed.close()


def test_closing() -> None:
    """Closing again gives nothing; feeding what is closed is an InputError; no text is no window."""
    fed = Stream(made("uncased"), 8, 0)
    assert len(fed.feed(b"turn") + fed.close()) == 1
    assert fed.close() == []
    with pytest.raises(InputError, match="closed"):
        fed.feed(b"off")
    assert Stream(made("uncased"), 8, 0).close() == []


@pytest.mark.parametrize("data", ["text", None, 3, [1, 2]])
def test_no_bytes(data: object) -> None:
    """Only bytes are fed, of any kind."""
    fed = Stream(made("uncased"), 8, 0)
    with pytest.raises(InputError, match="is fed bytes"):
        fed.feed(data)  # type: ignore[arg-type]
    assert fed.feed(bytearray(b"turn ")) == fed.feed(memoryview(b"off")) == []
    assert fed.close()[0].ids[1:-1] == made("uncased").pieces("turn off").ids


@pytest.mark.parametrize("letter", ["a", "ж", "한", "\u0958"])
def test_words_without_end(letter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word of a million letters is one unknown token, whose middle is not kept."""
    fed = Stream(made("uncased"), 16, 0)
    block = (letter * 1000).encode()
    windows = [window for data in [b"turn ", *[block] * 1000, b" off"] for window in fed.feed(data)] + fed.close()
    assert windows[0].span == (0, 5 + 1_000_000 + 4)
    assert windows[0].ids[2] == made("uncased").id("[UNK]")
    assert windows[0].offsets[2] == (5, 1_000_005)
    excerpt = str(windows[0].excerpt)
    assert re.fullmatch(f"turn {letter}+{GAP}{letter}+ off", excerpt)
    assert len(excerpt) <= 2 * MAX_KEPT


@pytest.mark.parametrize("filler", [" ", "\0", "\u0301", "\u200d", "\n \t"])
def test_nothing_without_end(filler: str) -> None:
    """A million characters that leave no token are between two tokens, and most are not kept."""
    fed = Stream(made("uncased"), 16, 0)
    block = (filler * 1000).encode()
    windows = [window for data in [b"turn ", *[block] * 1000, b"off"] for window in fed.feed(data)] + fed.close()
    end = 5 + len(filler) * 1_000_000 + 3
    assert [offset for offset in windows[0].offsets if offset] == [(0, 4), (end - 3, end)]
    assert len(str(windows[0].excerpt)) <= 2 * MAX_KEPT


def test_dropped_characters_inside_a_word() -> None:
    """Characters that the normaliser drops, however many, neither end a word nor count as its letters."""
    fed = Stream(made("uncased"), 16, 0)
    data = b"li" + b"\0" * 300_000 + b"ghts " + "kit\u0301".encode() + "\u0301".encode() * 300_000 + b"chen"
    windows = fed.feed(data) + fed.close()
    assert windows[0].ids[1:-1] == made("uncased").pieces("lights kitchen").ids
    assert windows[0].offsets[1:-1] == ((0, 300_006), (300_007, 600_015))


def test_too_many_marks() -> None:
    """A letter among thousands of combining marks in a row, which decide its place, is an InputError saying where."""
    fed = Stream(made("uncased"), 16, 0)
    with pytest.raises(InputError, match="combining marks in a row"):
        fed.feed(("a" + "\u0301" * (long_chunk.MAX_MARKS + 10) + "\u302e").encode())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": SPECIALS}, "more than the 2 special tokens"),
        ({"window": "8"}, "window must be"),
        ({"window": True}, "window must be"),
        ({"window": MAX_LENGTH + 1}, f"the model takes {MAX_LENGTH}"),
        ({"window": 8, "overlap": 6}, "overlap must be 0 to 5"),
        ({"window": 8, "overlap": -1}, "overlap must be"),
        ({"window": 8, "overlap": 1.0}, "overlap must be"),
        ({"question": ""}, "the text is empty"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str, assistant: Model) -> None:
    """Windows without room, overlaps as long as windows, and windows longer than the model takes are InputErrors."""
    with pytest.raises(InputError, match=message):
        assistant.stream(**arguments)  # type: ignore[arg-type]


def test_question_without_room(assistant: Model) -> None:
    """A question that fills the window is TooLong."""
    with pytest.raises(TooLong, match="leaves no room"):
        assistant.stream(window=6, question="turn off the")


def test_stream_of_a_model(models: Mapping[str, Path]) -> None:
    """A model's stream gives windows that the model runs, as long as it takes unless told otherwise."""
    with load(models["classification"]) as model:
        fed = model.stream()
        windows = fed.feed(b"turn off the kitchen lights " * 40) + fed.close()
        assert {len(window.ids) for window in windows[:-1]} == {MAX_LENGTH}
        assert isinstance(windows[0], Window)
        assert all(len(model.run(window.ids, window.types)) == 1 for window in windows)
        assert windows[0].ids == model.encode("turn off the kitchen lights " * 9 + "turn").ids
