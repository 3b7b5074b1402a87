"""What is asked of a server, with both clients, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edge_runtime import InputError, Model, NoSuchHead, TooLong, UnknownModel
from tests.edge_runtime.client.conftest import SERVED
from tests.edge_runtime.client.driver import Driver

TEXT = "turn off the kitchen lights"
QUESTIONS: list[tuple[str, str, tuple[Any, ...]]] = [
    ("assistant", "understand", (TEXT,)),
    ("assistant", "understand", ("play é 中国 in paris",)),
    ("assistant", "classify", (TEXT,)),
    ("assistant", "tag", ("play in paris and berlin",)),
    ("classification", "classify", (TEXT, "play", 2)),
    ("tags", "tag", (TEXT,)),
    ("answer", "answer", ("where", TEXT)),
    ("fill", "fill", ("turn [MASK] the lights",)),
    ("fill", "fill", ("turn [MASK] the lights", 2)),
    ("choice", "choose", ("turn", ["on", "off", "paris"])),
    ("embedding", "embed", (TEXT,)),
]


@pytest.mark.parametrize(("model", "method", "arguments"), QUESTIONS)
def test_same_as_in_process(
    model: str, method: str, arguments: tuple[Any, ...], driver: Driver, in_process: Mapping[str, Model]
) -> None:
    """A client's method returns what the model's method returns in process, bit for bit."""
    found = driver.call(method, *arguments, model=model)
    expected = getattr(in_process[model], method)(*arguments)
    if method == "embed":
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


def test_first_model_is_asked(driver: Driver, in_process: Mapping[str, Model]) -> None:
    """A call that names no model asks the first one that the server was started with."""
    assert driver.call("understand", TEXT) == in_process["assistant"].understand(TEXT)


@pytest.mark.parametrize(
    ("model", "method", "fields"),
    [
        ("assistant", "understand", {}),
        ("classification", "classify", {"pair": "play"}),
        ("tags", "tag", {}),
        ("answer", "answer", {"pair": TEXT}),
        ("choice", "choose", {"choices": ["on", "off"]}),
    ],
)
def test_ask(
    model: str, method: str, fields: Mapping[str, Any], driver: Driver, in_process: Mapping[str, Model]
) -> None:
    """`ask` does what the model is for."""
    expected = getattr(in_process[model], method)("turn", *fields.values())
    assert driver.call("ask", "turn", **fields, model=model) == expected


def test_batch(driver: Driver, in_process: Mapping[str, Model]) -> None:
    """Results come in the order of the requests, of several models, and an error stands where its request stood."""
    found = driver.call(
        "batch",
        [
            {"op": "understand", "text": TEXT},
            {"op": "answer", "text": "where", "pair": TEXT},
            {"op": "answer", "text": "where", "pair": TEXT, "model": "answer"},
            {"op": "sing", "text": TEXT},
            {"op": "tag", "text": TEXT, "model": "nobody"},
            {"op": "ask", "text": TEXT, "model": "tags"},
            {"op": "tag", "text": "a" * 300_000},
        ],
    )
    assert found[0] == in_process["assistant"].understand(TEXT)
    assert isinstance(found[1], NoSuchHead)
    assert found[2] == in_process["answer"].answer("where", TEXT)
    assert isinstance(found[3], InputError)
    assert isinstance(found[4], UnknownModel)
    assert found[5] == in_process["tags"].tag(TEXT)
    assert isinstance(found[6], TooLong)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
def test_batch_of_any_size(count: int, driver: Driver, in_process: Mapping[str, Model]) -> None:
    """More requests than one message takes are sent in several, and answered in order."""
    texts = [f"turn on light {number}" for number in range(count)]
    found = driver.call("batch", [{"op": "understand", "text": text} for text in texts], deadline_ms=60_000)
    assert found == [in_process["assistant"].understand(text) for text in texts]


@pytest.mark.parametrize(
    "requests", ["text", [1], [{"op": "tag", "text": b"bytes"}], [{"op": "tag", "text": "\ud800"}]]
)
def test_batch_that_cannot_be_sent(requests: Any, driver: Driver) -> None:
    """What is no list of requests, or what JSON cannot carry, is refused before anything is sent."""
    with pytest.raises(InputError):
        driver.call("batch", requests)


@pytest.mark.parametrize(
    ("method", "arguments", "options", "error"),
    [
        ("understand", (" ",), {}, InputError),
        ("understand", (5,), {}, InputError),
        ("understand", (b"bytes",), {}, InputError),
        ("understand", ("half \ud83d",), {}, InputError),
        ("understand", (TEXT * 20,), {}, TooLong),
        ("understand", ("a" * 300_000,), {}, TooLong),
        ("understand", (TEXT,), {"model": "nobody"}, UnknownModel),
        ("understand", (TEXT,), {"deadline_ms": 0}, InputError),
        ("understand", (TEXT,), {"deadline_ms": float("nan")}, InputError),
        ("classify", (TEXT, None, 0), {}, InputError),
        ("choose", (TEXT, []), {"model": "choice"}, InputError),
        ("answer", ("who", "ada"), {}, NoSuchHead),
        ("info", ("nobody",), {}, UnknownModel),
        ("request", ("sing",), {}, InputError),
    ],
)
def test_errors(
    method: str, arguments: tuple[Any, ...], options: Mapping[str, Any], error: type[Exception], driver: Driver
) -> None:
    """A refusal is the exception that a model in process raises, and the client goes on."""
    with pytest.raises(error) as raised:
        driver.call(method, *arguments, **options)
    assert type(raised.value) is error
    assert str(raised.value)
    assert driver.call("understand", TEXT).score > 0


def test_timing(driver: Driver) -> None:
    """The times of the last text operation are there after it."""
    driver.call("ask", TEXT)
    assert driver.timing is not None
    assert min(driver.timing.queue, driver.timing.tokenise, driver.timing.infer) >= 0


def test_who_is_there(driver: Driver, in_process: Mapping[str, Model]) -> None:
    """hello, info, health and metrics tell of the server and its models."""
    hello = driver.call("hello")
    assert [model["name"] for model in hello["models"]] == list(SERVED)
    assert hello["limits"]["feed_bytes"] > 0
    info = driver.call("info", "tags")
    assert info["digest"] == in_process["tags"].info.digest
    assert driver.call("info")["name"] == "assistant"
    assert driver.call("health")["state"] in ("ready", "degraded")
    assert "edge_requests_total" in driver.call("metrics")


def test_reload(driver: Driver, in_process: Mapping[str, Model]) -> None:
    """The user that the server runs as may have a model's file read again."""
    digest = in_process["tags"].info.digest
    assert driver.call("reload", "tags") == [{"model": "tags", "digest": digest, "previous": digest}]


def test_any_operation(driver: Driver) -> None:
    """`request` sends any operation and gives the whole reply."""
    reply = driver.call("request", "ask", text=TEXT)
    assert (reply["model"], reply["task"], set(reply["result"])) == (
        "assistant",
        "understand",
        {"intent", "score", "slots"},
    )
