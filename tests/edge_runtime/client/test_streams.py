"""Streams of both clients, against the same text read in process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import AsyncClient, Client, ConnectionLost, InputError, Model, NoSuchHead, Overloaded, WindowResult
from edge_runtime.client.streams import pieces
from edge_runtime.protocol.limits import Limits
from tests.edge_runtime.client.conftest import PATIENT
from tests.edge_runtime.client.driver import Driver
from tests.serve.server import Server

TEXT = "turn off the kitchen lights and play é 中国 in paris; " * 30


def read_in_process(model: Model, text: str, **options: Any) -> tuple[list[WindowResult], Any]:
    """Windows and result of a text that is read in one piece."""
    reader = model.read_stream(**options)
    windows = [reader.run(window) for window in reader.feed(text.encode())]
    windows += [reader.run(window) for window in reader.close()]
    return windows, reader.result()


def same(found: Sequence[WindowResult], expected: Sequence[WindowResult]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.index, one.start, one.end, one.tokens) == (other.index, other.start, other.end, other.tokens)
        np.testing.assert_equal(one.result, other.result)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("assistant", {"task": "understand", "window": 16, "overlap": 4}),
        ("assistant", {"task": "tag"}),
        ("classification", {"task": "classify", "top_k": 2}),
        ("answer", {"task": "answer", "question": "where", "window": 24}),
        ("embedding", {"task": "embed", "window": 32}),
    ],
)
def test_same_as_in_process(
    model: str, options: Mapping[str, Any], driver: Driver, in_process: Mapping[str, Model]
) -> None:
    """Windows and final result are those of the model's own reader, wherever the bytes were cut."""
    data = TEXT.encode()
    cut = [data[start:end] for start, end in pairwise([0, 1, 44, 45, 46, 900, len(data)])]
    windows, final, reading = driver.read(cut, model=model, **options)
    expected, result = read_in_process(in_process[model], TEXT, **options)
    same(windows, expected)
    np.testing.assert_equal(final, result)
    assert (reading.windows, reading.characters, reading.truncated) == (len(expected), len(TEXT), False)
    assert (reading.model, reading.task) == (model, options["task"])


def test_large_input_in_one_piece(driver: Driver, in_process: Mapping[str, Model]) -> None:
    """What is longer than a message takes is cut up, as string and as bytes alike."""
    text = TEXT * 45
    expected, result = read_in_process(in_process["tags"], text, task="tag")
    for whole in (text, text.encode()):
        assert len(list(pieces(whole, Limits()))) > 1
        windows, final, reading = driver.read([whole], model="tags", task="tag")
        same(windows, expected)
        assert final == result
        assert reading.characters == len(text)


@settings(max_examples=200)
@given(
    st.one_of(st.text(max_size=300), st.binary(max_size=300)),
    st.integers(1, 40),
    st.integers(300, 600),
)
def test_pieces(data: str | bytes, feed_bytes: int, line_bytes: int) -> None:
    """Put together, the pieces are the text again; none is larger than a feed, and no line than a line."""
    from base64 import b64decode

    from edge_runtime.client.messages import request

    limits = Limits(feed_bytes=max(4, feed_bytes), line_bytes=line_bytes)
    found = list(pieces(data, limits))
    for piece in found:
        request(2**53 - 1, "feed", {"stream": 2**53 - 1, **piece}, limits)
    if isinstance(data, str):
        assert "".join(piece["text"] for piece in found) == data
        assert all(0 < len(piece["text"].encode()) <= limits.feed_bytes for piece in found)
    else:
        decoded = [b64decode(piece["base64"]) for piece in found]
        assert b"".join(decoded) == data
        assert all(0 < len(piece) <= limits.feed_bytes for piece in decoded)


def test_windows_come_while_the_text_does(client: Client) -> None:
    """A feed returns what was found in the windows that it filled; empty ones fill none."""
    with client.stream("tag", window=16) as stream:
        assert stream.feed("") == []
        assert [found.index for found in stream.feed("turn off the kitchen lights " * 6)][:2] == [0, 1]
        assert stream.reading.windows >= 2
        stream.close()


def test_nothing_was_fed(driver: Driver) -> None:
    """A stream that was fed nothing has no result: the server says that the text is empty."""
    with pytest.raises(InputError, match="empty"):
        driver.read([])


@pytest.mark.parametrize("data", [5, None, "half \ud83d", ["text"]])
def test_feeding_something_else(data: Any, client: Client) -> None:
    """What is neither text nor bytes is refused, and the stream goes on."""
    with client.stream("tag") as stream:
        with pytest.raises(InputError):
            stream.feed(data)
        stream.feed("turn off the lights")
        assert stream.close() == client.tag("turn off the lights")


