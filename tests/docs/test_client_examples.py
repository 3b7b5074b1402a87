"""The examples of docs/clients, built and run as their comments say, against a real server.

Those whose language is not installed are left out, unless EDGE_ALL_TOOLCHAINS=1 asks for all of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_runtime import Model, load
from tests.serve.server import Server

FOLDER = Path(__file__).parents[2] / "docs/clients"
SECONDS = 120.0
"""that an example may take; go compiles its standard library the first time"""

SIMPLE = (
    "turn off the kitchen lights",
    'play "jazz" \\ in paris',
    "wake me up at seven tomorrow, près de Genève",
    "the treaty was signed after eleven years of war",
)


@dataclass(frozen=True)
class Example:
    """How one is run."""

    needs: str
    """the program that must be installed"""
    run: Sequence[str]
    build: Sequence[str] = ()
    """{out} is a file to write"""
    environment: Mapping[str, str] = field(default_factory=dict)
    several: bool = True
    """whether it takes several texts"""


C_FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-g", "-fsanitize=address,undefined")
EXAMPLES = {
    "nc": Example("nc.openbsd", ["sh", "ask.sh"], environment={"CONNECT": "nc"}, several=False),
    "socat": Example("socat", ["sh", "ask.sh"], environment={"CONNECT": "socat"}, several=False),
    "python": Example(sys.executable, [sys.executable, "ask.py"]),
    "c": Example("gcc", ["{out}"], build=["gcc", *C_FLAGS, "-o", "{out}", "ask.c"]),
    "node": Example("node", ["node", "ask.js"]),
    "go": Example("go", ["{out}"], build=["go", "build", "-o", "{out}", "ask.go"]),
}
FOUND = [name for name, each in EXAMPLES.items() if shutil.which(each.needs) or os.environ.get("EDGE_ALL_TOOLCHAINS")]
SEVERAL = [name for name in FOUND if EXAMPLES[name].several]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with (
        tempfile.TemporaryDirectory(prefix="edge-") as folder,
        Server(Path(folder), "--deadline-ms", "60000") as started,
    ):
        yield started


@pytest.fixture(scope="module")
def assistant() -> Iterator[Model]:
    with load("assistant") as model:
        yield model


@pytest.fixture(scope="module", params=FOUND)
def example(request: pytest.FixtureRequest) -> Example:
    found = EXAMPLES[request.param]
    assert shutil.which(found.needs), f"{found.needs} is not installed, and EDGE_ALL_TOOLCHAINS asks for it"
    return found


@pytest.fixture(scope="module")
def run(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Builds the example and runs it with arguments."""
    folder = tmp_path_factory.mktemp("example")
    out = str(folder / "ask")
    environment = {**os.environ, "GOCACHE": str(folder / "go"), **example.environment}

    def started(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        command = [part.format(out=out) for part in command]
        return subprocess.run(
            command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
        )

    if example.build:
        built = started(example.build)
        assert (built.returncode, built.stderr) == (0, "")
    return lambda *arguments: started([*example.run, *map(str, arguments)])


def printed(model: Model, text: str) -> str:
    """What an example prints for a text."""
    found = model.understand(text)
    lines = [found.intent or "not recognised", *(f"  {slot.type}: {slot.text}" for slot in found.slots)]
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("text", SIMPLE)
def test_answer(text: str, run: Run, server: Server, assistant: Model) -> None:
    """An example prints the intent and the slots, with quotes and accents as they were."""
    done = run(server.unix, text)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed(assistant, text), "")


def test_refusal(run: Run, server: Server) -> None:
    """An error reply goes to standard error, with its code, and is the status."""
    done = run(server.unix, " ")
    assert (done.returncode, done.stdout) == (1, "")
    assert "bad_request" in done.stderr and "empty" in done.stderr


def test_no_server(run: Run, tmp_path: Path) -> None:
    """Where nobody listens the status is 1, with a reason."""
    done = run(tmp_path / "no.sock", "turn off the kitchen lights")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr


@pytest.mark.parametrize("example", SEVERAL, indirect=True)
def test_several(run: Run, server: Server, assistant: Model) -> None:
    """Examples that send several requests at once print the answers in the texts' order; one refusal is the status."""
    texts = [f"turn on the light number {number}\nin the \t kitchen" for number in range(40)]
    done = run(server.unix, *texts, " ", SIMPLE[0])
    assert done.returncode == 1
    assert done.stdout == "".join(printed(assistant, text) for text in (*texts, SIMPLE[0]))
    assert done.stderr.count("bad_request") == 1
