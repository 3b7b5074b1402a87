"""Token ids → logits."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import BackendError, InputError, Model, TooLong, load
from tests.backends import USABLE
from tests.edge_runtime.tiny_checkpoint import INTENTS, MAX_LENGTH, SLOTS, VOCABULARY

VOCABULARY_SIZE = len(dict.fromkeys(VOCABULARY))


@pytest.mark.parametrize("length", [1, 2, 17, MAX_LENGTH - 1, MAX_LENGTH])
def test_exact_lengths(assistant: Model, length: int) -> None:
    """Every length up to the longest runs, with a row per token for one head and one row for the other."""
    logits = assistant.run([5] * length)
    assert {name: value.shape for name, value in logits.items()} == {
        "intent": (1, len(INTENTS)),
        "slots": (length, len(SLOTS)),
    }
    assert {value.dtype for value in logits.values()} == {np.dtype(np.float32)}


def test_one_token_too_many(assistant: Model) -> None:
    """One token more than the longest is TooLong, whatever the overflow policy."""
    with pytest.raises(TooLong, match=f"takes {MAX_LENGTH}"):
        assistant.run([5] * (MAX_LENGTH + 1))


@pytest.mark.parametrize(
    "ids", [[2, 5, 3], (2, 5, 3), np.array([2, 5, 3]), np.array([2, 5, 3], np.uint8), np.array([2, 0, 5, 0, 3])[::2]]
)
def test_kinds_of_sequences(assistant: Model, ids: Any) -> None:
    """Lists, tuples and integer arrays of any width and stride give the same."""
    assert np.array_equal(assistant.run(ids)["slots"], assistant.run([2, 5, 3])["slots"])


@pytest.mark.parametrize(
    ("ids", "types"),
    [
        ([], None),
        ([-1], None),
        ([VOCABULARY_SIZE], None),
        ([1 << 40], None),
        ([1 << 80], None),
        ([1.0], None),
        ([True], None),
        (["5"], None),
        ([[5]], None),
        ([5, [6]], None),
        (5, None),
        (None, None),
        ("5", None),
        ([5, 6], [0]),
        ([5], [2]),
        ([5], [-1]),
        ([5], [0.5]),
    ],
)
def test_wrong_input(assistant: Model, ids: Any, types: Any) -> None:
    """Ids that are empty, out of range or no integers, and types that do not fit, are InputErrors."""
    with pytest.raises(InputError):
        assistant.run(ids, types)


def test_position_and_type_matter(assistant: Model) -> None:
    """The same ids with another order or other types give other logits."""
    plain = assistant.run([2, 5, 6, 3])["slots"]
    assert not np.array_equal(plain, assistant.run([2, 6, 5, 3])["slots"][[0, 2, 1, 3]])
    assert not np.array_equal(plain, assistant.run([2, 5, 6, 3], [0, 1, 1, 1])["slots"])
    assert np.array_equal(plain, assistant.run([2, 5, 6, 3], [0, 0, 0, 0])["slots"])


def test_lengths_in_any_order(assistant: Model) -> None:
    """What was run before leaves no trace in what is run now."""
    expected = {length: assistant.run(range(5, 5 + length))["slots"] for length in (3, 9, 1)}
    for length in (9, 9, 1, 3, 1, 9):
        assert np.array_equal(assistant.run(range(5, 5 + length))["slots"], expected[length])


def test_results_stay_as_they_were(assistant: Model) -> None:
    """A result is the caller's own: later runs do not change it."""
    first = assistant.run([2, 5, 3])["slots"]
    kept = first.copy()
    assistant.run([2, 9, 3])
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("backend", USABLE)
def test_threads_share_a_model(models: Mapping[str, Path], backend: str) -> None:
    """Threads that ask one model at once, at many lengths, get what each would get alone."""
    sequences = [[2, *range(5, 6 + number % 11), 3] for number in range(60)]
    with load(models["assistant"], backend=backend) as model:
        expected = [model.run(ids)["slots"] for ids in sequences]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda ids: model.run(ids)["slots"], sequences))
    assert all(np.array_equal(one, other) for one, other in zip(expected, found, strict=True))


def test_several_threads_per_inference(models: Mapping[str, Path]) -> None:
    """A model loaded with two threads answers as with one."""
    with load(models["assistant"]) as one, load(models["assistant"], threads=2) as two:
        assert np.array_equal(one.run([2, 5, 6, 3])["slots"], two.run([2, 5, 6, 3])["slots"])


def test_backends_agree(models: Mapping[str, Path]) -> None:
    """CompiledModel and the classic interpreter run the same kernels: the logits are equal."""
    for name, path in models.items():
        with load(path, backend="litert-compiled") as one, load(path, backend="litert") as other:
            for ids in ([2, 5, 3], [2, *range(5, 30), 3]):
                left, right = one.run(ids), other.run(ids)
                assert all(np.array_equal(left[head], right[head]) for head in left), name


def test_closed_model(models: Mapping[str, Path]) -> None:
    """A closed model raises an error that says so; closing it again is none."""
    model = load(models["assistant"])
    model.close()
    model.close()
    with pytest.raises(BackendError, match="closed"):
        model.run([5])


def test_closing_while_running(models: Mapping[str, Path]) -> None:
    """Closing waits for a run that is under way, and later ones are refused."""
    model = load(models["assistant"])

    def work(_: int) -> bool:
        try:
            model.run([5] * MAX_LENGTH)
        except BackendError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work, number) for number in range(200)]
        model.close()
        assert all(isinstance(future.result(), bool) for future in running)
    assert not work(0)
