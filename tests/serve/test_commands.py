"""The commands of this folder, each in a short form: all that does not depend on how fast the machine is just now."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.serve import chaos, fuzz, latency, load, questions, soak, streams
from tests.serve.generator import percentile
from tests.serve.report import Report
from tests.serve.server import Server, request
from tests.serve.wire import Wire


def requirements(report: Report, *but: str) -> list[str]:
    """What is required and not met, but for lines that begin so."""
    return [f"{line.what}: {line.value}" for line in report.lines if not line.met and not line.what.startswith(but)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> chaos.Models:
    return chaos.Models.make(tmp_path_factory.mktemp("models"))


def test_latency_answers() -> None:
    """Requests one at a time are answered as in this process."""
    report = latency.measure("assistant", tokens=16, requests=20)
    assert requirements(report, "added by the server") == []


def test_load() -> None:
    """Many clients at once all get their own answers; what is too much is refused, and nothing is lost or mixed up."""
    report = load.measure("assistant", clients=16, requests=20, seconds=0.5, deadline_ms=500)
    assert requirements(report, "overload: goodput", "overload: p99", "overload: refusals", "overload: other") == []


def test_overload_refuses(server: Server) -> None:
    """Far more than can be done in time is partly answered and partly refused, each once."""
    with questions.load("assistant") as model:
        expected = {text: questions.answer(model, text) for text in questions.texts(160)}
    run, wrong = load.overload(server, expected, 16, rate=20_000, seconds=0.2, deadline_ms=100)
    assert {reply.outcome for reply in run.replies} >= {"ok", "overloaded"}
    assert {reply.outcome for reply in run.replies} <= {"ok", "overloaded", "deadline"}
    assert (len(run.replies), wrong["lost"], wrong["wrong"], wrong["to another client"]) == (4000, 0, 0, 0)


def test_soak() -> None:
    """Thousands of requests on connections that come and go cost the server neither memory nor descriptors."""
    assert requirements(soak.measure("assistant", requests=1000, reconnects=40)) == []


def test_streams(server: Server) -> None:
    """A long text is read in windows without gaps, with offsets that are right, and in constant memory."""
    report = Report("streams")
    streams.tag("assistant", 0.05, None, server.unix, report)
    streams.classify("assistant", 0.05, None, server.unix, report)
    assert requirements(report) == []


def test_fuzz(server: Server) -> None:
    """Each of a thousand inputs gets exactly the reply that it must have, and no worker dies."""
    report = Report("fuzz")
    fuzz.fuzz(server, 1000, 1, report)
    assert requirements(report) == []


def test_bad_clients(server: Server) -> None:
    """Among clients that misbehave in every way, a good one is answered every time."""
    report = Report("bad clients")
    fuzz.among_bad_clients(server, 0.1, report)
    assert requirements(report, "p99") == []


def test_kill_server(tiny: chaos.Models) -> None:
    """When the server is killed and started again, clients lose the requests in flight and nothing else."""
    report = Report("chaos")
    chaos.kill_server(tiny, 4, 2, random.Random(1), report)
    assert requirements(report) == []


def test_kill_worker(tiny: chaos.Models) -> None:
    """When the worker is killed, clients notice nothing."""
    report = Report("chaos")
    chaos.kill_workers(tiny, 4, 1, random.Random(1), report)
    assert requirements(report) == []


def test_reload(tiny: chaos.Models) -> None:
    """While models are exchanged, every request is answered, by the old model or the new one as its time says."""
    report = Report("chaos")
    chaos.reload(tiny, 4, 2, random.Random(1), report)
    assert requirements(report) == []


def test_stream_whose_opening_fails_at_once(server: Server) -> None:
    """Feeds of a stream that could not be opened in time are answered."""
    with server.connect() as wire:
        lines = [
            b'{"id": 1, "op": "ask", "text": "play some jazz"}',
            b'{"id": 2, "op": "open", "stream": "s", "deadline_ms": 0.0001}',
            b'{"id": 3, "op": "feed", "stream": "s", "text": "hello"}',
            b'{"id": 4, "op": "close", "stream": "s"}',
        ]
        wire.send_bytes(b"\n".join(lines) + b"\n")
        replies = [wire.receive() for _ in lines]
    assert {reply["id"] for reply in replies} == {1, 2, 3, 4}


def test_flood_leaves_others_their_turn(server: Server) -> None:
    """A client that sends as many lines as the kernel takes does not have them all handled before anybody else's."""

    def refused(wire: Wire) -> float:
        lines = [line for line in request(wire, "metrics").splitlines() if "bad_request" in line]
        return sum(float(line.split()[-1]) for line in lines)

    with server.connect() as flooding, server.connect() as other:
        request(flooding, "hello")
        before = refused(other)
        flooding.socket.setblocking(False)
        lines = flooding.socket.send(b"x\n" * 100_000) // 2
        flooding.socket.settimeout(60)
        assert refused(other) - before < lines
        # all of it is answered nevertheless, once we read
        for _ in range(lines):
            assert flooding.receive() is not None
        assert refused(other) - before == lines


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (b'{"id": 7, "op": 1}', "7"),
        (b'{"id": "\\u00e9"}', '"\\u00e9"'),
        (b'{"id": true}', "null"),
        (b'{"id": 1.0}', "null"),
        (b'{"id": 9007199254740992}', "null"),
        (b'{"id": ""}', "null"),
        (b'{"id": 1, "x": NaN}', "null"),
        (b'{"id": 1, "x": 1e999}', "null"),
        (b"[1]", "null"),
        (b"\xff", "null"),
        (b"[" * 100_000, "null"),
        (b" \r", "nothing"),
        (b"", "nothing"),
        (b" " * 262_145, "null"),
    ],
)
def test_what_the_fuzzer_expects(line: bytes, wanted: str) -> None:
    """The fuzzer knows from a line alone which id its reply must have."""
    assert fuzz.expected_reply(line) == wanted


def test_percentile() -> None:
    """A percentile is the smallest value that so large a share does not exceed."""
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.01, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]


def test_report_says_what_is_missed() -> None:
    """A requirement that is not met is marked, and makes the command fail."""
    report = Report("x")
    report.at_most("a", 1.0, 2.0)
    assert report.print(as_json=True) == 0
    report.at_least("b", 1.0, 2.0)
    assert report.print(as_json=True) == 1
    assert report.to_text().splitlines()[-1].endswith("MISSED")


def test_server_that_cannot_start(short_path: Path) -> None:
    """A server that ends instead of starting is an error that shows its log."""
    with pytest.raises(RuntimeError, match="nobody"):
        Server(short_path, models=["nobody"]).start()
