"""The suite of peers: its statistics, what it makes of results, and that the document is true."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.peers import document
from tests.peers.suite import fit, plots, report, tables, texts, turns
from tests.peers.suite.results import DOCUMENT, RESULTS, Results
from tests.peers.suite.roster import OURS, PEERS, REFERENCE, select
from tests.peers.suite.turns import Worker, WorkerError, compare, spread
from tests.peers.suite.worker import take

PEER = "ONNX Runtime float32"


def test_spread_is_of_the_rounds() -> None:
    """A spread is the median with the 10th and 90th percentile."""
    found = spread([float(value) for value in range(11)])
    assert (found.middle, found.low, found.high) == (5, 1, 9)


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that is ten times as slow for a round leaves the ratio as it is."""
    found = compare({OURS: [1, 10, 1], PEER: [2, 20, 2]})
    assert found[PEER][0] == 2
    assert (found[PEER][1].low, found[PEER][1].middle, found[PEER][1].high) == (0.5, 0.5, 0.5)


def test_a_peer_that_crashes_is_told_of_by_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended the process stands behind the last that it said."""
    crash = tmp_path / "crash.py"
    crash.write_text(
        "import os, sys; sys.stderr.write('about to multiply'); sys.stderr.flush(); os.kill(os.getpid(), 4)"
    )
    monkeypatch.setattr(turns, "WORKER", crash)
    with pytest.raises(WorkerError, match=f"{PEER}: about to multiply / ended by SIGILL"):
        Worker(select([PEER])[1], tmp_path, 1, tmp_path)


def test_a_turn_leaves_out_what_is_not_counted() -> None:
    """A worker runs every request in every pass, and gives a time for each pass that counts: at least one."""
    runs: list[list[list[int]]] = []
    found = take(runs.append, [[[1]], [[2]]], settle=0, count=0)
    assert {name: len(times) for name, times in found.items()} == {"ms": 1, "cpu_ms": 1}
    assert runs == [[[1]], [[2]]]
    runs.clear()
    found = take(runs.append, [[[1]], [[2]]], settle=0.01, count=0.01)
    passes, counted = len(runs) // 2, len(found["ms"])
    assert runs == [[[1]], [[2]]] * passes
    assert passes > counted > 1


def test_ours_is_among_those_selected() -> None:
    """Whoever is named, ours comes along and first, and a name that nobody has is an error."""
    assert [peer.name for peer in select([PEER])] == [OURS, PEER]
    assert select([]) == list(PEERS)
    with pytest.raises(ValueError, match="no peer nobody"):
        select(["nobody"])


def test_each_network_has_a_reference() -> None:
    """Every peer's network has one peer that computes it in PyTorch's float32."""
    assert {peer.network for peer in PEERS} == set(REFERENCE)
    assert set(REFERENCE.values()) <= {peer.name for peer in PEERS if peer.runtime == "torch"}


def test_requests_are_of_the_lengths_asked_for() -> None:
    """Texts are cut to their tokens, between the pieces that begin and end one; mixed requests are 5 to 40 of them."""
    model = Path("edge_runtime/models/sentences.tflite").resolve()
    short, long = texts.tokens(model, 8), texts.tokens(model, 300)
    assert (len(short), len(long)) == (8, 300)
    assert (short[0], short[-1]) == (long[0], long[-1])
    requests = texts.mixed(model)
    assert len(requests) == texts.REQUESTS
    assert {texts.SHORTEST <= len(ids) <= texts.LONGEST for ids in requests} == {True}
    assert {len(texts.pad(ids)) for ids in requests} == {texts.PADDED}


def test_measured_again_replaces(tmp_path: Path) -> None:
    """A row that is measured again takes the old one's place; rows of other lengths stay; the file is JSON."""
    results = Results(tmp_path / "results.json")
    results.add("latency", [{"peer": PEER, "tokens": 8, "ms": 1.0}, {"peer": PEER, "tokens": 16, "ms": 2.0}])
    Results(tmp_path / "results.json").add("latency", [{"peer": PEER, "tokens": 8, "ms": 3.0}])
    stored = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert [row["ms"] for row in stored["latency"]] == [3.0, 2.0]


def test_fit_finds_the_law() -> None:
    """Costs that follow the operation count are found to, and one that does not shows as a deviation."""
    sizes = [(768, 12, 16), (384, 12, 16), (768, 6, 128), (192, 12, 128), (384, 6, 512)]
    rows = [{"products": h * h * n * s, "values": h * n * s, "scores": s * s * h // 64 * n} for h, n, s in sizes]
    for row in rows:
        row["instructions"] = round(0.25 * row["products"] + 30 * row["values"] + 8 * row["scores"])
    found = fit.fit(rows)
    assert (found.products, found.values, found.scores) == pytest.approx((0.25, 30, 8), rel=1e-4)
    assert fit.expected(found, rows[0]) == pytest.approx(rows[0]["instructions"], rel=1e-4)
    assert found.worst < 1e-4
    rows[0]["instructions"] *= 2
    assert fit.fit(rows).worst > 0.05


def test_line() -> None:
    """A straight line has an R² of 1, a parabola a smaller one."""
    assert fit.line([8, 16, 32], [18, 34, 66]) == pytest.approx((2, 2, 1))
    assert fit.line([8, 16, 32], [64, 256, 1024])[2] < 0.99


def test_document_is_made_from_the_results() -> None:
    """Every table of docs/performance.md that the suite makes is what docs/performance/results.json gives."""
    text = DOCUMENT.read_text("utf-8")
    content = json.loads(RESULTS.read_text("utf-8"))
    assert report.fill(text, content) == text
    assert document.marked(text) == set(tables.TABLES)


def test_plots_repeat(tmp_path: Path) -> None:
    """The same results give the same plots, byte for byte."""
    content = json.loads(RESULTS.read_text("utf-8"))
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        plots.draw(content, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted([plots.LATENCY, plots.MIXED, plots.ARM])
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes() for name in files)