def test_no_utf8(driver: Driver) -> None:
    """Bytes that are no UTF-8 end the stream, or are replaced, as they are in process; the client goes on."""
    with pytest.raises(InputError, match="UTF-8"):
        driver.read([b"turn \xff off"], task="tag")
    assert driver.call("tag", "turn off the lights") is not None


def test_leaving_the_block_closes(client: Client) -> None:
    """Leaving a stream's block closes it; its result is then in `reading.final`."""
    with client.stream("tag") as stream:
        stream.feed("turn off the kitchen lights")
    assert stream.reading.final == client.tag("turn off the kitchen lights")
    with pytest.raises(InputError, match="closed"):
        stream.feed("more")


def test_error_in_the_block_cancels(client: Client) -> None:
    """An error in a stream's block takes the stream back, so that it does not count at the server any more."""
    limit = client.hello()["limits"]["streams"]
    for _ in range(2 * limit):
        with pytest.raises(ZeroDivisionError), client.stream("tag") as stream:
            1 / len(stream.feed("turn off"))
        assert stream.reading.final is None


def test_too_many(client: Client) -> None:
    """More streams than a connection may have open are refused, and those that are open go on."""
    limit = client.hello()["limits"]["streams"]
    streams = [client.stream("tag") for _ in range(limit)]
    with pytest.raises(Overloaded):
        client.stream("tag")
    for number, stream in enumerate(streams):
        stream.feed(f"turn off light {number}")
    for number, stream in enumerate(streams):
        assert stream.close() == client.tag(f"turn off light {number}")


def test_calls_between_feeds(client: Client) -> None:
    """Other calls go through between the feeds of a stream, on the same connection."""
    with client.stream("tag", window=16) as stream:
        windows = []
        for number in range(20):
            windows += stream.feed(f"turn on light {number} ")
            assert client.understand("play in paris").score > 0
        final = stream.close()
    text = "".join(f"turn on light {number} " for number in range(20))
    assert len(windows) + len(stream.rest) == stream.reading.windows
    assert all(entity.text == text[entity.start : entity.end] for entity in final)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"task": "sing"}, InputError),
        ({"task": "answer", "model": "answer"}, InputError),
        ({"task": "answer", "question": "who"}, NoSuchHead),
        ({"window": 1}, InputError),
        ({"window": 100_000}, InputError),
    ],
)
def test_not_opened(options: Mapping[str, Any], error: type[Exception], driver: Driver) -> None:
    """What a reader in process refuses is refused when the stream is opened."""
    with pytest.raises(error):
        driver.read(["text"], **options)


def test_ends_with_its_connection(short_path: Path) -> None:
    """A stream whose connection is gone says so; another one begins on a new connection."""
    with Server(short_path, *PATIENT) as server, Client(server.url, timeout=60.0) as client:
        stream = client.stream("tag")
        server.kill()
        server.start()
        client.health()
        with pytest.raises(ConnectionLost, match="stream ended"):
            stream.feed("text")
        with client.stream("tag") as another:
            another.feed("turn off the lights")


def test_concurrent_streams(server: Server, in_process: Mapping[str, Model]) -> None:
    """Several streams and calls at a time on one connection do not mix."""
    texts = [f"turn on light {number} in the kitchen " * 20 for number in range(8)]

    async def read(client: AsyncClient, text: str) -> Any:
        async with client.stream("tag", window=16, overlap=4) as stream:
            for start in range(0, len(text), 50):
                await stream.feed(text[start : start + 50])
                await client.understand("play in paris")
            return await stream.close()

    async def run() -> list[Any]:
        async with AsyncClient(server.url, timeout=60.0) as client:
            return await asyncio.gather(*(read(client, text) for text in texts))

    found = asyncio.run(run())
    for text, final in zip(texts, found, strict=True):
        assert final == read_in_process(in_process["assistant"], text, task="tag", window=16, overlap=4)[1]


def test_cancelled_feed(server: Server) -> None:
    """Cancelling a task that feeds gives its stream up; the client goes on."""

    async def run() -> None:
        async with AsyncClient(server.url, timeout=60.0) as client:
            async with client.stream("tag", window=16) as stream:
                feeding = asyncio.create_task(stream.feed(TEXT * 100))
                await client.health()
                feeding.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await feeding
                with pytest.raises(InputError, match="not open"):
                    await stream.feed("more")
            assert (await client.understand("play in paris")).score > 0

    asyncio.run(run())
