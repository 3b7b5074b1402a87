"""`edge-flash image`: a file for a card."""

from __future__ import annotations

from pathlib import Path

import click

from firmware_hooks.flash.cli import json_option, reported, show
from firmware_hooks.image.recipes import boards

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.option("--board", default="generic-aarch64", show_default=True, type=click.Choice(sorted(boards())))
@click.option("--model", "models", multiple=True, metavar="NAME|FILE", help="[default: assistant]")
@click.option("--key", type=_FILE, help="Private key to sign the models with.")
@click.option("--trust", "trusted", multiple=True, type=_FILE, help="Public key whose models the board takes.")
@click.option("--ssh-key", "ssh_keys", multiple=True, type=_FILE, help="Public ssh key that may push models.")
@click.option("--serial", metavar="URL", default="", help="Port for microcontrollers.  [default: the board's, if any]")
@click.option("--root-console", is_flag=True, help="A root shell on the console, for anyone who reaches it.")
@click.option("--hostname", default="edge", show_default=True, metavar="NAME")
@click.option(
    "--sources", type=_FILE, help="Debian's archive, as in /etc/apt/sources.list.d.  [default: this machine's]"
)
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="Folder that keeps Debian's packages.")
@json_option
def image(
    output: Path,
    board: str,
    models: tuple[str, ...],
    key: Path | None,
    trusted: tuple[Path, ...],
    ssh_keys: tuple[Path, ...],
    serial: str,
    root_console: bool,
    hostname: str,
    sources: Path | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Build a bootable image: Debian 12, the runtime, models; the root file system read-only."""
    from dataclasses import asdict

    from firmware_hooks.image.build import Recipe, build

    with reported():
        recipe = Recipe(
            board=board,
            models=models or ("assistant",),
            key=key,
            trusted=trusted,
            ssh_keys=ssh_keys,
            serial=serial,
            console=root_console,
            hostname=hostname,
            sources=sources,
            cache=cache,
        )
        built = build(recipe, output)
        lines = [f"{part:40} {size / 1e6:8.1f} MB" for part, size in built.sizes.items()]
        summary = f"{output}: {built.size / 1e6:.0f} MB, release {built.release}, {len(built.packages)} Debian packages"
        show({**asdict(built), "file": str(output)}, as_json, "\n".join([*lines, summary]))
