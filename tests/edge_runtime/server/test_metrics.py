"""Metrics: what is counted, and that Prometheus' own parser reads it back."""

from __future__ import annotations

import json
import math
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from edge_runtime.server.metrics import MAX_CHILDREN, MAX_LABEL_VALUE, OTHER, Registry, exposition

BUCKETS = (0.1, 1.0, 10.0)


def parsed(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counter() -> None:
    """A counter adds up by label values and is read back as a counter with its help."""
    registry = Registry()
    requests = registry.counter("edge_requests_total", "Requests.", ("op", "outcome"))
    requests.labels("classify", "ok").add()
    requests.labels("classify", "ok").add(2)
    requests.labels("tag", "deadline").add(0.5)
    text = exposition([registry.snapshot()])
    assert samples(text) == {
        ("edge_requests_total", (("op", "classify"), ("outcome", "ok"))): 3,
        ("edge_requests_total", (("op", "tag"), ("outcome", "deadline"))): 0.5,
    }
    family = parsed(text)["edge_requests"]
    assert (family.type, family.documentation) == ("counter", "Requests.")


def test_counter_never_falls() -> None:
    """A counter refuses negative numbers and NaN, and follows another's total only upwards."""
    counter = Registry().counter("edge_a_total", "A.").labels()
    for wrong in (-1, math.nan):
        with pytest.raises(ValueError, match="only grows"):
            counter.add(wrong)
    counter.follow(5)
    counter.follow(4)
    assert counter.read() == 5


def test_metric_without_labels_is_there_from_the_start() -> None:
    """A metric without labels is exposed as 0 before anything has happened."""
    registry = Registry()
    registry.counter("edge_a_total", "A.")
    registry.gauge("edge_b", "B.")
    registry.histogram("edge_c", "C.", BUCKETS)
    found = samples(exposition([registry.snapshot()]))
    assert set(found.values()) == {0} and len(found) == 2 + len(BUCKETS) + 1 + 2


def test_gauge_takes_any_number() -> None:
    """A gauge is set and moved, and infinities and NaN survive the text."""
    registry = Registry()
    gauge = registry.gauge("edge_g", "G.", ("which",))
    for value in (1.5, -3e-7, math.inf, -math.inf):
        gauge.labels(str(value)).set(value)
    gauge.labels("moved").add(2)
    gauge.labels("moved").add(-5)
    gauge.labels("nan").set(math.nan)
    found = {labels[0][1]: value for (_, labels), value in samples(exposition([registry.snapshot()])).items()}
    assert math.isnan(found.pop("nan"))
    assert found == {"1.5": 1.5, "-3e-07": -3e-7, "inf": math.inf, "-inf": -math.inf, "moved": -3}


def test_truth_values_are_numbers() -> None:
    """A gauge that is set to True or to NumPy's numbers is written as a plain number."""
    registry = Registry()
    gauge = registry.gauge("edge_g", "G.", ("which",))
    values: list[tuple[str, Any]] = [
        ("yes", True), ("no", False), ("float", np.float32(0.5)), ("double", np.float64(1e9)),
    ]  # fmt: skip
    for which, value in values:
        gauge.labels(which).set(value)
    found = {labels[0][1]: value for (_, labels), value in samples(exposition([registry.snapshot()])).items()}
    assert found == {"yes": 1, "no": 0, "float": 0.5, "double": 1e9}


def test_histogram_buckets_are_cumulative_and_closed_above() -> None:
    """An observation equal to a bound counts into its bucket; `_count` and the infinite bucket hold all of them."""
    registry = Registry()
    seconds = registry.histogram("edge_seconds", "Time.", BUCKETS, ("op",)).labels("tag")
    for value in (0.1, 0.5, 10.0, 11.0, math.nan, math.inf):
        seconds.observe(value)
    found = samples(exposition([registry.snapshot()]))
    assert {labels[0][1]: value for (name, labels), value in found.items() if name == "edge_seconds_bucket"} == {
        "0.1": 1,
        "1.0": 2,
        "10.0": 3,
        "+Inf": 4,
    }
    assert found["edge_seconds_count", (("op", "tag"),)] == 4
    assert found["edge_seconds_sum", (("op", "tag"),)] == pytest.approx(21.6)
    assert parsed(exposition([registry.snapshot()]))["edge_seconds"].type == "histogram"


@given(
    st.text(),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_LABEL_VALUE), min_size=1, unique=True),
)
def test_any_text_survives(help_text: str, values: list[str]) -> None:
    """Help texts and label values of any characters come back as they were, and disturb no other line."""
    registry = Registry()
    counter = registry.counter("edge_any_total", help_text, ("value",))
    for value in values:
        counter.labels(value).add()
    registry.gauge("edge_last", "Still there.").labels().set(7)
    text = exposition([registry.snapshot()])
    found = samples(text)
    assert found.pop(("edge_last", ())) == 7
    assert {labels[0][1] for _, labels in found} == set(values)
    text.encode("utf-8")


