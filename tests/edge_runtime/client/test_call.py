"""`edge-runtime call`, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import Model
from tests.serve.server import TOKEN, Server, free_port, token_file

TEXT = "turn off the kitchen lights"


@pytest.fixture(autouse=True)
def _place(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL that commands take when they are given none."""
    monkeypatch.setenv("EDGE_RUNTIME_URL", server.url)


def run(*arguments: str | Path, given: str | bytes = b"") -> subprocess.CompletedProcess[str]:
    data = given.encode() if isinstance(given, str) else given
    command = [sys.executable, "-m", "edge_runtime.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, input=data, cwd=Path(__file__).parents[3])
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def refusal(status: int, *arguments: str | Path) -> str:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (status, ""), done
    if status == 1:
        assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("assistant", [TEXT]),
        ("classification", [TEXT, "--pair", "play"]),
        ("tags", [TEXT]),
        ("answer", ["where", "--pair", TEXT]),
        ("fill", ["turn [MASK] the lights"]),
        ("choice", ["turn", "--pair", "on", "--pair", "off"]),
        ("embedding", [TEXT]),
    ],
)
def test_same_as_ask(model: str, arguments: list[str], models: Mapping[str, Path], server: Server) -> None:
    """It prints what `ask` prints of the same model, as lines and as JSON."""
    for more in ([], ["--json"]):
        asked = run("ask", "--model", models[model], *arguments, *more)
        called = run("call", *arguments, "--model", model, *more)
        assert (called.returncode, called.stderr) == (0, "")
        assert called.stdout == asked.stdout
    assert (
        run("call", server.url, *arguments, "--model", model).stdout
        == run("ask", "--model", models[model], *arguments).stdout
    )


def test_operation(in_process: Mapping[str, Model]) -> None:
    """--op asks for something else than the model is for, and --deadline-ms says how long it may take."""
    done = run("call", TEXT, "--op", "tag", "--deadline-ms", "30000", "--json")
    found = [entity.to_json() for entity in in_process["assistant"].tag(TEXT)]
    assert json.loads(done.stdout) == {"model": "assistant", "task": "tag", "result": found}


def test_refusals(server: Server) -> None:
    """What the server or the command refuses is one line on standard error, and status 1."""
    assert "cannot answer" in refusal(1, "call", TEXT, "--op", "answer", "--pair", "x")
    assert "--pair" in refusal(1, "call", TEXT, "--pair", "x")
    assert "empty" in refusal(1, "call", " ")
    assert "there are assistant" in refusal(1, "call", TEXT, "--model", "nobody")
    assert "edge-runtime serve" in refusal(1, "call", "unix:///nowhere/edge.sock", TEXT)
    assert "unix://" in refusal(1, "call", "http://127.0.0.1", TEXT)
    assert "token file" in refusal(1, "call", TEXT, "--token-file", "/nowhere/token")


@pytest.mark.parametrize(
    "arguments",
    [
        ["call"],
        ["call", "unix:///tmp/x"],
        ["call", "a", "b"],
        ["call", TEXT, "--op", "sing"],
        ["top", "--interval", "0"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    """Wrong arguments give the usage and status 2."""
    assert "Usage" in refusal(2, *arguments)


def test_token(short_path: Path) -> None:
    """--token-file lets in where a token is asked for."""
    port, file = free_port(), token_file(short_path)
    with Server(short_path, "--tcp", f"0.0.0.0:{port}", "--allow-remote", "--token-file", str(file)):
        url = f"tcp://127.0.0.1:{port}"
        assert "token" in refusal(1, "call", url, TEXT)
        done = run("call", url, TEXT, "--token-file", file)
        assert (done.returncode, done.stdout.split()[0]) == (0, "iot_hue_lightoff")
        assert TOKEN not in done.stdout + done.stderr


def streamed(text: str, *arguments: str) -> list[Any]:
    done = run("call", "--stream", "--json", *arguments, given=text)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_stream(in_process: Mapping[str, Model]) -> None:
    """Standard input is read window by window, and in the end as a whole."""
    text = f"{TEXT} and play é in paris; " * 200
    *windows, final = streamed(text, "--op", "tag")
    reader = in_process["assistant"].read_stream("tag")
    expected = [reader.run(window) for window in reader.feed(text.encode())]
    expected += [reader.run(window) for window in reader.close()]
    assert [each["window"]["index"] for each in windows] == list(range(len(expected)))
    assert [each["window"]["result"] for each in windows] == [[e.to_json() for e in w.result] for w in expected]
    assert final["final"] == [entity.to_json() for entity in reader.result()]
    assert (final["model"], final["characters"], final["windows"]) == ("assistant", len(text), len(expected))
    shown = run("call", "--stream", "--op", "tag", given=text)
    assert shown.stdout.count("window ") == len(expected)
    assert f"{len(text)} characters in {len(expected)} windows" in shown.stdout


def test_stream_with_a_question() -> None:
    """For `answer`, TEXT is the question and standard input is where to look."""
    *_, final = streamed(TEXT * 20, "where", "--op", "answer", "--model", "answer")
    assert final["task"] == "answer"
    assert final["final"]["text"] == (TEXT * 20)[final["final"]["start"] : final["final"]["end"]]
    *_, vector = streamed(TEXT, "--op", "embed", "--model", "embedding")
    assert len(vector["final"]) == 32


def test_stream_is_read_while_it_is_written() -> None:
    """What is written to a pipe is answered before the pipe is closed."""
    command = [sys.executable, "-m", "edge_runtime.cli", "call", "--stream", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f"{TEXT} ".encode() * 60)
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["window"]["index"] == 0
        process.stdin.close()
        assert "final" in json.loads(process.stdout.read().splitlines()[-1])


def test_empty_stream() -> None:
    """A stream without text is refused like an empty text."""
    assert "empty" in refusal(1, "call", "--stream")
