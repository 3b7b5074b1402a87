"""The compact form where the vectors have no example."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import EdgeError, InputError, TooLong
from edge_runtime.serial_link import compact_replies, compact_requests, fields
from edge_runtime.serial_link.labels import NONE, Stale, Tables

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
number = st.integers(0, 0xFFFF)
small = st.integers(0, 0xFF)
optional: dict[str, st.SearchStrategy[Any]] = {
    "pair": text,
    "choices": st.lists(text, min_size=1, max_size=5),
    "top_k": small,
    "model": text,
    "deadline_ms": st.integers(0, 0xFFFFFFFF),
}
asked = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["ask", "understand", "classify", "tag", "answer", "embed", "fill", "choose"]),
        "text": text,
    },
    optional=optional,
)
opened = st.fixed_dictionaries(
    {"op": st.just("open"), "stream": small},
    optional={
        "task": st.sampled_from(["understand", "classify", "tag", "answer", "embed"]),
        "window": number,
        "overlap": number,
        "question": text,
        "events": st.booleans(),
        "top_k": small,
        "model": text,
    },
)


@given(st.one_of(asked, opened), st.integers(0, 3))
def test_requests_there_and_back(message: dict[str, Any], options: int) -> None:
    """What is written of a request is read as that request."""
    read = compact_requests.read(compact_requests.write(message, options))
    assert (read.op, read.message, read.options) == (message["op"], message, options)


@given(st.binary(max_size=80))
def test_requests_take_anything(body: bytes) -> None:
    """Whatever comes is a request, or an error that a client can be told."""
    with suppress(InputError):
        assert compact_requests.read(body).op in fields.CODES


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"\x55", "no operation 0x55"),
        (b"\x02\x01\x05\x00abc", "has 5 bytes and the message 3 more"),
        (b"\x02\x01", "three bytes"),
        (b"\x02" + fields.write(fields.TEXT, b"\xff"), "no UTF-8"),
        (b"\x03" + fields.write(fields.TOP_K, b"12345"), "1 to 4 bytes"),
        (b"\x03" + fields.write(fields.TOP_K, b""), "1 to 4 bytes"),
        (b"\x10", "needs its stream"),
        (b"\x11" + fields.number(fields.STREAM, 1, 1), "needs its data"),
        (b"\x10" + fields.number(fields.STREAM, 256, 2), "at most 255"),
        (b"\x10" + fields.number(fields.STREAM, 1, 1) + fields.number(fields.EVENTS, 2, 1), "0 or 1"),
        (b"\x10" + fields.number(fields.STREAM, 1, 1) + fields.number(fields.TASK, 0x10, 1), "no task 0x10"),
        (b"\x1a", "needs a table"),
    ],
)
def test_wrong_requests(body: bytes, said: str) -> None:
    """Each mistake has its own words."""
    with pytest.raises(InputError, match=said):
        compact_requests.read(body)


def test_unknown_fields_are_skipped() -> None:
    """A field of a later version of the document harms nothing."""
    body = b"\x02" + fields.write(0x3F, b"later") + fields.write(fields.TEXT, b"hi")
    assert compact_requests.read(body).message == {"op": "understand", "text": "hi"}


def test_numbers_of_any_width() -> None:
    """A number may have one to four bytes, whatever the tables say."""
    body = b"\x03" + fields.write(fields.TEXT, b"hi") + fields.write(fields.TOP_K, b"\x02\0\0\0")
    assert compact_requests.read(body).message["top_k"] == 2


def test_text_beyond_a_field() -> None:
    """A text that a field cannot carry is refused before it is sent."""
    with pytest.raises(TooLong, match="stream"):
        compact_requests.write({"op": "tag", "text": "x" * 65_536})
    with pytest.raises(InputError, match="reload"):
        compact_requests.write({"op": "reload"})


class TestLabels:
    """Names as numbers."""

    INFO: dict[str, Any] = {  # noqa: RUF012  read only
        "heads": {"score": "regression", "intent": "classification", "mood": "classification", "slots": "tagging"},
        "labels": {
            "intent": ["on", "off"],
            "mood": ["good", "bad"],
            "slots": ["O", "B-time", "I-time", "B-place", "I-place", "B-", "plain"],
        },
    }

    def test_tables(self) -> None:
        """Labels are those of the first classification head, types those of the tagging head, each once."""
        tables = Tables.of(self.INFO)
        assert tables.labels == ("on", "off") and tables.types == ("time", "place", "B-", "plain")
        assert (tables.label("off"), tables.label(None), tables.type("place")) == (1, NONE, 1)

    def test_no_such_heads(self) -> None:
        """A model without labels has empty tables."""
        tables = Tables.of({"heads": {"embedding": "embedding"}, "labels": {}})
        assert tables.labels == tables.types == ()

    def test_stale(self) -> None:
        """A label that the client cannot know is an error of its own, which has a number."""
        tables = Tables.of(self.INFO)
        result = {"intent": "new", "score": 1.0, "slots": []}
        with pytest.raises(Stale) as raised:
            compact_replies.reply("understand", {"result": result}, tables, compact_requests.NAMES)
        assert compact_replies.error(raised.value.code, "x", 99)[4] == 11

    @given(st.lists(st.text(max_size=30), max_size=80), st.integers(64, 400), number)
    def test_fetched_in_pieces(self, names: list[str], largest: int, beyond: int) -> None:
        """Asking on from what has come gives every name once, in messages of the client's size."""
        names = [name.encode("utf-8", "replace").decode() for name in names]
        found: list[str] = []
        while len(found) < len(names):
            body = compact_replies.labels(names, len(found), largest)
            got = [value.decode() for tag, value in fields.read(body) if tag == fields.NAME]
            assert got and (len(body) <= largest or len(got) == 1)
            found += got
        assert found == names
        last = list(fields.read(compact_replies.labels(names, len(names) + beyond, largest)))
        assert [tag for tag, _ in last] == [fields.FIRST, fields.COUNT]


@given(text, st.integers(40, 200))
def test_errors_fit(message: str, largest: int) -> None:
    """An error's text is cut between characters, so that the message is no longer than the client takes."""
    body = compact_replies.error("internal", message, largest)
    assert len(body) <= largest
    (_, code), (_, value) = fields.read(body)
    assert code == b"\x0a" and message.startswith(value.decode("utf-8"))


def test_scores() -> None:
    """Ten-thousandths, halves to the even one, never beyond sixteen bits."""
    assert [fields.score(value) for value in (0.0, 0.00004, 0.99986, 1.0, -1.0, 99.0)] == [
        0,
        0,
        9999,
        10_000,
        0,
        65_535,
    ]


def test_all_errors_have_numbers() -> None:
    """Every code that the server knows has a number in the compact form."""
    kinds = EdgeError.__subclasses__()
    codes = {kind.code for kind in [*kinds, *(each for kind in kinds for each in kind.__subclasses__())]}
    assert codes <= fields.ERRORS.keys()
