"""What a line may be, and what is said of one that is wrong."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import InputError, TooLong
from edge_runtime.protocol.limits import Limits
from edge_runtime.protocol.requests import (
    Ask,
    Batch,
    Cancel,
    Envelope,
    Feed,
    Hello,
    Open,
    Request,
    open_envelope,
    parse,
)

LIMITS = Limits()


def read(message: Any) -> Request:
    envelope = open_envelope(json.dumps(message).encode(), LIMITS)
    assert isinstance(envelope, Envelope), envelope
    return parse(envelope, LIMITS)


def refused(line: bytes) -> tuple[Any, str]:
    """Id and reason."""
    found = open_envelope(line, LIMITS)
    if isinstance(found, Envelope):
        with pytest.raises(InputError) as caught:
            parse(found, LIMITS)
        return found.id, str(caught.value)
    return found[0], str(found[1])


def test_text_operation() -> None:
    """Every field of a text operation arrives; null counts as left out."""
    given = {"id": 1, "op": "classify", "text": "a", "pair": "b", "top_k": 2, "model": None, "choices": None, "more": 1}
    assert read(given) == Ask("classify", None, "a", "b", None, 2)


def test_deadline() -> None:
    """A deadline is the request's own or the default."""
    for message, deadline in (({"deadline_ms": 7.5}, 7.5), ({"deadline_ms": None}, 2000), ({}, 2000)):
        envelope = open_envelope(json.dumps({"id": 1, "op": "tag"} | message).encode(), LIMITS)
        assert isinstance(envelope, Envelope)
        assert envelope.deadline_ms == deadline


@pytest.mark.parametrize(
    ("line", "request_id", "reason"),
    [
        (b"", None, "no JSON"),
        (b"\xff", None, "no UTF-8"),
        (b"\x00", None, "no JSON"),
        (b"[1]", None, "not a list"),
        (b'"x"', None, "not a string"),
        (b"{}", None, '"id" must be an integer or a string, not missing'),
        (b'{"id":true,"op":"tag"}', None, "a boolean"),
        (b'{"id":1.0,"op":"tag"}', None, "a number"),
        (b'{"id":-1,"op":"tag"}', None, "from 0 to"),
        (b'{"id":9007199254740992,"op":"tag"}', None, "from 0 to"),
        (b'{"id":"","op":"tag"}', None, "0 characters"),
        (b'{"id":"' + b"x" * 65 + b'","op":"tag"}', None, "65 characters"),
        (b'{"id":1}', 1, '"op" must be a string, not missing'),
        (b'{"id":1,"op":7}', 1, '"op" must be a string, not a number'),
        (b'{"id":1,"op":"sing"}', 1, 'no operation "sing"'),
        (b'{"id":1,"op":"tag"}', 1, '"text" must be a string, not missing'),
        (b'{"id":1,"op":"tag","text":["x"]}', 1, "not a list"),
        (b'{"id":1,"op":"tag","text":"x","deadline_ms":0}', 1, '"deadline_ms"'),
        (b'{"id":1,"op":"tag","text":"x","deadline_ms":60001}', 1, '"deadline_ms"'),
        (b'{"id":1,"op":"tag","text":"x","deadline_ms":"1"}', 1, '"deadline_ms"'),
        (b'{"id":1,"op":"tag","text":"x","deadline_ms":NaN}', None, "NaN"),
        (b'{"id":1,"op":"tag","text":"x","deadline_ms":1e999}', None, "too large"),
        (b'{"id":1,"op":"tag","text":"x","deadline_ms":' + b"9" * 5000 + b"}", None, "too long"),
        (b'{"id":1,"op":"classify","text":"x","top_k":0}', 1, "from 1 to 100"),
        (b'{"id":1,"op":"classify","text":"x","top_k":101}', 1, "from 1 to 100"),
        (b'{"id":1,"op":"classify","text":"x","top_k":true}', 1, "not a boolean"),
        (b'{"id":1,"op":"choose","text":"x","choices":[1]}', 1, "list of strings"),
        (b'{"id":1,"op":"choose","text":"x","choices":' + json.dumps(["a"] * 65).encode() + b"}", 1, "at most 64"),
        (b'{"id":1,"op":"batch"}', 1, '"requests"'),
        (b'{"id":1,"op":"batch","requests":[]}', 1, "1 to 64"),
        (b'{"id":1,"op":"cancel"}', 1, "either"),
        (b'{"id":1,"op":"cancel","request":1,"stream":2}', 1, "either"),
        (b'{"id":1,"op":"hello","protocol":2}', 1, "version 1"),
        (b'{"id":1,"op":"open"}', 1, '"stream"'),
        (b'{"id":1,"op":"open","stream":1,"task":"fill"}', 1, "task"),
        (b'{"id":1,"op":"open","stream":1,"window":0}', 1, '"window"'),
        (b'{"id":1,"op":"open","stream":1,"events":1}', 1, '"events"'),
        (b'{"id":1,"op":"feed","stream":1}', 1, "either"),
        (b'{"id":1,"op":"feed","stream":1,"text":"a","base64":"YQ=="}', 1, "either"),
        (b'{"id":1,"op":"feed","stream":1,"base64":"Y"}', 1, "base64"),
        (b'{"id":1,"op":"feed","stream":1,"base64":"Y\xc3\xa9=="}', 1, "base64"),
        (b'{"id":1,"op":"feed","stream":1,"text":"\\ud83d"}', 1, "surrogate"),
        (b'{"id":1,"op":"feed","text":"a"}', 1, '"stream"'),
        (b'{"id":1,"op":"close"}', 1, '"stream"'),
        (b"[" * 100_000, None, "nested too deeply"),
        (b'{"a":' * 100_000, None, "nested too deeply"),
    ],
)
def test_refusals(line: bytes, request_id: Any, reason: str) -> None:
    """A wrong message is refused by id where it has one, with what is wrong."""
    found, text = refused(line)
    assert found == request_id
    assert reason in text


