"""The bundled model on every kind of board: which backend is chosen, and what it answers."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.model_file import bundled_names
from tests.answers import KERNELS_DIFFER, answers, differences
from tests.arm.count import count
from tests.arm.emulation import Userland
from tests.arm.integers import LENGTHS
from tests.converter.cut_checkpoint import cut

pytestmark = pytest.mark.arm

ANSWERS = "tests.answers"
INTEGERS = "tests.arm.integers"


@dataclass(frozen=True)
class Board:
    userland: str
    core: str
    runtime: str
    backend: str

    def __str__(self) -> str:
        return f"{self.core}-{self.runtime}"


PI_3 = Board("arm64", "cortex-a53", "litert", "litert")
PI_4 = Board("arm64", "cortex-a72", "litert", "litert")
PI_5 = Board("arm64", "cortex-a76", "litert", "litert-compiled")
PI_4_TFLITE = Board("arm64", "cortex-a72", "tflite", "tflite-runtime")
PI_2_32_BIT = Board("armhf", "cortex-a7", "tflite", "tflite-runtime")
PI_4_32_BIT = Board("armhf", "cortex-a15", "tflite", "tflite-runtime")
BOARDS = (PI_3, PI_4, PI_5, PI_4_TFLITE, PI_2_32_BIT, PI_4_32_BIT)


def userland(name: str) -> Userland:
    return Userland(Path(os.environ.get("EDGE_ARM", "build/arm"), name))


@cache
def ask(board: Board) -> dict[str, Any]:
    output = userland(board.userland).python(board.core, ANSWERS, runtime=board.runtime)
    found: dict[str, Any] = json.loads(output)
    return found


@cache
def integers(board: Board) -> dict[str, dict[str, str]]:
    """What every bundled model computes there: model → length → digest."""
    output = userland(board.userland).python(board.core, INTEGERS, runtime=board.runtime)
    found: dict[str, dict[str, str]] = json.loads(output)
    return found


@cache
def workstation() -> dict[str, Any]:
    return answers()


def digests(found: dict[str, Any]) -> dict[str, str]:
    return {text: answer["digest"] for text, answer in found["answers"].items()}


@pytest.mark.parametrize("board", BOARDS, ids=str)
def test_backend(board: Board) -> None:
    """Each core gets the best backend that it survives: CompiledModel only where the core has LSE atomics."""
    assert ask(board)["backend"] == board.backend


@pytest.mark.parametrize("board", BOARDS, ids=str)
def test_labels(board: Board) -> None:
    """Each board gives each sentence the workstation's intent, and its slots but for ties that rounding decides."""
    assert differences(workstation(), ask(board), KERNELS_DIFFER) == {}


AGREE = [(PI_3, PI_4), (PI_4, PI_5), (PI_2_32_BIT, PI_4_32_BIT), (PI_4_TFLITE, PI_2_32_BIT)]


@pytest.mark.parametrize(("one", "other"), AGREE)
def test_integers(one: Board, other: Board) -> None:
    """ARM cores agree on every byte of the outputs, with and without dot products, with and without a weight cache."""
    assert digests(ask(one)) == digests(ask(other))


@pytest.mark.parametrize(("one", "other"), AGREE)
def test_integers_of_every_model(one: Board, other: Board) -> None:
    """So they do for every bundled model, from one token to the longest that any takes."""
    assert sorted(integers(one)) == bundled_names()
    assert all(set(map(str, LENGTHS)) <= set(found) for found in integers(one).values())
    assert integers(one) == integers(other)


@pytest.mark.parametrize("runtime", ["litert", "tflite"])
def test_integers_where_all_is_cut(tmp_path: Path, runtime: str) -> None:
    """With keys, values and squares cut at both ends, cores without dot products add them up as those with them do."""
    model, _ = cut(tmp_path)
    arguments = ["--model", str(model), "--length", "33", "--length", "48"]
    arm = userland("arm64")
    cores = (
        arm.python(core, INTEGERS, arguments, runtime=runtime) for core in ("cortex-a53", "cortex-a72", "cortex-a76")
    )
    first, *others = map(json.loads, cores)
    assert len(first[str(model)]) == 2
    assert all(other == first for other in others)


def test_weight_cache_on_the_second_load(tmp_path: Path) -> None:
    """Where there is a weight cache, a second process maps the first one's and answers the same."""
    pi_5 = userland(PI_5.userland)
    first, second = (json.loads(pi_5.python(PI_5.core, ANSWERS, home=tmp_path)) for _ in range(2))
    assert first["weight_cache"] == second["weight_cache"] is not None
    assert digests(first) == digests(second) == digests(ask(PI_4))


def test_count_repeats() -> None:
    """The instructions of an inference are counted to the last one; dot products save two fifths of them or more."""
    pi_4, again, pi_5 = (
        count(userland(board.userland), "assistant", board.core, (16,))[0] for board in (PI_4, PI_4, PI_5)
    )
    assert pi_4 == again
    assert pi_5.instructions < 0.6 * pi_4.instructions


@pytest.mark.parametrize("board", [PI_4, PI_5, PI_4_32_BIT], ids=str)
def test_server(board: Board) -> None:
    """The server, its worker processes and its client run on every kind of board and answer as the model does there."""
    found = json.loads(userland(board.userland).python(board.core, "tests.arm.serving", runtime=board.runtime))
    assert found == {
        "backend": board.backend,
        "asked": True,
        "batched": True,
        "stream": ["kitchen", "seven", "tomorrow"],
        "reloaded": ["assistant"],
        "state": "ready",
    }
