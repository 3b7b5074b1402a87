"""`edge-flash care`: look after the server and the board."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from firmware_hooks.care import settings
from firmware_hooks.flash.cli import reported


@click.command()
@click.option(
    "--config",
    default=settings.FILE,
    show_default=True,
    type=click.Path(path_type=Path),
    help="What to do; the defaults where it is missing.",
)
@click.option("--board", metavar="NAME", help="As `edge-boards list` has it.  [default: detected]")
@click.option("--root", default="/", type=click.Path(path_type=Path), hidden=True, help="Of /sys and /proc.")
@click.option("--check", is_flag=True, help="Only say whether the configuration can be used.")
def care(config: Path, board: str | None, root: Path, check: bool) -> None:
    """Govern the temperature, log the power, switch the LED, run hooks, end models' trials (docs/service.md)."""
    with reported():
        settings.read(config)
        if check:
            return
        # anew, without what the command line needed: this process stays for good
        words = [sys.executable, "-m", "firmware_hooks.care", str(config.absolute()), board or "", str(root)]
        sys.stdout.flush()
        os.execv(sys.executable, words)  # noqa: S606  no shell is wanted
