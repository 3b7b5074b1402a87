"""`edge-converter`: the commands. What a command needs is imported when it runs, so that `--help` answers at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_runtime import __version__
from edge_runtime.manifest import MAX_VERSION

if TYPE_CHECKING:
    from converter.arrangement import Effort
    from converter.conversion import Report
    from converter.evaluation import Evaluation
    from converter.inspection import Inspection

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def _checkpoint(context: click.Context, parameter: click.Parameter, value: str) -> Path:
    """A checkpoint folder, or the one that came along under this name."""
    from converter import starters
    from converter.errors import CheckpointError

    try:
        return starters.find(value)
    except CheckpointError as error:
        raise click.BadParameter(str(error), context, parameter) from error


_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
_version = click.option(
    "--version",
    type=click.IntRange(1, MAX_VERSION),
    metavar="N",
    help="The model's version: a number higher than that of its forerunner.",
)
_heads = click.option(
    "--head", "heads", multiple=True, metavar="NAME", help="Of a base model: embedding (default), hidden, pooled."
)
WORST_TENSORS = 15
"""shown by evaluate; --json has all"""


class _Commands(click.Group):
    """Finds `train`, `distil` and `score` only when they are asked for: they stand in files of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "distil", "score", "train"])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name == "train":
            from converter.train.command import train

            return train
        if name == "distil":
            from converter.distil.command import distil

            return distil
        if name == "score":
            from converter.score_command import score

            return score
        return super().get_command(ctx, name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-converter")
def main() -> None:
    """Turn SqueezeBERT and BERT checkpoints into integer models for small boards."""


@main.command()
@click.argument("checkpoint", callback=_checkpoint)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.option(
    "--calibration",
    type=_FILE,
    help="Texts like those the model will see, one a line.  [default: the checkpoint's calibration.txt, as `train` "
    "leaves it; without one, a general English sample]",
)
@click.option("--name", help="The model's name.  [default: the output's file name]")
@click.option(
    "--effort",
    type=click.Choice(["fast", "best"]),
    default="best",
    show_default=True,
    help="fast takes half the time, best is a little more accurate.",
)
@_version
@click.option(
    "--self-test",
    type=_FILE,
    help="Questions that a board asks the model before it switches to it, one a line: texts, or JSON objects with the "
    "answer to expect (see `edge-converter self-test`).",
)
@_heads
@_json
def convert(
    checkpoint: Path,
    output: Path,
    calibration: Path | None,
    name: str | None,
    effort: Effort,
    version: int | None,
    self_test: Path | None,
    heads: tuple[str, ...],
    as_json: bool,
) -> None:
    """Convert CHECKPOINT, a Hugging Face folder or one that came along, into one fully-integer .tflite file."""
    with reported():
        from converter import self_test as tests
        from converter.conversion import convert as run

        questions = [] if self_test is None else tests.read(self_test)
        own = checkpoint / "calibration.txt"
        if calibration is None and own.is_file():
            calibration = own
        with progress_bars() as progress:
            report = run(
                checkpoint,
                output,
                calibration=calibration,
                heads=list(heads) or None,
                name=name,
                effort=effort,
                progress=progress,
            )
        if questions or version is not None:
            tests.add(output, questions, version)
    if as_json:
        _dump(report.to_json())
    else:
        _show_report(report)


@main.command("self-test")
@click.argument("file", type=_FILE)
@click.argument("questions", type=_FILE)
@_version
def self_test(file: Path, questions: Path, version: int | None) -> None:
    """Have FILE bring QUESTIONS along, which a board asks it before it switches to it.

    A question is a line: a text, or {"text": …, "expect": …} as in docs/slots.md. Where nothing is expected, what FILE
    answers here is written down. Fails, and leaves FILE as it was, if an answer is not as expected.
    """
    with reported():
        from converter import self_test as tests

        answered = tests.add(file, tests.read(questions), version)
    for question in answered:
        click.echo(f"{question['text']}\n    {json.dumps(question['expect'], ensure_ascii=False)}")


@main.command()
@click.argument("checkpoint", type=_FOLDER)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Checkpoint folder to write.")
def compact(checkpoint: Path, output: Path) -> None:
    """Store a checkpoint's matrices in eight bits a weight: to be passed on, and trained further."""
    with reported():
        from converter.checkpoint.compact import compact as run

        run(checkpoint, output)


@main.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Checkpoint folder or model file to write."
)
@click.option("--size", required=True, type=click.IntRange(min=1), metavar="N", help="Tokens to keep.")
@click.option(
    "--texts",
    required=True,
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Texts like those the model will see, one a line, or data of any format. May be given several times.",
)
@_json
def trim(model: Path, output: Path, size: int, texts: tuple[Path, ...], as_json: bool) -> None:
    """Keep the N tokens of MODEL's vocabulary that matter most for texts of a kind.

    MODEL is a checkpoint folder, or a model file that `convert` wrote.
    """
    with reported():
        from converter.checkpoint.trimmed import trim_checkpoint
        from converter.data_sets import read_texts
        from converter.trimmed_file import trim_file

        run = trim_checkpoint if model.is_dir() else trim_file
        done = run(model, output, size, [text for path in texts for text in read_texts(path)])
    if as_json:
        _dump(done.to_json())
        return
    click.echo(f"{'vocabulary':24}{done.vocabulary_before:,} → {done.vocabulary:,} tokens")
    click.echo(f"{'parameters':24}{done.parameters_before:,} → {done.parameters:,}")
    longer = done.tokens / done.tokens_before - 1
    click.echo(
        f"{'the texts':24}{done.tokens_before:,} → {done.tokens:,} tokens ({longer:+.1%}) in {done.texts:,} texts"
    )
    _mention_self_test(done.without_self_test)


