"""The commands, run as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.backends.selection import NAMES
from tests.backends import BEST, USABLE

TEXT = "turn off the kitchen lights"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_runtime.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])


def result(*arguments: str | Path) -> Any:
    """The JSON object of a command that must succeed and say nothing else."""
    done = run(*arguments, "--json")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    return json.loads(done.stdout)


def refusal(status: int, *arguments: str | Path) -> str:
    """The reason that a failing command gives."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert "Traceback" not in done.stderr
    if status == 1:
        assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    ("name", "arguments", "task"),
    [
        ("assistant", [TEXT], "understand"),
        ("classification", [TEXT], "classify"),
        ("classification", [TEXT, "--pair", "play"], "classify"),
        ("tags", [TEXT], "tag"),
        ("answer", ["where", "--pair", TEXT], "answer"),
        ("fill", ["turn [MASK] the lights"], "fill"),
        ("choice", ["turn", "--pair", "on", "--pair", "off"], "choose"),
        ("embedding", [TEXT], "embed"),
    ],
)
def test_ask(name: str, arguments: list[str], task: str, models: Mapping[str, Path]) -> None:
    """The model's heads decide what is asked; the answer comes as JSON or as lines, and standard error stays empty."""
    found = result("ask", "--model", models[name], *arguments)
    assert (found["model"], found["task"]) == (name, task)
    assert found["result"] or task == "tag"
    done = run("ask", "--model", models[name], *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_ask_says_what_is_wrong(models: Mapping[str, Path], tmp_path: Path) -> None:
    """A failing request gives a one-line reason and status 1."""
    assert "no-such-model" in refusal(1, "ask", "--model", "no-such-model", TEXT)
    assert "empty" in refusal(1, "ask", "--model", models["tags"], " ")
    assert "--pair" in refusal(1, "ask", "--model", models["answer"], "where")
    assert "--pair" in refusal(1, "ask", "--model", models["tags"], TEXT, "--pair", "x")
    assert "48" in refusal(1, "ask", "--model", models["tags"], TEXT * 20)
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(models["tags"].read_bytes()[:-100])
    assert "damaged.tflite" in refusal(1, "ask", "--model", damaged, TEXT)


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask"],
        ["ask", "--no-such-option", "x"],
        ["sing"],
        ["bench", "--length", "0"],
        ["bench", "--length", "many"],
        ["doctor", "please"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    """Wrong arguments give the usage and status 2."""
    assert "Usage" in refusal(2, *arguments)


def test_help_and_version() -> None:
    """Help lists the commands, and the version is the package's."""
    from edge_runtime import __version__

    assert all(command in run("--help").stdout for command in ("ask", "bench", "call", "doctor", "serve", "top"))
    assert run("--version").stdout.strip() == f"edge-runtime, version {__version__}"


def test_bench(models: Mapping[str, Path]) -> None:
    """Latency for each length asked for, and load time and memory, cold and warm."""
    found = result("bench", "--model", models["assistant"], "--length", "4", "--length", "9", "--runs", "5")
    assert [row["length"] for row in found["latency"]] == [4, 9]
    assert all(0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] for row in found["latency"])
    for load in (found["cold"], found["warm"]):
        assert load["load_ms"] > 0
        assert load["private_after_text_kb"] >= load["private_after_run_kb"] >= 0
    text = run("bench", "--model", models["assistant"], "--length", "4", "--runs", "2")
    assert (text.returncode, "p95 ms" in text.stdout, "warm" in text.stdout) == (0, True, True)


def test_bench_of_a_length_that_the_model_does_not_take(models: Mapping[str, Path]) -> None:
    """A length beyond the model's longest is refused."""
    assert "at most 48" in refusal(1, "bench", "--model", models["assistant"], "--length", "49")


def test_doctor_of_a_healthy_machine(models: Mapping[str, Path], cache: Path) -> None:
    """Nothing to mend: status 0, the backend and its reason, the cache's contents with their digests."""
    run("ask", "--model", models["assistant"], TEXT)
    found = result("doctor")
    assert found["well"] is True
    findings = {finding["subject"]: finding for finding in found["findings"]}
    assert findings["backend"]["details"]["name"] == BEST
    assert findings["weight cache"]["state"] == "good"
    assert len(findings["weight cache"]["details"]["sha256"]) == 64
    assert all(finding["mend"] is None for finding in found["findings"] if finding["state"] == "good")
    assert f"backend: {BEST}" in run("doctor").stdout


def test_doctor_finds_a_damaged_cache(models: Mapping[str, Path], cache: Path) -> None:
    """A damaged weight cache is named with its mend, but nothing is broken by it."""
    run("ask", "--model", models["assistant"], TEXT)
    (file,) = cache.glob("weights-*")
    file.chmod(0o600)
    file.write_bytes(b"damaged")
    (cache / "weights-odd.xnnpack").mkdir()
    findings = [finding for finding in result("doctor")["findings"] if finding["subject"] == "weight cache"]
    assert [finding["state"] for finding in findings] == ["note", "note"]
    assert all("rm" in finding["mend"] for finding in findings)


def test_doctor_of_a_sick_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A backend that cannot be used is a finding with a mend, and status 1; a useless cache folder is a note."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setenv("EDGE_RUNTIME_CACHE", str(in_the_way))
    monkeypatch.setenv("EDGE_RUNTIME_BACKEND", next(name for name in NAMES if name not in USABLE))
    done = run("doctor", "--json")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert (findings["backend"]["state"], findings["cache"]["state"]) == ("bad", "note")
    assert findings["backend"]["mend"]
    assert "EDGE_RUNTIME_CACHE" in findings["cache"]["mend"]
