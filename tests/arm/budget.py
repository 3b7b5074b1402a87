"""Holds the instructions of an inference to a budget: fails where one costs over 1 % more than budget.json says.

    python -m tests.arm.budget [NAME | NAME=FILE]… [--core CORE]… [--length N]… [--jobs N] [--update]

Without names, the bundled models. SqueezeBERT-base, which is made anew in every check, is `squeezebert-base=FILE`. What
is measured is what `python -m tests.arm.count` counts: a run at the length of the one before, and one at another, for
which the interpreter lays out its tensors anew. `--update` writes what it finds into the budget: in the commit
whose change makes it right, with the reason in its message.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.arm.count import CORES, LENGTHS, count
from tests.arm.emulation import EmulationError, Userland

BUDGET = Path(__file__).with_name("budget.json")
BUNDLED = ("answers", "assistant", "entities", "sentences", "sentiment")
TOLERANCE = 0.01

ANEW = " anew"
"""what the name of a length ends with where the run before had another"""

Instructions = dict[str, dict[str, dict[str, int]]]
"""by model, core and length: "16", "16 anew" …"""


@dataclass(frozen=True)
class Row:
    model: str
    core: str
    length: str
    """tokens, with `ANEW` or without"""
    allowed: int | None
    """instructions; None: the budget does not name it"""
    found: int

    @property
    def change(self) -> float:
        """As a share of what is allowed."""
        return 0.0 if self.allowed is None else self.found / self.allowed - 1

    @property
    def is_over(self) -> bool:
        return self.allowed is None or self.found - self.allowed > TOLERANCE * self.allowed

    def __str__(self) -> str:
        tokens = self.length.removesuffix(ANEW)
        after = " after another length" if self.length.endswith(ANEW) else ""
        subject = f"{self.model} on {self.core}, {tokens} tokens{after}: {self.found:,} instructions"
        if self.allowed is None:
            return f"{subject}, and no budget: run with --update"
        note = "OVER THE BUDGET of" if self.is_over else "the budget is"
        hint = "; lower it with --update" if self.change < -TOLERANCE else ""
        return f"{subject}, {note} {self.allowed:,} ({100 * self.change:+.2f} %){hint}"


def read(path: Path = BUDGET) -> Instructions:
    content: Instructions = json.loads(path.read_text("utf-8"))
    return content


def compare(allowed: Instructions, model: str, core: str, found: dict[str, int]) -> list[Row]:
    """found: instructions by length."""
    budget = allowed.get(model, {}).get(core, {})
    return [Row(model, core, length, budget.get(length), number) for length, number in found.items()]


def measure(
    userland: Userland, models: dict[str, str], cores: Sequence[str], lengths: tuple[int, ...], jobs: int = 1
) -> Iterator[tuple[str, str, dict[str, int]]]:
    """→ model, core and instructions by length.

    Args:
        userland: in which they are run.
        models: name in the budget → name or path to load.
        cores: emulated.
        lengths: tokens.
        jobs: emulators at a time; each has a counter of its own.
    """
    tasks = [(name, core) for name in models for core in cores]

    def one(task: tuple[str, str]) -> tuple[str, str, dict[str, int]]:
        name, core = task
        rows = count(userland, models[name], core, lengths)
        again = {str(row.length): row.instructions for row in rows}
        return name, core, again | {f"{row.length}{ANEW}": row.instructions + row.change for row in rows}

    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(one, tasks)


def updated(allowed: Instructions, rows: Sequence[Row]) -> Instructions:
    """`allowed` with the rows' numbers in place of its own, in a fixed order."""
    result = {model: {core: dict(lengths) for core, lengths in cores.items()} for model, cores in allowed.items()}
    for row in rows:
        result.setdefault(row.model, {}).setdefault(row.core, {})[row.length] = row.found

    def in_order(lengths: dict[str, int]) -> dict[str, int]:
        return dict(sorted(lengths.items(), key=lambda each: (int(each[0].removesuffix(ANEW)), each[0])))

    return {
        model: {core: in_order(lengths) for core, lengths in sorted(cores.items())}
        for model, cores in sorted(result.items())
    }


def _models(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names or BUNDLED:
        key, _, file = name.partition("=")
        found[key] = str(Path(file).resolve()) if file else key
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="hold the instructions of an inference to a budget")
    parser.add_argument("model", nargs="*", help="NAME of a bundled model, or NAME=FILE; default: all bundled models")
    parser.add_argument("--core", action="append", help=f"default: {', '.join(CORES)}")
    parser.add_argument("--length", type=int, action="append", help=f"tokens; default: {', '.join(map(str, LENGTHS))}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="emulators at a time; default: all CPUs")
    parser.add_argument("--userland", type=Path, default=Path(os.environ.get("EDGE_ARM", "build/arm"), "arm64"))
    parser.add_argument("--update", action="store_true", help="write what is found into the budget")
    given = parser.parse_args()
    allowed = read()
    rows: list[Row] = []
    try:
        found = measure(
            Userland(given.userland),
            _models(given.model),
            given.core or CORES,
            tuple(given.length or LENGTHS),
            given.jobs,
        )
        for model, core, numbers in found:
            rows += (fresh := compare(allowed, model, core, numbers))
            print(*fresh, sep="\n", flush=True)
    except EmulationError as error:
        print(f"budget: {error}", file=sys.stderr)
        return 1
    if given.update:
        BUDGET.write_text(json.dumps(updated(allowed, rows), indent=1) + "\n", "utf-8")
        return 0
    over = [row for row in rows if row.is_over]
    if over:
        print(f"budget: {len(over)} of {len(rows)} counts are over it", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
