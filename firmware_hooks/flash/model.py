"""`edge-flash model`: put models on a board, see how they do, take them back."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from edge_runtime.client.urls import default_url
from firmware_hooks.errors import HookError
from firmware_hooks.flash import describing, ssh, transfer
from firmware_hooks.flash.board import Board
from firmware_hooks.flash.cli import json_option, reported, show
from firmware_hooks.slots import keys
from firmware_hooks.slots import slots as places
from firmware_hooks.slots.slots import MAX_STARTS
from firmware_hooks.slots.trial import Terms, Trial

PAUSE = 5.0
"""seconds between two looks at a trial"""

_TERMS = Terms()
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_to = click.option("--to", metavar="ssh://USER@HOST", help="A board.  [default: this machine]")
_name = click.option("--name", metavar="NAME", help="Of the model; needed where there are slots of several.")


def _board(function: Any) -> Any:
    """Options that say where things are on this machine."""
    options = (
        click.option(
            "--models",
            default=places.FOLDER,
            show_default=True,
            envvar="EDGE_FLASH_MODELS",
            type=click.Path(path_type=Path),
            help="Folder with the slots.",
        ),
        click.option(
            "--keys",
            "trusted",
            default=keys.FOLDER,
            show_default=True,
            envvar="EDGE_FLASH_KEYS",
            type=click.Path(path_type=Path),
            help="Folder with the keys that are trusted.",
        ),
        click.option("--url", metavar="URL", help="Of the running server.  [default: as `edge-runtime call`]"),
    )
    for option in options:
        function = option(function)
    return function


@click.group()
def model() -> None:
    """Put models on a board, and take them back."""


@model.command()
@click.argument("file", type=_FILE)
@_to
@click.option("--name", metavar="NAME", help="Refuse a model of another name.")
@click.option("--signature", type=_FILE, help="[default: FILE.sig, if it is there]")
@click.option("--key", type=_FILE, help="Private key to sign with now.")
@click.option(
    "--version", type=click.IntRange(1), metavar="N", help="Where there is no signature yet, or no manifest's."
)
@click.option("--allow-downgrade", is_flag=True, help="Take an older version, where its signature permits that.")
@click.option("--no-switch", is_flag=True, help="Leave it in its slot, for `switch`.")
@_board
@json_option
def push(
    file: Path,
    to: str | None,
    name: str | None,
    signature: Path | None,
    key: Path | None,
    version: int | None,
    allow_downgrade: bool,
    no_switch: bool,
    models: Path,
    trusted: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """Put the model FILE into the other slot, try it, and switch to it."""
    with reported():
        stated = describing.statement(file, signature, key, version, allow_downgrade)
        if name is not None and stated.name != name:
            raise HookError(f"{file} holds a model named {stated.name}, not {name}")
        if to is None:
            board = Board(models, trusted, url or default_url())
            result = board.push(
                stated.encoded(), describing.pieces(file), allow_downgrade=allow_downgrade, switch=not no_switch
            )
        else:
            order = {
                "op": "push",
                "statement": stated.encoded().decode("ascii"),
                "allow_downgrade": allow_downgrade,
                "switch": not no_switch,
            }
            result = ssh.order(to, order, file)
        show(result, as_json, _pushed(result, no_switch))


@model.command()
@click.argument("file", type=_FILE)
@click.option("--key", required=True, type=_FILE, help="Private key.")
@click.option("--version", type=click.IntRange(1), metavar="N", help="[default: that of its manifest]")
@click.option("--allow-downgrade", is_flag=True, help="Let boards that are told so take it in a newer one's place.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="[default: FILE.sig]")
@json_option
def sign(file: Path, key: Path, version: int | None, allow_downgrade: bool, output: Path | None, as_json: bool) -> None:
    """Sign the model FILE: write what boards want to see beside it."""
    with reported():
        stated = describing.signed(file, key, version, allow_downgrade)
        target = output or describing.beside(file)
        try:
            target.write_bytes(stated.encoded())
        except OSError as error:
            raise HookError(f"{target} cannot be written: {error.strerror}") from None
        show(
            {"signature": str(target), "name": stated.name, "version": stated.version, "key": stated.key},
            as_json,
            f"{target}: {stated.name}, version {stated.version}, signed with key {stated.key}",
        )


@model.command()
@_to
@_name
@_board
@json_option
def status(to: str | None, name: str | None, models: Path, trusted: Path, url: str | None, as_json: bool) -> None:
    """Say what each slot holds and how it does."""
    with reported():
        result = _order({"op": "status", "name": name}, to, models, trusted, url)
        show(result, as_json, "\n".join(_described(result["models"])) or "no model was pushed yet")


@model.command()
@_to
@_name
@_board
@json_option
def rollback(to: str | None, name: str | None, models: Path, trusted: Path, url: str | None, as_json: bool) -> None:
    """Give the active model up and go back to the other one."""
    with reported():
        result = _order({"op": "rollback", "name": name}, to, models, trusted, url)
        show(result, as_json, _moved(result))


@model.command()
@_to
@_name
@_board
@json_option
def confirm(to: str | None, name: str | None, models: Path, trusted: Path, url: str | None, as_json: bool) -> None:
    """Say that the active model is good: it stays, and older versions are refused from now on."""
    with reported():
        result = _order({"op": "confirm", "name": name}, to, models, trusted, url)
        show(result, as_json, _moved(result))


@model.command()
@_to
@_name
@_board
@json_option
def switch(to: str | None, name: str | None, models: Path, trusted: Path, url: str | None, as_json: bool) -> None:
    """Let the model that waits in the other slot take over."""
    with reported():
        result = _order({"op": "switch", "name": name}, to, models, trusted, url)
        show(result, as_json, _moved(result))


@model.command()
@_name
@click.option("--max-starts", default=MAX_STARTS, show_default=True, type=click.IntRange(1), help="Of a trial.")
@_board
@json_option
def start(name: str | None, max_starts: int, models: Path, trusted: Path, url: str | None, as_json: bool) -> None:
    """Before each start of the server: verify the active model, mend what a power cut left, count a trial's starts.

    For ExecStartPre= of the server's unit. All models, if none is named. Prints the paths that `edge-runtime serve
    --model` takes, and that `--slots` finds by itself.
    """
    with reported():
        started = Board(models, trusted, url or "", max_starts).start(name)
        show({"models": started}, as_json, "\n".join(each["path"] for each in started))


@model.command()
@_name
@click.option(
    "--requests", default=_TERMS.requests, show_default=True, type=click.IntRange(1), help="That make it good."
)
@click.option(
    "--seconds", default=_TERMS.seconds, show_default=True, type=click.FloatRange(1), help="That make it good."
)
@click.option("--once", is_flag=True, help="End when no trial is going on.")
@_board
@json_option
def watch(
    name: str | None,
    requests: int,
    seconds: float,
    once: bool,
    models: Path,
    trusted: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """Watch models on trial: those that do well become good, those that do not are rolled back."""
    with reported():
        board = Board(models, trusted, url or default_url())
        terms = Terms(requests=requests, seconds=seconds)
        trials: dict[str, Trial] = {}
        while True:
            trials = {each: trial for each, trial in board.trials(terms, trials).items() if name in (None, each)}
            if once and not trials:
                return
            for each, trial in trials.items():
                seen = board.judge(board.slots(each), trial, time.monotonic())
                if seen["outcome"] != "open":
                    show(seen, as_json, f"{each}: {seen['outcome']}, for {seen['reason']}")
            time.sleep(PAUSE)


@model.command()
@_board
def receive(models: Path, trusted: Path, url: str | None) -> None:
    """The board's end of --to: does what standard input says. For ssh, and for command= in authorized_keys."""
    # nothing but answers may go to standard output, not even what libraries print there
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if not transfer.receive(Board(models, trusted, url or default_url()), sys.stdin.buffer, outgoing):
        sys.exit(1)


def _order(order: dict[str, Any], to: str | None, models: Path, trusted: Path, url: str | None) -> dict[str, Any]:
    """Do something here, or let a board do it."""
    if to is not None:
        return ssh.order(to, order)
    board = Board(models, trusted, url or default_url())
    result: dict[str, Any] = getattr(board, order["op"])(order["name"])
    return result


def _pushed(result: dict[str, Any], waits: bool) -> str:
    if not result["changed"]:
        return f"{result['name']} runs this very model already (version {result['version']}, {result['state']})"
    if waits:
        return f"{result['name']}: the model waits in its slot; `edge-flash model switch` lets it take over"
    return _moved(result)


def _moved(result: dict[str, Any]) -> str:
    note = f"\n{result['note']}" if result.get("note") else ""
    return (
        f"{result['name']}: version {result['version']} in slot {result['active']} is active, {result['state']}{note}"
    )


def _described(found: list[dict[str, Any]]) -> Iterable[str]:
    for each in found:
        yield f"{each['name']}  (versions below {each['floor']} are refused)"
        for name, slot in each["slots"].items():
            mark = "*" if name == each["active"] else " "
            if slot["state"] == "empty":
                yield f"{mark} {name}  empty"
                continue
            starts = f", started {slot['starts']} times" if slot["state"] == "trial" else ""
            reason = f": {slot['reason']}" if slot["reason"] else ""
            wrong = f"; CANNOT BE USED: {slot['wrong']}" if slot["wrong"] else ", verified"
            signed = f"key {slot['key']}" if slot["key"] else "not signed"
            yield f"{mark} {name}  version {slot['version']}  {slot['state']}{starts}{reason}  ({signed}{wrong})"
