"""`edge-flash card`: prepare a Raspberry Pi OS card that never started."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from firmware_hooks.flash.cli import json_option, reported, show
from firmware_hooks.install import bundle, options
from firmware_hooks.install import card as cards
from firmware_hooks.install.partition import opened


@click.command()
@click.argument("place", metavar="DEVICE|IMAGE|FOLDER", type=click.Path(path_type=Path))
@options.target
@options.payload
@click.option("--dry-run", is_flag=True, help="Look at the card and say what would be done.")
@json_option
def card(
    place: Path,
    machine: str | None,
    python: str | None,
    runtime: str | None,
    models: tuple[str, ...],
    key: Path | None,
    trusted: tuple[Path, ...],
    wheels: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Prepare a freshly written Raspberry Pi OS card: its first start installs edge-runtime, without a network.

    DEVICE is the card (not mounted), IMAGE a file with what will be written to one, FOLDER its boot partition where it is
    mounted. User, password, wireless network and the like are Raspberry Pi Imager's business and stay as they are.
    """
    with reported():
        partition = opened(place)
        system = cards.examine(partition, machine, python, runtime or "")
        told = {"system": system.issue, "mechanism": system.mechanism, "target": str(system.target)}
        adds = ", ".join(cards.changes(partition, system)) or "nothing"
        if dry_run:
            text = f"{place}: {system.issue}; {system.target}; would be started by {system.mechanism} (changes: {adds})"
            show(told, as_json, text)
            return
        with tempfile.TemporaryDirectory(prefix="edge-flash-") as folder:
            made = bundle.make(
                system.target, Path(folder), models=options.absolute(models), key=key, trusted=trusted, wheels=wheels
            )
            files = cards.put(partition, system, made)
        result = {**told, "release": made.release.name, "files": files}
        lines = [f"{place}: {made.release.name} for {system.target}; its first start installs it ({system.mechanism})"]
        lines.append(f"then it is reported in {cards.FOLDER}/log.txt on the boot partition")
        show(result, as_json, "\n".join(lines))
