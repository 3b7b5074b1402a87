"""`edge-converter distil`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from converter.sizes import PRESETS

if TYPE_CHECKING:
    from converter.distil.training import Point

_EXISTING = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("teacher", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Checkpoint folder to write.")
@click.option("--texts", multiple=True, type=_EXISTING, help="File of text (also .xz, .gz, .bz2), or folder of them.")
@click.option("--data", multiple=True, type=_EXISTING, help="Labelled data whose texts are learnt from as well.")
@click.option(
    "--preset", type=click.Choice(list(PRESETS)), default="base", show_default=True, help="The student's size."
)
@click.option("--hidden", type=int, help="Width, if not the preset's.")
@click.option("--layers", type=int, help="Depth, if not the preset's.")
@click.option("--heads", type=int, help="Attention heads, if not the preset's.")
@click.option("--intermediate", type=int, help="Width of the feed-forward layers, if not the preset's.")
@click.option("--groups", type=int, help="Groups of the grouped layers, if not the preset's.")
@click.option("--attention-groups", type=int, help="Groups of query, key and value, if not --groups.")
@click.option("--positions", type=int, help="Longest sequence in tokens, if not the preset's.")
@click.option("--tokens", default=20_000_000, show_default=True, help="Tokens to train on in all.")
@click.option(
    "--unique", type=int, help="Of them, distinct ones that the teacher is asked about.  [default: half of --tokens]"
)
@click.option(
    "--targets", type=click.Path(path_type=Path), help="Folder to keep the teacher's answers in, for others too."
)
@click.option("--states", default=3, show_default=True, help="Layers of the teacher that are taught.")
@click.option("--longest", default=128, show_default=True, help="Longest text in tokens; what is longer is cut.")
@click.option("--batch", default=4096, show_default=True, help="Tokens of one step.")
@click.option("--rate", default=1e-3, show_default=True, help="Highest learning rate.")
@click.option("--bfloat16/--float32", default=None, help="Precision of the products.  [default: what is faster here]")
@click.option("--threads", default=1, show_default=True, help="Of the student; the teacher has one of its own.")
@click.option("--seed", default=1, show_default=True)
@click.option("--save-every", default=120.0, show_default=True, help="Seconds between two checkpoints.")
@click.option("--fresh", is_flag=True, help="Start anew where an earlier run could be gone on from.")
@click.option("--licence", help="Licence and origin of teacher and texts, for the model's card.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
def distil(**given: Any) -> None:
    """Make a small SqueezeBERT that does what TEACHER, a BERT checkpoint folder, does.

    A run that was ended goes on where it stood when the same command is given again.
    """
    from converter.errors import ConverterError
    from converter.train.packages import require_packages

    try:
        require_packages()
        from converter.distil.session import distil as run

        outcome = run(_options(given), on_stage=_say, on_point=_show)
    except ConverterError as error:
        raise click.ClickException(str(error)) from error
    last = outcome.curve[-1]
    if given["as_json"]:
        summary = {"output": str(outcome.output), "parameters": outcome.parameters, "seconds": outcome.seconds}
        summary |= {"loss": last.loss, "held_out_loss": last.validation, "held_out_cosine": last.similarity}
        click.echo(json.dumps(summary | {"resumed_at": outcome.resumed_at}))
        return
    click.echo(f"{outcome.parameters:,} parameters, written to {outcome.output} (its loss curve: loss.svg)")
    click.echo(f"held-out text: loss {last.validation:.4f}, cosine of sentence vectors {last.similarity:.4f}")


def _options(given: dict[str, Any]) -> Any:
    from converter.distil.session import Options
    from converter.distil.training import Schedule
    from converter.train.precision import bfloat16_is_faster

    names = ("hidden", "layers", "heads", "intermediate", "groups", "attention_groups", "positions")
    own = {name: given[name] for name in names if given[name] is not None}
    if given["hidden"] is not None and given["intermediate"] is None:
        own["intermediate"] = 4 * given["hidden"]
    return Options(
        teacher=given["teacher"],
        output=given["output"],
        texts=given["texts"],
        data=given["data"],
        size=replace(PRESETS[given["preset"]], **own),
        schedule=Schedule(
            tokens=given["tokens"],
            batch=given["batch"],
            rate=given["rate"],
            seed=given["seed"],
            bfloat16=bfloat16_is_faster() if given["bfloat16"] is None else given["bfloat16"],
            save_every=given["save_every"],
        ),
        unique=given["unique"] or max(1, given["tokens"] // 2),
        targets=given["targets"],
        states=given["states"],
        longest=given["longest"],
        threads=given["threads"],
        fresh=given["fresh"],
        licence=given["licence"],
    )


def _say(stage: str) -> None:
    click.echo(stage, err=True)


def _show(point: Point, rate: float) -> None:
    held_out = ""
    if point.validation is not None:
        held_out = f"; held-out loss {point.validation:.4f}, cosine {point.similarity:.4f}"
    click.echo(f"{point.tokens:>12,} tokens  loss {point.loss:.4f}  {rate:,.0f} tokens/s{held_out}", err=True)