def test_feed_is_bounded() -> None:
    """More bytes than a feed may have are `too_long`, however few characters they are."""
    assert read({"id": 1, "op": "feed", "stream": "s", "text": "é" * 32768}) == Feed("s", "é".encode() * 32768)
    with pytest.raises(TooLong, match="65538 bytes"):
        read({"id": 1, "op": "feed", "stream": "s", "text": "é" * 32769})


def test_batch_keeps_wrong_entries_apart() -> None:
    """A wrong entry of a batch is an error in its place."""
    entries = [{"op": "tag", "text": "a"}, 7, {"op": "batch"}, {"op": "tag", "text": "a", "id": 3}, {"text": "a"}]
    batch = read({"id": 1, "op": "batch", "requests": entries})
    assert isinstance(batch, Batch)
    assert isinstance(batch.requests[0], Ask)
    reasons = [str(each) for each in batch.requests[1:]]
    assert ["not a number" in reasons[0], "is none" in reasons[1], "belongs" in reasons[2], '"op"' in reasons[3]] == [
        True
    ] * 4


def test_a_batch_is_in_order_of_length() -> None:
    """By spaces, then by letters, in all texts of an entry together; wrong entries first; each with its place."""
    entries = [
        {"op": "answer", "text": "who", "pair": "a b c d"},
        {"op": "tag", "text": "turn it all off"},
        {"op": "tag", "text": "turn it off"},
        {"op": "tag", "text": "put it off"},
        7,
        {"op": "tag", "text": "stop"},
        {"op": "tag", "text": "halt"},
    ]
    batch = read({"id": 1, "op": "batch", "requests": entries})
    assert isinstance(batch, Batch)
    ordered = batch.in_order_of_length()
    assert [place for place, _ in ordered] == [4, 5, 6, 3, 2, 0, 1]
    assert all(entry is batch.requests[place] for place, entry in ordered)


def test_other_messages() -> None:
    """Fields of the other messages, with their defaults."""
    assert read({"id": 1, "op": "hello"}) == Hello(None)
    assert read({"id": 1, "op": "cancel", "stream": "s"}) == Cancel(None, "s")
    assert read({"id": 1, "op": "open", "stream": 5}) == Open(5, None, None, None, None, None, None, events=True)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from(["id", "op", "text", "pair", "choices", "top_k", "stream", "requests", "base64", "window"]),
    st.sampled_from(["ask", "batch", "open", "feed", "close", "cancel", "hello", "info", "reload", "health"]),
)
def test_nothing_but_input_errors(value: Any, field: str, op: str) -> None:
    """Whatever stands in a field, the message is read or refused, never anything else."""
    message = {"id": 1, "op": op, "text": "x", "stream": "s", "request": 1} | {field: value}
    found = open_envelope(json.dumps(message).encode("utf-8", "surrogatepass"), LIMITS)
    if isinstance(found, Envelope):
        with suppress(InputError):
            parse(found, LIMITS)
