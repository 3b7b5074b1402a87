"""What a real server says of itself, read as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.serve.server import Server, request
from tests.serve.wire import Wire


@pytest.fixture
def wire(short_path: Path) -> Iterator[Wire]:
    """A connection to a server that nobody else asks."""
    with Server(short_path) as server, server.connect() as connected:
        yield connected


def samples(text: str) -> dict[str, float]:
    """Values by name and labels, as `name{label=value,…}`."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, f"{family.name} has no help"
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}"
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def counted(text: str) -> set[str]:
    """The counters and histograms that there are; gauges appear when the server first looks at what they show."""
    return {key for key in samples(text) if "_total{" in key or "_seconds_" in key}


def test_metrics_count_what_was_asked(wire: Wire) -> None:
    """Requests, refusals, windows and connections are counted, each once, and all of it can be parsed."""
    before = samples(request(wire, "metrics"))
    for number in range(5):
        assert "result" in wire.ask({"id": number, "op": "understand", "text": "play some jazz"})
    assert "error" in wire.ask({"id": 5, "op": "embed", "text": "play some jazz"})
    assert "error" in wire.ask({"id": 6, "op": "sing"})
    request(wire, "open", stream="s", task="classify", window=8, events=False)
    request(wire, "feed", stream="s", text="turn off the kitchen lights " * 10)
    windows = request(wire, "close", stream="s")["windows"]
    after = samples(request(wire, "metrics"))
    asked = "edge_requests_total{model=assistant,op=understand,outcome=ok}"
    assert after[asked] - before.get(asked, 0) == 5
    assert after["edge_request_seconds_count{model=assistant}"] == after["edge_infer_seconds_count{model=assistant}"]
    assert 0 < after["edge_infer_seconds_sum{model=assistant}"] < after["edge_request_seconds_sum{model=assistant}"]
    refused = [
        value for key, value in after.items() if key.startswith("edge_requests_total") and "outcome=ok" not in key
    ]
    assert sum(refused) == 2
    assert after["edge_windows_total{model=assistant}"] == windows > 1
    assert after["edge_connections{}"] == 1
    assert after["edge_streams{}"] == 0
    assert after["edge_state{state=ready}"] == 1
    assert after["edge_private_memory_bytes{}"] > 1e6
    assert after["process_cpu_seconds_total{}"] >= before["process_cpu_seconds_total{}"] > 0


def test_metrics_do_not_grow_with_what_peers_send(wire: Wire) -> None:
    """No name that a peer makes up becomes a label."""
    for number in range(3):
        wire.ask({"id": number, "op": "understand", "text": "play some jazz"})
        wire.ask({"id": number, "op": "sing", "model": "x"})
        wire.ask({"id": number, "op": "ask", "text": "x", "model": "x"})
    before = counted(request(wire, "metrics"))
    for number in range(300):
        wire.ask({"id": f"made up {number}", "op": f"made up {number}", "model": f"made up {number}"})
        wire.ask({"id": f"made up {number}", "op": "ask", "text": "x", "model": f"made up {number}"})
    text = request(wire, "metrics")
    assert counted(text) == before
    assert "made up" not in text
