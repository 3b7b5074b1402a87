"""`edge-runtime`: the commands. What a command needs is imported when it runs, so that `--help` answers at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click

from edge_runtime import __version__
from edge_runtime.errors import EdgeError

DEFAULT_MODEL = "assistant"

_model = click.option(
    "--model", default=DEFAULT_MODEL, show_default=True, metavar="M", help="A bundled model's name, or a .tflite file."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-runtime")
def commands() -> None:
    """Understand language on this machine, with no cloud."""


@commands.command()
@_model
@click.argument("text")
@click.option(
    "--pair",
    "pairs",
    multiple=True,
    metavar="TEXT",
    help="The second text: the context of a question, or (several times) the choices.",
)
@_json
def ask(model: str, text: str, pairs: tuple[str, ...], as_json: bool) -> None:
    """Ask a model about TEXT; the model decides what is asked."""
    from edge_runtime.commands import ask as command

    with _reported():
        found = command.ask(model, text, pairs)
        click.echo(_dump(found.to_json()) if as_json else found.to_text())


@commands.command()
@_model
@click.option(
    "--length",
    "lengths",
    multiple=True,
    type=click.IntRange(1),
    metavar="N",
    help="Tokens of a request; may be given several times.  [default: 16, 32, 64, 128]",
)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="Threads of one inference.")
@click.option("--runs", default=100, show_default=True, type=click.IntRange(1), help="Inferences per length.")
@_json
def bench(model: str, lengths: tuple[int, ...], threads: int, runs: int, as_json: bool) -> None:
    """Measure latency, load time and memory on this machine."""
    from edge_runtime.commands import bench as command

    with _reported():
        report = command.bench(model, lengths, threads, runs, lambda line: click.echo(line, err=True))
        click.echo(_dump(report.to_json()) if as_json else report.to_text())


@commands.command()
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="M",
    help=f"A bundled model's name, or a .tflite file; may be given several times.  [default: {DEFAULT_MODEL}]",
)
@click.option(
    "--socket", "unix", type=click.Path(path_type=Path), metavar="PATH", help="Unix socket to listen at; the default."
)
@click.option("--socket-mode", "mode", default="660", show_default=True, metavar="OCTAL", help="Of the Unix socket.")
@click.option("--socket-group", "group", metavar="GROUP", help="Of the Unix socket.")
@click.option(
    "--tcp", multiple=True, metavar="HOST:PORT", help="TCP address of this machine; may be given several times."
)
@click.option("--allow-remote", is_flag=True, help="Let --tcp be reached from other machines; needs --token-file.")
@click.option(
    "--token-file", type=click.Path(path_type=Path), metavar="FILE", help="Secret that TCP clients must know."
)
@click.option("--metrics", metavar="HOST:PORT|PATH", help="Where GET /metrics and GET /health are answered over HTTP.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes of each model.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="Threads of one inference.")
@click.option("--backend", default="auto", show_default=True, help="litert-compiled, litert or tflite-runtime.")
@click.option(
    "--overflow",
    default="error",
    show_default=True,
    type=click.Choice(["error", "truncate", "window"]),
    help="What happens to texts that are longer than the model takes.",
)
@click.option("--queue", default=1024, show_default=True, type=click.IntRange(1), help="Requests that may wait.")
@click.option("--deadline-ms", type=float, metavar="N", help="Of requests that name none.  [default: 2000]")
@click.option("--connections", type=click.IntRange(1), metavar="N", help="Clients at a time.  [default: 256]")
@click.option(
    "--log-level", default="info", show_default=True, type=click.Choice(["debug", "info", "warning", "error"])
)
@click.option("--log-format", default="text", show_default=True, type=click.Choice(["text", "json"]))
def serve(models: tuple[str, ...], log_level: str, log_format: Literal["text", "json"], **given: Any) -> None:
    """Answer requests on local sockets, day and night (docs/protocol.md)."""
    from edge_runtime.commands import serve as command
    from edge_runtime.server import daemon, logs

    with _reported():
        logs.configure(log_level, log_format)
        daemon.run(command.options(models=models or (DEFAULT_MODEL,), **given))


@commands.command()
@_json
def doctor(as_json: bool) -> None:
    """Say what is wrong with this machine or install, and how to mend it."""
    from edge_runtime.commands import doctor as command

    with _reported():
        findings = command.examine()
        click.echo(_dump(command.to_json(findings)) if as_json else command.to_text(findings))
        if not command.is_well(findings):
            raise EdgeError("something needs mending; see the findings above")


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def _reported() -> Iterator[None]:
    """Turn an error into one line on standard error and exit status 1."""
    try:
        yield
    except EdgeError as error:
        raise click.ClickException(" ".join(str(error).split())) from None
    except (KeyboardInterrupt, BrokenPipeError, click.ClickException, click.exceptions.Exit):
        raise
    except Exception as error:  # a command never shows a traceback
        raise click.ClickException(f"unexpected {type(error).__name__}: {' '.join(str(error).split())}") from None


def main() -> None:
    """Entry point of the console command."""
    commands(prog_name="edge-runtime")


if __name__ == "__main__":
    main()
