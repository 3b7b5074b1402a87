"""`edge-flash`: the commands. What a command needs is imported when it runs, so that `--help` answers at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from edge_runtime import __version__
from edge_runtime.errors import EdgeError
from firmware_hooks.errors import HookError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "card": ("firmware_hooks.install.card_command", "Prepare a Raspberry Pi OS card that never started."),
    "care": ("firmware_hooks.flash.care", "Look after a server and its board, day and night."),
    "image": ("firmware_hooks.image.command", "Build an image for a card."),
    "key": ("firmware_hooks.flash.key", "Keys that models are signed with."),
    "serial": ("firmware_hooks.flash.serial", "Let the server answer at serial ports."),
    "model": ("firmware_hooks.flash.model", "Put models on a board, and take them back."),
    "payload": ("firmware_hooks.install.payload_command", "Fetch, build and measure what boards get."),
    "ssh": ("firmware_hooks.install.ssh_command", "Install on a running system over ssh."),
}
"""name → the module with a click command of that name, and what it is for"""


class Commands(click.Group):
    """Finds a command's module only when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's
        return sorted(name for name in COMMANDS if _is_here(name))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002  click's
        if name not in COMMANDS or not _is_here(name):
            return None
        command = getattr(import_module(COMMANDS[name][0]), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


def _is_here(name: str) -> bool:
    """Whether a command's package is installed: boards are without those that only workstations use."""
    return find_spec(COMMANDS[name][0].rpartition(".")[0]) is not None


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-flash")
def commands() -> None:
    """Put models and software on a board."""


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


def dump(value: object) -> str:
    """One line of JSON."""
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def reported() -> Iterator[None]:
    """Turn an error into one line on standard error and exit status 1."""
    try:
        yield
    except (HookError, EdgeError) as error:
        raise click.ClickException(" ".join(str(error).split())) from None
    except (KeyboardInterrupt, BrokenPipeError, click.ClickException, click.exceptions.Exit):
        raise
    except Exception as error:  # a command never shows a traceback
        raise click.ClickException(f"unexpected {type(error).__name__}: {' '.join(str(error).split())}") from None


def show(value: Mapping[str, Any], as_json: bool, text: str) -> None:
    """Print an object as JSON, or what a person wants to read of it."""
    click.echo(dump(value) if as_json else text)


def main() -> None:
    """Entry point of the console command."""
    commands(prog_name="edge-flash")


if __name__ == "__main__":
    main()
