"""The bare-metal example on two emulated boards, and the POSIX one, ask a running server over a terminal."""

import os
import subprocess
import sys
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge_runtime
from edge_runtime.model import Model
from tests.firmware_hooks.c_client import SOURCES
from tests.firmware_hooks.qemu import MACHINES, Board
from tests.serve.server import Server

pytestmark = pytest.mark.firmware

TEXTS = [
    "turn off the kitchen lights",
    "What's the weather in Paris tomorrow?",
    "the treaty was signed after eleven years of war",
    "wecke mich um 7 – bitte 😀",
]
STREAMED = ["wake me at seven tomorrow and then pl", "ay some jazz in the kitch", "en before you turn on the lights"]


@pytest.fixture(scope="module")
def model() -> Model:
    return edge_runtime.load("assistant")


def serving(folder: Path, port: str) -> Server:
    return Server(folder, "--serial", f"{port}?baud=115200")


def expected(model: Model, text: str) -> str:
    """What the bare-metal example says of a text."""
    found = model.understand(text)
    said = f"reply; label {round(found.score * 10_000)}" + (f" {found.intent}" if found.intent else "")
    for slot in found.slots:
        said += f"; entity {round(slot.score * 10_000)} {slot.start} {slot.end} {slot.type}"
    return said


@pytest.mark.parametrize("machine", MACHINES)
def test_a_microcontroller_is_answered(machine: str, firmware: Path, model: Model, tmp_path: Path) -> None:
    """Over its UART a freestanding client gets what the model says, and ends with status 0."""
    with Board(machine, firmware / f"{machine}.elf", TEXTS) as board, serving(tmp_path, board.port):
        status, said = board.run()
    assert status == 0, said
    assert [line for line in said if line.startswith("reply")] == [expected(model, text) for text in TEXTS]


@pytest.mark.parametrize("machine", MACHINES)
def test_a_microcontroller_streams(machine: str, firmware: Path, model: Model, tmp_path: Path) -> None:
    """A text fed in pieces comes back as events and, at the end, as the entities of the whole."""
    pieces = [">" + piece for piece in STREAMED]
    with Board(machine, firmware / f"{machine}.elf", [*pieces, ""]) as board, serving(tmp_path, board.port):
        status, said = board.run()
    assert status == 0, said
    text = "".join(STREAMED)
    entities = [f"{slot.start} {slot.end} {slot.type}" for slot in model.tag(text)]
    last = next(line for line in reversed(said) if line.startswith("reply"))
    assert [part.split(" ", 2)[2] for part in last.split("; ") if part.startswith("entity")] == entities
    assert f"characters {len(text)}" in last
    assert any(line.startswith("event; entity") for line in said)


def test_a_microcontroller_that_nobody_hears_gives_up(firmware: Path) -> None:
    """Without a server the client ends by itself, with status 2."""
    with Board("microbit", firmware / "microbit.elf", TEXTS[:1]) as board:
        status, said = board.run()
    assert (status, said[-1]) == (2, "no answer")


@pytest.fixture
def terminals() -> Iterator[tuple[str, str]]:
    """Two terminals with a wire between them."""
    (left, left_end), (right, right_end) = os.openpty(), os.openpty()
    for end in (left, left_end, right, right_end):
        tty.setraw(end)
    command = [sys.executable, "-c", WIRE, str(left), str(right)]
    with subprocess.Popen(command, pass_fds=(left, right)) as wire:
        yield os.ttyname(left_end), os.ttyname(right_end)
        wire.kill()
    for end in (left, left_end, right, right_end):
        os.close(end)


WIRE = """
import os, select, sys
a, b = map(int, sys.argv[1:])
while True:
    for end in select.select([a, b], [], [])[0]:
        os.write(b if end == a else a, os.read(end, 4096))
"""


def test_a_pc_can_be_the_microcontroller(terminals: tuple[str, str], tmp_path: Path) -> None:
    """The POSIX example asks over a terminal and prints intents with scores, and the words that matter."""
    sources = [SOURCES.parent / "examples" / "posix" / "ask.c", *sorted(SOURCES.glob("*.c"))]
    subprocess.run(["gcc", "-O1", f"-I{SOURCES}", "-o", tmp_path / "ask", *sources], check=True)
    near, far = terminals
    command: list[str | Path] = [tmp_path / "ask", near, "115200", *TEXTS]
    with serving(tmp_path, far):
        ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    said = ended.stdout.splitlines()
    assert said[0].endswith('"kitchen" house_place') and "iot_hue_lightoff" in said[0]
    assert "weather_query" in said[1] and '"Paris" place_name' in said[1]
    assert said[2].endswith("not recognised")
