"""`edge-runtime`: the commands. What a command needs is imported when it runs, so that `--help` answers at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click

from edge_runtime import __version__
from edge_runtime.backends.by_length import MAX_LENGTHS
from edge_runtime.errors import EdgeError
from edge_runtime.own_process import start_lean

DEFAULT_MODEL = "assistant"
OPERATIONS = ("ask", "understand", "classify", "tag", "answer", "embed", "fill", "choose")

_model = click.option(
    "--model", default=DEFAULT_MODEL, show_default=True, metavar="M", help="A bundled model's name, or a .tflite file."
)
_token_file = click.option(
    "--token-file", type=click.Path(path_type=Path), metavar="FILE", help="Secret that the server asks for."
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

    with reported():
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

    with reported():
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
    "--slots",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Serve what `edge-flash model push` put there, after those named by --model.",
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
@click.option(
    "--serial",
    multiple=True,
    metavar="URL",
    help="Serial port for microcontrollers, as /dev/ttyS0?baud=115200; may be given several times.",
)
@click.option("--metrics", metavar="HOST:PORT|PATH", help="Where GET /metrics and GET /health are answered over HTTP.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes of each model.")
@click.option("--threads", type=click.IntRange(1), help="Threads of one inference.  [default: as tuned, else 1]")
@click.option("--backend", default="auto", show_default=True, help="litert-compiled, litert or tflite-runtime.")
@click.option("--cores", default="auto", show_default=True, metavar="4-7|all|auto", help="Cores that workers keep to.")
@click.option(
    "--lengths",
    default=1,
    show_default=True,
    type=click.IntRange(1, MAX_LENGTHS),
    help="Lengths of text that each worker keeps a copy of its network ready for.",
)
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
def serve(
    models: tuple[str, ...],
    slots: Path | None,
    log_level: str,
    log_format: Literal["text", "json"],
    **given: Any,
) -> None:
    """Answer requests on local sockets and serial ports, day and night (docs/protocol.md, docs/serial.md)."""
    from edge_runtime.server import without_tls

    without_tls.import_asyncio()
    from edge_runtime.commands import serve as command
    from edge_runtime.server import daemon, logs

    with reported():
        logs.configure(log_level, log_format)
        every = (*models, *(() if slots is None else command.in_slots(slots, models)))
        daemon.run(command.options(models=every or (DEFAULT_MODEL,), **given))


@commands.command()
@click.argument("arguments", nargs=-1, metavar="[URL] TEXT")
@click.option(
    "--op", default="ask", show_default=True, type=click.Choice(OPERATIONS), help="What to ask; the model decides."
)
@click.option("--model", metavar="M", help="Which of the server's models.  [default: its first]")
@click.option("--pair", "pairs", multiple=True, metavar="TEXT", help="As for `ask`.")
@click.option("--deadline-ms", type=click.FloatRange(0, min_open=True), metavar="N", help="How long it may take.")
@_token_file
@click.option("--stream", is_flag=True, help="Read a text of any length from standard input; TEXT is then a question.")
@_json
def call(
    arguments: tuple[str, ...],
    op: str,
    model: str | None,
    pairs: tuple[str, ...],
    deadline_ms: float | None,
    token_file: Path | None,
    stream: bool,
    as_json: bool,
) -> None:
    """Ask a running server about TEXT.

    URL is unix:///PATH, tcp://HOST:PORT or serial:///DEVICE?baud=N; left out, it is $EDGE_RUNTIME_URL or the usual
    socket.

    With --stream, what is found in each window is printed as it comes, and then what is found in all of the text; with
    --json as one object a line.
    """
    from edge_runtime.commands import call as command

    url, texts = command.split(arguments)
    if len(texts) > 1 or not (texts or stream):
        raise click.UsageError("give one TEXT" if texts else "Missing argument 'TEXT'.")
    with reported():
        server = command.place(url, token_file)
        if not stream:
            found = command.call(server, texts[0], op, model, pairs, deadline_ms)
            click.echo(_dump(found.to_json()) if as_json else found.to_text())
            return
        from edge_runtime.commands.listen import Listener

        with server.client() as client:
            task = None if op == "ask" else op
            listener = Listener(client, sys.stdin.fileno(), task, model, texts[0] if texts else None)
            for window in listener.windows():
                click.echo(_dump(listener.window_json(window)) if as_json else listener.window_text(window))
            click.echo(_dump(listener.final_json()) if as_json else listener.final_text())


@commands.command()
@click.argument("url", required=False)
@click.option(
    "--interval", default=1.0, show_default=True, type=click.FloatRange(0.1, 3600), metavar="S", help="Seconds."
)
@click.option("--once", is_flag=True, help="One reading, of all the time since the server was started.")
@_token_file
@_json
def top(url: str | None, interval: float, once: bool, token_file: Path | None, as_json: bool) -> None:
    """Watch a running server: rates, latency, queues, memory; `q` ends it.

    Where the output is no terminal it is a line each time, or with --json an object. URL is as for `call`.
    """
    from edge_runtime.commands import call
    from edge_runtime.commands import top as command

    with reported():
        command.watch(call.place(url, token_file), interval, once, _dump if as_json else None)


@commands.command()
@_json
def doctor(as_json: bool) -> None:
    """Say what is wrong with this machine or install, and how to mend it."""
    from edge_runtime.commands import doctor as command

    with reported():
        findings = command.examine()
        click.echo(_dump(command.to_json(findings)) if as_json else command.to_text(findings))
        if not command.is_well(findings):
            raise EdgeError("something needs mending; see the findings above")


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def reported() -> Iterator[None]:
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
    start_lean()
    commands(prog_name="edge-runtime")


if __name__ == "__main__":
    main()
