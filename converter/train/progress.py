"""A training as it is seen in a terminal: a bar for the epoch, and a line for every epoch that is done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from rich.progress import TaskID

    from converter.train.training import Epoch, Step

SECONDS = 10.0
"""between two lines where there is no terminal to show a bar"""


class Display:
    """On standard error: a bar that goes on where that is a terminal, else a line now and then."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        plain = not console.is_terminal or console.is_dumb_terminal
        self._bars = Progress(*columns, console=console, disable=plain, transient=True)
        self._bar: TaskID | None = None
        self._key = ""
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def step(self, step: Step) -> None:
        rate = step.tokens / step.seconds if step.seconds else 0.0
        description = f"epoch {step.epoch}/{step.epochs}  loss {step.loss:.4f}  {rate:,.0f} tokens/s"
        self._show(f"epoch {step.epoch}", description, step.examples, step.of)

    def teaching(self, done: int, of: int) -> None:
        self._show("teacher", "asking the teacher", done, of)

    def epoch(self, epoch: Epoch) -> None:
        each = "; ".join(
            f"{name}: " + ", ".join(f"{metric} {value:.4f}" for metric, value in scores.items() if metric != "texts")
            for name, scores in epoch.scores.items()
        )
        rate = epoch.tokens / epoch.seconds if epoch.seconds else 0.0
        line = f"epoch {epoch.number}: loss {epoch.loss:.4f}; {each}; {rate:,.0f} tokens/s"
        if self._bars.disable:
            click.echo(line, err=True)
        else:
            self._bars.console.print(line, highlight=False, markup=False)

    def _show(self, key: str, description: str, done: int, of: int) -> None:
        if self._bars.disable:
            if time.monotonic() - self._told >= SECONDS:
                click.echo(f"{description}, {done:,} of {of:,} examples", err=True)
                self._told = time.monotonic()
            return
        if key != self._key or self._bar is None:
            if self._bar is not None:
                self._bars.remove_task(self._bar)
            self._bar, self._key = self._bars.add_task(description, total=of), key
        self._bars.update(self._bar, completed=done, description=description, total=of)
