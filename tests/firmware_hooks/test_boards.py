"""The bare-metal example on two emulated boards, and the POSIX one, ask the bundled model over a terminal."""

import subprocess
from functools import partial
from pathlib import Path

import pytest

import edge_runtime
from edge_runtime.model import Model
from tests.firmware_hooks.assistant import understand
from tests.firmware_hooks.c_client import SOURCES
from tests.firmware_hooks.qemu import MACHINES, Board
from tests.serial.line import Line
from tests.serial.reference_server import Server

pytestmark = pytest.mark.firmware

TEXTS = [
    "turn off the kitchen lights",
    "What's the weather in Paris tomorrow?",
    "the treaty was signed after eleven years of war",
]
BYTE = 10 / 115200


@pytest.fixture(scope="module")
def model() -> Model:
    return edge_runtime.load("assistant")


def expected(model: Model, text: str) -> str:
    """What the bare-metal example says of a text."""
    found = model.understand(text)
    said = f"reply; label {round(found.score * 10_000)}" + (f" {found.intent}" if found.intent else "")
    for slot in found.slots:
        said += f"; entity {round(slot.score * 10_000)} {slot.start} {slot.end} {slot.type}"
    return said


@pytest.mark.parametrize("machine", MACHINES)
def test_a_microcontroller_is_answered(machine: str, firmware: Path, model: Model) -> None:
    """Over its UART a freestanding client gets what the model says, and ends with status 0."""
    server = Server(partial(understand, model), BYTE)
    with Board(machine, firmware / f"{machine}.elf", TEXTS) as board, Line(server, board.port):
        status, said = board.run()
    assert status == 0, said
    assert [line for line in said if line.startswith("reply")] == [expected(model, text) for text in TEXTS]


def test_a_microcontroller_that_nobody_hears_gives_up(firmware: Path) -> None:
    """Without a server the client ends by itself, with status 2."""
    with Board("microbit", firmware / "microbit.elf", TEXTS[:1]) as board:
        status, said = board.run()
    assert (status, said[-1]) == (2, "no answer")


def test_a_pc_can_be_the_microcontroller(model: Model, tmp_path: Path) -> None:
    """The POSIX example asks over a terminal and prints intents with scores, and the words that matter."""
    sources = [SOURCES.parent / "examples" / "posix" / "ask.c", *sorted(SOURCES.glob("*.c"))]
    subprocess.run(["gcc", "-O1", f"-I{SOURCES}", "-o", tmp_path / "ask", *sources], check=True)
    with Line(Server(partial(understand, model), BYTE)) as line:
        command: list[str | Path] = [tmp_path / "ask", line.path, "115200", *TEXTS]
        ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    said = ended.stdout.splitlines()
    assert said[0].endswith('"kitchen" house_place') and "iot_hue_lightoff" in said[0]
    assert "weather_query" in said[1] and '"Paris" place_name' in said[1]
    assert said[2].endswith("not recognised")
