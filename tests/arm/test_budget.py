"""The budget of instructions: what fails it, and that it covers what it promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.arm import budget
from tests.arm.count import CORES, LENGTHS, Count
from tests.arm.emulation import Userland

ALLOWED: budget.Instructions = {"small": {"cortex-a72": {"16": 1_000_000}}}
MODELS = (*budget.BUNDLED, "squeezebert-base")


@pytest.mark.parametrize(("found", "over"), [(1_010_000, False), (1_010_001, True), (500_000, False)])
def test_over_one_per_cent_fails_with_both_numbers(found: int, over: bool) -> None:
    """A count is over the budget from 1 % more on, and its line names what was found and what is allowed."""
    (row,) = budget.compare(ALLOWED, "small", "cortex-a72", {"16": found})
    assert row.is_over is over
    assert f"{found:,}" in str(row)
    assert "1,000,000" in str(row)
    assert ("OVER" in str(row)) is over


def test_what_has_no_budget_fails() -> None:
    """A model, core or length that the budget does not name fails until it does."""
    rows = [
        *budget.compare(ALLOWED, "small", "cortex-a72", {"32": 1}),
        *budget.compare(ALLOWED, "small", "cortex-a76", {"16": 1}),
        *budget.compare(ALLOWED, "other", "cortex-a72", {"16": 1}),
    ]
    assert all(row.is_over for row in rows)


@pytest.mark.parametrize(("instructions", "status"), [(1_005_000, 0), (1_020_000, 1)])
def test_command(
    instructions: int,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command's exit status is 1 when a count is over the budget; --update makes the same count pass."""
    (tmp_path / "run").touch()
    path = tmp_path / "budget.json"
    path.write_text(json.dumps({"small": {"cortex-a72": {"16": 1_000_000, "16 anew": 1_000_000}}}))
    arguments = ["budget", "small=file", "--core", "cortex-a72", "--length", "16", "--userland", str(tmp_path)]
    monkeypatch.setattr(budget, "BUDGET", path)
    monkeypatch.setattr(budget, "read", lambda: json.loads(path.read_text()))
    monkeypatch.setattr(budget, "count", lambda *_: [Count("cortex-a72", "litert", 16, instructions, 0)])
    monkeypatch.setattr("sys.argv", arguments)
    assert budget.main() == status
    assert f"{instructions:,}" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", [*arguments, "--update"])
    assert budget.main() == 0
    monkeypatch.setattr("sys.argv", arguments)
    assert budget.main() == 0


def test_a_new_length_is_held_to_its_own_budget(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What laying out anew costs comes on top of the run, and is over the budget when the run itself is not."""
    monkeypatch.setattr(budget, "count", lambda *_: [Count("cortex-a72", "litert", 16, 1_000_000, 250_000)])
    (tmp_path / "run").touch()
    ((model, core, found),) = budget.measure(Userland(tmp_path), {"small": "file"}, ["cortex-a72"], (16,))
    allowed: budget.Instructions = {"small": {"cortex-a72": {"16": 1_000_000, "16 anew": 1_200_000}}}
    again, anew = budget.compare(allowed, model, core, found)
    assert (again.is_over, anew.is_over) == (False, True)
    assert "16 tokens after another length: 1,250,000 instructions, OVER THE BUDGET of 1,200,000" in str(anew)


def test_update_keeps_the_rest() -> None:
    """New numbers take the place of old ones, and what was not measured stays."""
    rows = budget.compare(ALLOWED, "small", "cortex-a72", {"128": 9, "16 anew": 6, "16": 5})
    rows += budget.compare(ALLOWED, "another", "cortex-a53", {"16": 7})
    expected = {"another": {"cortex-a53": {"16": 7}}, "small": {"cortex-a72": {"16": 5, "16 anew": 6, "128": 9}}}
    assert json.dumps(budget.updated(ALLOWED, rows)) == json.dumps(expected)


def test_budget_covers_the_matrix() -> None:
    """Every bundled model and SqueezeBERT-base has a budget on each core at each length, new and as before."""
    allowed = budget.read()
    assert set(allowed) == set(MODELS)
    for model in MODELS:
        assert {core: set(lengths) for core, lengths in allowed[model].items()} == {
            core: {f"{length}{after}" for length in LENGTHS for after in ("", budget.ANEW)} for core in CORES
        }
