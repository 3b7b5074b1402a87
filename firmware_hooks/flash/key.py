"""`edge-flash key`: make keys, look at them, see which ones a board trusts."""

from __future__ import annotations

import os
from pathlib import Path

import click

from firmware_hooks.flash.cli import json_option, reported, show
from firmware_hooks.slots import keys
from firmware_hooks.slots.keys import FOLDER


@click.group()
def key() -> None:
    """Keys that models are signed with."""


@key.command()
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def new(path: Path, as_json: bool) -> None:
    """Make a private key at PATH and its public key at PATH.pub.

    With $EDGE_FLASH_PASSPHRASE set the private key is encrypted with it. The public key goes to the boards, into
    /etc/edge-runtime/keys.
    """
    with reported():
        from firmware_hooks.flash import signing

        identifier = keys.identifier(signing.new(path, os.environ.get(signing.PASSPHRASE)))
        public = f"{path}{keys.SUFFIX}"
        show(
            {"key": identifier, "private": str(path), "public": public},
            as_json,
            f"key {identifier}: keep {path} to yourself, put {public} into {FOLDER} of the boards",
        )


@key.command("show")
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def show_key(path: Path, as_json: bool) -> None:
    """Say which key is in PATH, a public key's file."""
    with reported():
        raw = keys.read(path)
        identifier = keys.identifier(raw)
        show({"key": identifier, "public": raw.hex()}, as_json, f"key {identifier}\n{raw.hex()}")


@key.command("list")
@click.option(
    "--keys",
    "folder",
    default=FOLDER,
    show_default=True,
    envvar="EDGE_FLASH_KEYS",
    type=click.Path(path_type=Path),
    help="Where they lie.",
)
@json_option
def list_keys(folder: Path, as_json: bool) -> None:
    """Say which keys this board trusts."""
    with reported():
        trust = keys.trusted(folder)
        lines = [*trust.keys, *(f"unusable: {reason}" for reason in trust.unusable)]
        if trust.unsigned:
            lines.append("models without a signature are taken too")
        show(
            {"keys": list(trust.keys), "unusable": list(trust.unusable), "unsigned_allowed": trust.unsigned},
            as_json,
            "\n".join(lines) or f"no key is trusted: {folder} holds none",
        )