def _mention_self_test(left_out: bool) -> None:
    if left_out:
        click.echo(
            "its self-test was left out, for it may answer otherwise now; `edge-converter self-test` gives it one"
        )


@main.command()
@click.argument("file", type=_FILE)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Model file to write.")
@click.option("--longest", type=int, metavar="N", help="Tokens of the longest text.  [default: what FILE takes]")
@click.option("--single-texts", is_flag=True, help="It will not be given pairs of texts.")
@_json
def shorten(file: Path, output: Path, longest: int | None, single_texts: bool, as_json: bool) -> None:
    """Leave out the positions of a model file that its texts do not reach; nothing else changes."""
    with reported():
        from converter.shortening import shorten as run

        done = run(file, output, longest, single_texts)
    if as_json:
        _dump(done.to_json())
    else:
        click.echo(f"{done.bytes_before:,} → {done.bytes:,} bytes; texts of up to {done.longest} tokens")
        _mention_self_test(done.without_self_test)


@main.command()
@click.argument("checkpoints", nargs=-1, required=True, type=_FOLDER)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to write.")
def average(checkpoints: tuple[Path, ...], output: Path) -> None:
    """Write the mean of CHECKPOINTS' weights, which were trained from one start with several seeds."""
    with reported():
        from converter.checkpoint.average import average as run

        run(checkpoints, output)


@main.command()
@click.argument("file", type=_FILE)
@click.option("--add", type=_FILE, help="Markdown whose sections (## …) are added, or take the place of those there.")
def card(file: Path, add: Path | None) -> None:
    """Print a model's card, or add to it: scores, limits, how it was made. The model itself stays as it is."""
    with reported():
        from converter import card as cards
        from converter import model_file
        from converter.errors import FormatError

        flatbuffer, entries = model_file.read(file)
        if model_file.CARD not in entries:
            raise FormatError(f"{file} has no card; it was not made by edge-converter")
        if add is None:
            click.echo(entries[model_file.CARD], nl=False)
            return
        entries[model_file.CARD] = cards.with_sections(entries[model_file.CARD], add.read_text(encoding="utf-8"))
        model_file.write(file, model_file.assemble(flatbuffer, entries))


@main.command()
@click.argument("file", type=_FILE)
@_json
def inspect(file: Path, as_json: bool) -> None:
    """Say what FILE holds: operators, types, heads, cost. Any TFLite file."""
    with reported():
        from converter.inspection import inspect as run

        found = run(file)
    if as_json:
        _dump(found.to_json())
    else:
        _show_inspection(found)


