"""`edge-boards`: the commands. What a command needs is imported when it runs, so that `--help` answers at once."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edge_runtime import __version__
from edge_runtime.cli import DEFAULT_MODEL, reported

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
_model = click.option(
    "--model", default=DEFAULT_MODEL, show_default=True, metavar="M", help="A bundled model's name, or a .tflite file."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-boards")
def commands() -> None:
    """Know the board, tune models to it, and see what they cost there."""


@commands.command("list")
@_json
@click.argument("identity", required=False, metavar="[BOARD]")
def list_boards(identity: str | None, as_json: bool) -> None:
    """List the boards that have a profile, or say all that is known of one BOARD, with sources."""
    from boards import listing
    from boards.profiles import board, every

    with reported():
        if identity is None:
            known = every()
            click.echo(_dump(listing.all_json(known)) if as_json else listing.all_text(known))
        else:
            one = board(identity)
            click.echo(_dump(listing.one_json(one)) if as_json else listing.one_text(one))


@commands.command()
@_json
def detect(as_json: bool) -> None:
    """Say which board this is, what its CPU can do, and what to mend before relying on it."""
    from boards import detection, listing
    from boards.checks import examine
    from boards.system import System

    with reported():
        system = System()
        found = detection.detect(system)
        findings = examine(system, found)
        shown = listing.detected_json(system, found, findings)
        click.echo(_dump(shown) if as_json else listing.detected_text(system, found, findings))


@commands.command()
@_model
@click.option(
    "--seconds", default=100.0, show_default=True, type=click.FloatRange(1, 3600), help="How long to measure."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write the choice.  [default: where `edge-runtime serve` finds it]",
)
@click.option("--dry-run", is_flag=True, help="Measure and print, write nothing.")
@_json
def tune(model: str, seconds: float, output: Path | None, dry_run: bool, as_json: bool) -> None:
    """Measure backends, threads and cores against each other, and keep the fastest for `edge-runtime serve`."""
    from boards import tune as command

    with reported():
        report = command.tune(model, seconds, lambda line: click.echo(line, err=True))
        if not dry_run:
            report = command.keep(report, output)
        click.echo(_dump(report.to_json()) if as_json else report.to_text())


@commands.command()
@click.option("--board", "identity", metavar="BOARD", help="Whose profile to go by.  [default: as `detect` says]")
@_model
@click.option(
    "--minutes",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0, 24 * 60),
    help="Of full load, for temperature and clock.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER|FILE",
    help="Folder for profile.json and profile.html; with --compare the page.  [default: profile; comparison.html]",
)
@click.option("--quick", is_flag=True, help="Fewer runs, and half a minute of load: a look, not a measurement.")
@click.option("--backend", default="auto", show_default=True, help="litert-compiled, litert or tflite-runtime.")
@click.option(
    "--compare",
    is_flag=True,
    help="Make a page of two earlier runs, whose profile.json the two arguments are.",
)
@click.argument(
    "runs", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="[A.json B.json]"
)
@_json
def profile(
    identity: str | None,
    model: str,
    minutes: float,
    output: Path | None,
    quick: bool,
    backend: str,
    compare: bool,
    runs: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Measure latency, operators, load, memory and a soak on this board; write profile.json and a page of it."""
    if len(runs) != (2 if compare else 0):
        raise click.UsageError("--compare takes two profile.json" if compare else "files are given with --compare only")
    from boards.profiling import command

    def progress(line: str) -> None:
        click.echo(line, err=True)

    with reported():
        if compare:
            written = command.compare(runs[0], runs[1], output or Path("comparison.html"))
        else:
            written = command.profile(
                identity,
                model,
                min(minutes, 0.5) if quick else minutes,
                output or Path("profile"),
                quick,
                backend,
                progress,
            )
        click.echo(_dump(written.to_json()) if as_json else written.to_text())


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Entry point of the console command."""
    commands(prog_name="edge-boards")


if __name__ == "__main__":
    main()