def test_children_are_bounded() -> None:
    """Beyond `MAX_CHILDREN` sets of label values all others share one, and long values are cut."""
    registry = Registry()
    counter = registry.counter("edge_hostile_total", "From a peer.", ("a", "b"))
    for number in range(2 * MAX_CHILDREN):
        counter.labels(str(number), "x" * 1000).add()
    children = registry.snapshot()[0]["children"]
    assert len(children) == MAX_CHILDREN
    assert {tuple(values): count for values, count in children}[OTHER, OTHER] == MAX_CHILDREN + 1
    assert max(len(value) for values, _ in children for value in values) == MAX_LABEL_VALUE
    counter.labels("0", "x" * 1000).add()
    assert registry.snapshot()[0]["children"][0][1] == 2


def test_snapshots_of_processes_are_added_up() -> None:
    """Counters, histograms and gauges of several processes add up, a gauge with merge="max" takes the largest; the
    snapshots travel as JSON.
    """
    snapshots = []
    for number in (1, 2, 3):
        registry = Registry()
        registry.counter("edge_a_total", "A.", ("op",)).labels("tag").add(number)
        registry.gauge("edge_b", "B.").labels().set(number)
        registry.gauge("edge_c", "C.", merge="max").labels().set(-number)
        histogram = registry.histogram("edge_d", "D.", BUCKETS)
        histogram.labels().observe(number)
        if number == 2:
            registry.counter("edge_e_total", "Only here.").labels().add(9)
        snapshots.append(json.loads(json.dumps(registry.snapshot())))
    found = samples(exposition(snapshots))
    assert found["edge_a_total", (("op", "tag"),)] == 6
    assert found["edge_b", ()] == 6
    assert found["edge_c", ()] == -1
    assert found["edge_d_sum", ()] == 6
    assert found["edge_d_bucket", (("le", "1.0"),)] == 1
    assert found["edge_d_count", ()] == 3
    assert found["edge_e_total", ()] == 9


def test_snapshots_that_disagree_are_refused() -> None:
    """Two processes that declare a metric differently cannot be added up."""
    one, other = Registry(), Registry()
    one.histogram("edge_d", "D.", (1.0,))
    other.histogram("edge_d", "D.", (2.0,))
    with pytest.raises(ValueError, match="edge_d is not the same"):
        exposition([one.snapshot(), other.snapshot()])


def test_exposition_leaves_the_snapshots_alone() -> None:
    """Merging changes none of the snapshots."""
    registry = Registry()
    registry.histogram("edge_d", "D.", (1.0,)).labels().observe(1)
    snapshot = registry.snapshot()
    before = json.dumps(snapshot)
    exposition([snapshot, snapshot])
    assert json.dumps(snapshot) == before


def test_names_are_checked() -> None:
    """Names that Prometheus would refuse, or that are taken, are refused when they are declared."""
    registry = Registry()
    registry.gauge("edge_b", "B.")
    with pytest.raises(ValueError, match="already"):
        registry.gauge("edge_b", "B.")
    with pytest.raises(ValueError, match="cannot be the name of a metric"):
        registry.gauge("edge b", "B.")
    with pytest.raises(ValueError, match="cannot be the name of a label"):
        registry.gauge("edge_c", "C.", ("__reserved",))
    with pytest.raises(ValueError, match="declared twice"):
        registry.gauge("edge_c", "C.", ("a", "a"))
    with pytest.raises(ValueError, match="_total"):
        registry.counter("edge_c", "C.")
    with pytest.raises(ValueError, match="label le"):
        registry.histogram("edge_c", "C.", (1.0,), ("le",))
    for buckets in ((), (2.0, 1.0), (1.0, 1.0), (1.0, math.inf)):
        with pytest.raises(ValueError, match="finite and rising"):
            registry.histogram("edge_c", "C.", buckets)
    with pytest.raises(ValueError, match="2 values were given"):
        registry.counter("edge_d_total", "D.", ("a",)).labels("x", "y")


def test_threads_lose_nothing() -> None:
    """Counting from several threads at once loses no event."""
    registry = Registry()
    counter = registry.counter("edge_a_total", "A.", ("thread",))
    histogram = registry.histogram("edge_b", "B.", (0.5,)).labels()
    rounds, threads = 5000, 4

    def work(number: int) -> None:
        for turn in range(rounds):
            counter.labels("shared").add()
            counter.labels(str((number, turn % 100))).add()
            histogram.observe(turn % 2)

    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert counter.labels("shared").read() == rounds * threads
    assert sum(value for _, value in registry.snapshot()[0]["children"]) == 2 * rounds * threads
    assert histogram.read() == {"counts": [rounds * threads // 2] * 2, "sum": rounds * threads / 2}
