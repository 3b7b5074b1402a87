"""Copies of a network that are kept ready for several lengths of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import BackendError, InputError, Model, load
from edge_runtime.backends import selection
from edge_runtime.backends.backend import Backend
from edge_runtime.backends.by_length import ByLength

LENGTHS = (5, 7, 5, 9, 11, 7, 5, 9, 3, 5)


def copies(model: Model) -> list[int]:
    """The lengths that a model is ready for, the one used longest ago first."""
    backend = model._engine._backend
    assert isinstance(backend, ByLength)
    return list(backend._copies)


def right(model: Model, plain: Model, length: int) -> bool:
    ids = [2, *range(5, 3 + length), 3]
    one, other = model.run(ids), plain.run(ids)
    return all(np.array_equal(one[head], other[head]) for head in plain.info.heads)


@pytest.fixture(params=["litert-compiled", "litert"])
def ready(models: Mapping[str, Path], cache: Path, request: pytest.FixtureRequest) -> Iterator[Model]:
    with load(models["assistant"], backend=request.param, lengths=3) as model:
        yield model


def test_answers_are_those_of_one_network(ready: Model, models: Mapping[str, Path]) -> None:
    """Whichever copy runs a text, and whether or not it has to be laid out for it, the answer is the same."""
    with load(models["assistant"], backend=ready.info.backend) as plain:
        assert all(right(ready, plain, length) for length in LENGTHS)
    assert ready.info.weight_cache == plain.info.weight_cache


def test_the_length_used_longest_ago_gives_way(ready: Model) -> None:
    """There are never more copies than were asked for."""
    seen = []
    for length in LENGTHS:
        ready.run([5] * length)
        seen.append(copies(ready))
    assert seen[:4] == [[5], [5, 7], [7, 5], [7, 5, 9]]
    assert seen[4] == [5, 9, 11]
    assert max(map(len, seen)) == 3


def test_without_another_copy_the_first_goes_on(models: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that cannot be made (no memory, say) is done without."""
    make = selection._open_one
    made: list[object] = []

    def open_one(*arguments: object) -> Backend:
        if made:
            raise BackendError("no more")
        made.append(arguments)
        return make(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(selection, "_open_one", open_one)
    with load(models["assistant"], lengths=3) as model:
        for length in LENGTHS:
            model.run([5] * length)
            assert copies(model) == [length]


@pytest.mark.parametrize("lengths", [0, 65, True, "2"])
def test_how_many(lengths: object, models: Mapping[str, Path]) -> None:
    """One to sixty-four."""
    with pytest.raises(InputError, match="lengths must be 1 to 64"):
        load(models["assistant"], lengths=lengths)  # type: ignore[arg-type]


def test_a_closed_model_is_closed(ready: Model) -> None:
    """Closing frees every copy."""
    ready.run([5] * 4)
    ready.run([5] * 6)
    ready.close()
    with pytest.raises(BackendError, match="closed"):
        ready.run([5] * 4)
