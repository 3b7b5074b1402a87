"""The log's lines: what they say, what a peer cannot do to them, and how many there are."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.server.logs import (
    BURST,
    MAX_EVENT,
    MAX_FRAMES,
    MAX_KINDS,
    MAX_VALUE,
    EventLog,
    JsonFormatter,
    RateLimit,
    TextFormatter,
    cleaned,
    priority,
)

NAME = "edge_runtime_test"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Log:
    """An event log that writes into memory."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self.clock = Clock()
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(formatter)
        handler.addFilter(RateLimit(self.clock))
        self.logger = logging.getLogger(NAME)
        self.logger.handlers[:] = [handler]
        self.logger.propagate = False
        self.logger.setLevel(logging.DEBUG)
        self.events = EventLog(NAME)

    def lines(self) -> list[str]:
        text = self.stream.getvalue()
        assert not text or text.endswith("\n")
        return text.split("\n")[:-1]

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


@pytest.fixture(autouse=True)
def _logger_as_before() -> Iterator[None]:
    yield
    logging.getLogger(NAME).handlers.clear()


def run(program: str, **variables: str) -> str:
    """Standard error of a program that logs."""
    program = f"from edge_runtime.server.logs import *\nimport logging, warnings\n{program}"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | variables, stderr=subprocess.PIPE, check=True, text=True
    )
    return done.stderr


def test_text() -> None:
    """A line for people has the time in UTC, the level, the event and its fields, quoted where they need it."""
    log = Log(TextFormatter(priority=False))
    log.events.info("listening", address="/run/edge.sock", clients=3, note="two words", empty="", none=None, yes=True)
    time, _, rest = log.lines()[0].partition(" ")
    assert time.endswith("Z") and len(time) == len("2026-01-01T00:00:00.000Z")
    assert rest == 'info    listening  address=/run/edge.sock clients=3 note="two words" empty="" none=- yes=True'


def test_json() -> None:
    """A line for programs is one ASCII object whose own fields no event can overwrite."""
    log = Log(JsonFormatter(priority=False))
    log.events.warning("reply dropped", time="never", level="none", bytes=12, share=0.5, who="Zoë", none=None)
    line = log.lines()[0]
    assert line.isascii()
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "warning", "event": "reply dropped", "bytes": 12, "share": 0.5, "who": "Zoë", "none": None,
    }  # fmt: skip


def test_level() -> None:
    """Events below the level are not written."""
    log = Log(TextFormatter(priority=False))
    log.logger.setLevel(logging.WARNING)
    log.events.debug("a")
    log.events.info("b")
    log.events.warning("c")
    log.events.error("d")
    assert [line.split()[1:3] for line in log.lines()] == [["warning", "c"], ["error", "d"]]


@given(st.text(st.characters()), st.booleans())
def test_peer_text_stays_in_its_line(text: str, as_json: bool) -> None:
    """Whatever a peer sends, the event is one bounded line of printable characters."""
    log = Log(JsonFormatter(priority=False) if as_json else TextFormatter(priority=False))
    log.events.info("from a peer", text=text, more=text.encode("utf-8", "surrogatepass"))
    assert len(log.lines()) == 1
    line = log.lines()[0]
    assert line.isprintable()
    assert len(line) < 3000 + 20 * MAX_VALUE
    line.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain text, Zoë 日本 🙂", "plain text, Zoë 日本 🙂"),
        ("a\nb\r\x1b[31m\x00", r"a\nb\r\x1b[31m\x00"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\u200b\u2028\ufeff", r"\u200b\u2028\ufeff"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("back\\slash", r"back\\slash"),
        ("x" * MAX_VALUE, "x" * MAX_VALUE),
        ("x" * (MAX_VALUE + 7), "x" * MAX_VALUE + "…(+7)"),
    ],
)
def test_cleaned(text: str, said: str) -> None:
    """Control, format and bidirectional characters are escaped, and long text is cut with a count of the rest."""
    assert cleaned(text) == said


def test_cleaned_is_unambiguous() -> None:
    """A text that looks escaped cannot be taken for one that was."""
    assert cleaned("\n") != cleaned(r"\n")


def test_quotes_cannot_fake_a_field() -> None:
    """A value with quotes, spaces and equals signs stays one quoted value in the text form."""
    log = Log(TextFormatter(priority=False))
    log.events.info("x", peer='a" admin=true b="')
    assert log.lines()[0].endswith(r'x  peer="a\" admin=true b=\""')


