"""What all commands that build a payload are told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge_runtime.model_file import SUFFIX
from firmware_hooks.payload.target import NEWEST_GLIBC

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def payload(function: Callable[..., Any]) -> Callable[..., Any]:
    """Which models, whose signatures, where wheels come from."""
    for option in (
        click.option(
            "--wheels",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="Folder with them; no network is used.",
        ),
        click.option(
            "--trust",
            "trusted",
            multiple=True,
            type=_FILE,
            metavar="FILE.pub",
            help="Public key that the board trusts too.",
        ),
        click.option(
            "--key",
            type=_FILE,
            help="Private key for models without FILE.sig. Without it the board takes unsigned ones.",
        ),
        click.option(
            "--model",
            "models",
            multiple=True,
            default=("assistant",),
            show_default=True,
            metavar="M",
            help="A bundled model's name or a .tflite file.",
        ),
    ):
        function = option(function)
    return function


def target(function: Callable[..., Any]) -> Callable[..., Any]:
    """Which kind of device."""
    for option in (
        click.option(
            "--runtime", type=click.Choice(["litert", "tflite"]), help="[default: tflite on armv7l, else litert]"
        ),
        click.option(
            "--python", type=click.Choice([*NEWEST_GLIBC]), help="3.11: Debian 12; 3.12: Ubuntu 24.04; 3.13: Debian 13."
        ),
        click.option("--machine", type=click.Choice(["aarch64", "armv7l", "x86_64"])),
    ):
        function = option(function)
    return function


def absolute(models: tuple[str, ...]) -> list[str | os.PathLike[str]]:
    """Models as they were named: paths as paths."""
    return [Path(each) if os.sep in each or each.endswith(SUFFIX) else each for each in models]