@main.command()
@click.argument("file", type=_FILE)
@click.option("--reference", required=True, type=_FOLDER, help="The checkpoint that FILE was made from.")
@click.option("--texts", required=True, type=_FILE, help="Texts to compare on, one a line.")
@click.option("--tensors/--no-tensors", default=True, help="Compare every tensor, to find where accuracy goes.")
@_json
def evaluate(file: Path, reference: Path, texts: Path, tensors: bool, as_json: bool) -> None:
    """Compare the integer model FILE with the float32 checkpoint it was made from."""
    with reported():
        from converter import calibration, checkpoint
        from converter.evaluation import evaluate as run
        from converter.inspection import inspect as look

        heads = list(look(file).heads)
        network = checkpoint.read(reference, heads or None)
        lines = calibration.read_texts(texts)
        with progress_bars() as progress:
            result = run(
                file, network, lines, tensors=tensors, progress=lambda done, steps: progress("evaluation", done, steps)
            )
    if as_json:
        _dump(result.to_json())
    else:
        _show_evaluation(result)


@contextmanager
def reported() -> Iterator[None]:
    """An expected error ends the command with its one line and exit status 1."""
    from converter.errors import ConverterError
    from edge_runtime.errors import EdgeError

    try:
        yield
    except ModuleNotFoundError as error:
        click.echo(f"{error.name} is not installed: pip install 'squeezebert-edge[convert]'", err=True)
        sys.exit(1)
    except (ConverterError, EdgeError) as error:
        click.echo(" ".join(str(error).split()), err=True)
        sys.exit(1)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Bars on standard error if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:13}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, steps: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=steps)
            bars.update(tasks[stage], completed=done)

        yield show


def _dump(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def _show_inspection(found: Inspection) -> None:
    def line(what: str, value: str) -> None:
        click.echo(f"{what:24}{value}")

    line("file", found.file)
    line("size", f"{found.size / 1e6:.1f} MB ({found.flatbuffer_size / 1e6:.1f} MB network)")
    if found.architecture:
        a = found.architecture
        line("network", f"{a['family']}, {a['layers']} × {a['hidden_size']}, {a['parameters']:,} parameters")
    line("fully integer", "yes" if found.fully_integer else "NO")
    line("tensors", _counts(found.tensor_types))
    line("operators", _counts(found.operators))
    if found.delegation is None:
        line("delegation", "the runtime refuses this file")
    else:
        d = found.delegation
        line("delegation", f"{d.delegated} operators by XNNPACK in {d.partitions} partitions")
        line("not delegated", _counts(d.undelegated))
    if found.overflow_risks:
        count = len(found.overflow_risks)
        line("at risk", f"{count} products may come out wrong on cores without dot products: convert it again")
    for length, count in found.multiply_accumulates.items():
        line(f"cost at {length} tokens", f"{count / 1e6:,.0f} million multiply-accumulates")
    for name, head in found.heads.items():
        labels = f", {len(head['labels'])} labels" if head.get("labels") else ""
        line(f"head {name}", f"{head['kind']}{labels}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items()) or "none"


def _show_report(report: Report) -> None:
    _show_inspection(report.inspection)
    from converter.verdict import describe

    click.echo(f"{'calibration':24}{report.calibration_texts} texts, {report.calibration_tokens} tokens")
    click.echo(f"{'effort':24}{report.effort}")
    for line in describe(report.accuracy):
        click.echo(f"{'accuracy':24}{line}")
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)


def _show_evaluation(result: Evaluation) -> None:
    for name, score in result.heads.items():
        same = "" if score.agreement is None else f", same label {score.agreement:.2%}"
        click.echo(
            f"{name} ({score.kind}): cosine mean {score.cosine_mean:.4f}, worst {score.cosine_worst:.4f}, "
            f"relative error {score.relative_error:.4f} ({score.constant_error:.1%} of its square in all alike){same}; "
            f"{score.texts} texts"
        )
    if result.tensors:
        click.echo(f"\ntensors with the largest relative error ({WORST_TENSORS} of {len(result.tensors)}):")
        for tensor in sorted(result.tensors, key=lambda t: -t.relative_error)[:WORST_TENSORS]:
            click.echo(f"  {tensor.relative_error:8.4f}  {tensor.name}")
