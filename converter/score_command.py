"""`edge-converter score`: how good a model is on labelled data, beside its float32 checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from converter.data_sets.examples import TASKS, Example, Task
from edge_runtime.windows import Overflow

if TYPE_CHECKING:
    from converter.scoring import Scores
    from edge_runtime.model import Model

_PATH = click.Path(exists=True, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("model")
@click.argument("data", nargs=-1, required=True, type=_PATH)
@click.option("--task", type=click.Choice(TASKS), help="[default: what the data's layout is for]")
@click.option("--reference", type=_FOLDER, help="The checkpoint that MODEL was made from, to score beside it.")
@click.option(
    "--out-of-scope",
    multiple=True,
    type=_PATH,
    help="Texts, one a line or data, that MODEL should not recognise. May be given several times.",
)
@click.option("--rename", type=_PATH, help="JSON file with MODEL's names for the data's intents and slots.")
@click.option(
    "--overflow",
    type=click.Choice(get_args(Overflow)),
    default="window",
    show_default=True,
    help="What to do with texts longer than MODEL takes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def score(
    model: str,
    data: tuple[Path, ...],
    task: Task | None,
    reference: Path | None,
    out_of_scope: tuple[Path, ...],
    rename: Path | None,
    overflow: Overflow,
    as_json: bool,
) -> None:
    """Score MODEL on labelled DATA: folders or files of any format in docs/data.md.

    MODEL is a bundled model's name or a .tflite file, run in integers as on a board, or a checkpoint folder, run in
    float32.
    """
    from converter.cli import progress_bars, reported

    with reported():
        from converter import metrics
        from converter.data_sets import read_texts, source_name

        metrics.check_installed()
        chosen, examples = _read(data, task, rename)
        strange = [text for path in out_of_scope for text in read_texts(path)]
        results: dict[str, Scores] = {}
        kinds: dict[str, str] = {}
        with progress_bars() as show:
            for column, source in (("model", model), ("reference", reference)):
                if source is not None:
                    kinds[column], results[column] = _score(source, chosen, examples, strange, overflow, column, show)
    names = [source_name(path) for path in data]
    if as_json:
        click.echo(json.dumps(_to_json(names, kinds, results), ensure_ascii=False))
    else:
        _show(names, kinds, results)


def _read(data: Sequence[Path], task: Task | None, rename: Path | None) -> tuple[Task, list[Example]]:
    """The task, given or told from the data, and all examples under the model's names.

    Raises:
        EvaluationError: the task cannot be told, or two sets are for different ones.
        TrainingError: data cannot be read.
    """
    from converter.data_sets import LabelMap, guess_task, read, read_label_map
    from converter.errors import EvaluationError

    if task is None:
        guesses = {path: guess_task(path) for path in data}
        for path, guess in guesses.items():
            if guess is None:
                raise EvaluationError(f"{path} does not say what its labels are for; give --task {'|'.join(TASKS)}")
        found = {guess for guess in guesses.values() if guess is not None}
        if len(found) > 1:
            listed = ", ".join(f"{path} for {guess}" for path, guess in guesses.items())
            raise EvaluationError(f"the data is for several tasks ({listed}); give --task or score them one by one")
        (task,) = found
    names = LabelMap() if rename is None else read_label_map(rename)
    return task, [example for path in data for example in names.apply(read(path, task)).examples]


def _score(
    source: str | Path,
    task: Task,
    examples: Sequence[Example],
    strange: Sequence[str],
    overflow: Overflow,
    column: str,
    show: Callable[[str, int, int], None],
) -> tuple[str, Scores]:
    """How a model was run ("integers", "float32"), and its scores."""
    from converter.scoring import score as run

    with _load(source, overflow) as model:
        kind = "float32" if model.info.backend == "float32" else "integers"
        return kind, run(model, task, examples, strange, lambda done, of: show(column, done, of))


def _load(source: str | Path, overflow: Overflow) -> Model:
    import edge_runtime
    from converter import reference

    if isinstance(source, Path) or (Path(source) / "config.json").is_file():
        return reference.load(Path(source), overflow)
    return edge_runtime.load(source, overflow=overflow)


def _to_json(names: Sequence[str], kinds: dict[str, str], results: dict[str, Scores]) -> dict[str, Any]:
    first = results["model"]
    content: dict[str, Any] = {"task": first.task, "data": list(names), **first.counts, "notes": first.notes}
    for column, scores in results.items():
        content[column] = {"arithmetic": kinds[column], **scores.figures}
    if "reference" in results:
        content["difference_in_points"] = _differences(results)
    return content


def _differences(results: dict[str, Scores]) -> dict[str, float]:
    """Model less reference, in hundredths."""
    reference = results["reference"].figures
    return {name: 100 * (value - reference[name]) for name, value in results["model"].figures.items()}


def _show(names: Sequence[str], kinds: dict[str, str], results: dict[str, Scores]) -> None:
    from rich.console import Console
    from rich.table import Table

    scores = results["model"]
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in scores.counts.items() if count)
    click.echo(f"{scores.task} on {', '.join(names)}: {counts}")
    table = Table()
    table.add_column("")
    for column in results:
        table.add_column(f"{column} ({kinds[column]})", justify="right")
    differences = _differences(results) if "reference" in results else {}
    if differences:
        table.add_column("points", justify="right")
    for name in scores.figures:
        row = [name.replace("_", " "), *(f"{100 * each.figures[name]:.2f}" for each in results.values())]
        table.add_row(*row, *([f"{differences[name]:+.2f}"] if differences else []))
    # a pipe has no width of its own, and nothing should be cut there
    console = Console() if Console().is_terminal else Console(width=200)
    console.print(table)
    for note in scores.notes:
        click.echo(f"note: {note}", err=True)
