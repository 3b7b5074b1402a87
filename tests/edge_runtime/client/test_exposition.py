"""The Prometheus text format, read back as the server writes it."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.client.exposition import Buckets, histograms, parse, single, total
from edge_runtime.server.metrics import Registry, exposition

BOUNDS = (0.001, 0.01, 0.1, 1.0)


@settings(max_examples=200)
@given(st.dictionaries(st.text(max_size=20).filter(lambda text: text.isprintable()), st.integers(0, 10**9), max_size=8))
def test_labels_come_back(values: dict[str, int]) -> None:
    """Whatever a label's value holds, it is read as it was written."""
    registry = Registry()
    counter = registry.counter("edge_requests_total", "Requests, \\ and more.", ("model", "op"))
    for name, value in values.items():
        counter.labels(name, 'q"\\\n').add(value)
    samples = parse(exposition([registry.snapshot()])).get("edge_requests_total", [])
    assert {sample.labels["model"]: sample.value for sample in samples} == values
    assert all(sample.labels["op"] == 'q"\\\n' for sample in samples)


@settings(max_examples=200)
@given(st.lists(st.floats(0, 2, allow_nan=False), min_size=1, max_size=50), st.floats(0.01, 1))
def test_quantile(values: list[float], share: float) -> None:
    """An estimated quantile lies in the bucket of the true one, and above all bounds it is the highest of them."""
    registry = Registry()
    histogram = registry.histogram("edge_request_seconds", "Latency.", BOUNDS, ("model",)).labels("m")
    for value in values:
        histogram.observe(value)
    found = histograms(parse(exposition([registry.snapshot()])), "edge_request_seconds", "model")["m"]
    assert found.count == len(values)
    assert math.isclose(found.sum, sum(values), abs_tol=1e-9)
    true = sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
    estimate = found.quantile(share)
    assert estimate is not None
    edges = (0.0, *BOUNDS, math.inf)
    low, high = next((low, high) for low, high in pairwise(edges) if true <= high)
    assert low <= estimate <= min(high, BOUNDS[-1]) * (1 + 1e-9)


def test_since() -> None:
    """Two readings give what was observed between them; a histogram that shrank belongs to a server started anew."""
    before = Buckets((1.0, math.inf), (2.0, 3.0), 4.0)
    now = Buckets((1.0, math.inf), (5.0, 7.0), 9.0)
    assert now.since(before) == Buckets((1.0, math.inf), (3.0, 4.0), 5.0)
    assert before.since(now) == before
    assert now.since(None) == now
    assert now.since(now).quantile(0.5) is None
    assert now.since(now).mean is None


def test_what_is_no_sample() -> None:
    """Comments, and lines whose labels or values cannot be read, are left out; labels and times are not needed."""
    text = '# HELP a b\n\na 1\na{x="1"} 2 1700000000\nb{le="+Inf"} +Inf\nnonsense\na{x=1} 3\nc{y="} 4\nd many\n'
    samples = parse(text)
    assert total(samples, "a", "x") == {"": 1.0, "1": 2.0}
    assert single(samples, "a") == 3.0
    assert single(samples, "b") == math.inf
    assert (single(samples, "c"), single(samples, "d"), single(samples, "none")) == (None, None, None)


@settings(max_examples=200)
@given(st.text(alphabet='abc_{}="\\, 1.e+#\n', max_size=200))
def test_any_text(text: str) -> None:
    """Whatever a server sends, it is read without an error."""
    for name, samples in parse(text).items():
        assert samples
        histograms(parse(text), name.removesuffix("_bucket"), "a")


@pytest.mark.parametrize("length", [10, 1000, 100_000])
def test_long_lines(length: int) -> None:
    """A line that is nearly a sample costs time in proportion to its length, not to its square."""
    assert parse("a{" + 'x="",' * length + "\n") == {}
    assert parse('a{x="' + "\\\\" * length + "\n") == {}