def test_rate() -> None:
    """Of one kind a burst and then a line a second are written, the next with a count; other kinds are not held up."""
    log = Log(JsonFormatter(priority=False))
    for number in range(1000):
        log.events.warning("line skipped", number=number)
    log.events.info("another")
    assert [each.get("number") for each in log.objects()] == [*range(BURST), None]
    log.clock.now += 1
    log.events.warning("line skipped", number=1000)
    log.events.warning("line skipped", number=1001)
    assert log.objects()[-1]["number"] == 1000
    assert log.objects()[-1]["left_out"] == 1000 - BURST
    log.clock.now += 3600
    for number in range(1000):
        log.events.warning("line skipped", number=number)
    assert len(log.objects()) == 2 * BURST + 2
    assert [each["left_out"] for each in log.objects()[-BURST:] if "left_out" in each] == [1]


def test_rate_of_endless_kinds() -> None:
    """Texts that differ each time, as a library's may, share one allowance once there are too many kinds."""
    log = Log(JsonFormatter(priority=False))
    for number in range(10 * MAX_KINDS):
        log.logger.error("kind %d", number)
    assert len(log.lines()) == MAX_KINDS + BURST


def test_error() -> None:
    """An unforeseen error is one line with its type, its text and where it came from, innermost first."""
    log = Log(JsonFormatter(priority=False))

    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        raise ValueError("bad\nnews")

    try:
        deep(20)
    except ValueError as error:
        log.events.exception("request failed", error, op="tag")
    found = log.objects()[0]
    assert (found["level"], found["op"], found["error"]) == ("error", "tag", r"ValueError: bad\nnews")
    places = found["at"].split(" < ")
    assert len(places) == MAX_FRAMES and all("test_logs.py:" in place and place.endswith(" deep") for place in places)


def test_other_loggers() -> None:
    """What the standard library or a dependency logs or warns of comes out in the same form, cleaned and cut."""
    text = run(
        """configure("info", "json")
logging.getLogger("asyncio").error("task %s died\\n%s", 7, "x" * 1000)
warnings.warn("careful")"""
    )
    first, second = (json.loads(line) for line in text.splitlines())
    assert first["event"].startswith(r"task 7 died\nxx") and len(first["event"]) < MAX_EVENT + 20
    assert (second["level"], "careful" in second["event"]) == ("warning", True)


@pytest.mark.parametrize("form", ["text", "json"])
def test_journal(tmp_path: Path, form: str) -> None:
    """In the journal each line begins with its priority, and the text form leaves the time to the journal."""
    file = tmp_path / "journal"
    program = f"""
import os, sys
from edge_runtime.server.logs import *
os.environ["JOURNAL_STREAM"] = "%d:%d" % (os.fstat(2).st_dev, os.fstat(2).st_ino)
configure("debug", {form!r})
log = EventLog("x")
log.debug("a"); log.info("b"); log.warning("c"); log.error("d", n=1)
"""
    with file.open("w") as stream:
        subprocess.run([sys.executable, "-c", program], stderr=stream, check=True)
    lines = file.read_text().splitlines()
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>"]
    if form == "text":
        assert lines == ["<7>a", "<6>b", "<4>c", "<3>d  n=1"]
    else:
        assert json.loads(lines[3][3:])["event"] == "d"


@pytest.mark.parametrize("stream", ["", "1:2", "nonsense", ":", "1"])
def test_no_journal(stream: str) -> None:
    """A $JOURNAL_STREAM that is not our standard error (a shell's in a service, say) adds no priority."""
    text = run('configure("info", "text"); EventLog("x").info("hello")', JOURNAL_STREAM=stream)
    assert text.startswith("2")


def test_priorities() -> None:
    """Levels become syslog's numbers, those in between the next lower one."""
    assert [priority(level) for level in (10, 20, 30, 35, 40, 50)] == [7, 6, 4, 4, 3, 2]


def test_stream_that_cannot_be_written() -> None:
    """A full disk under the log is no error."""
    program = (
        "import sys\nfrom edge_runtime.server.logs import *\nwith open('/dev/full', 'w') as full:\n"
        "    configure('info', 'text', full)\n    EventLog('x').info('hello')\n    full.close = lambda: None\n"
        "print('still here')\nimport os; sys.stdout.flush(); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("still here\n", "", 0)
