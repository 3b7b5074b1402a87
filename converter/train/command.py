"""`edge-converter train`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from converter.train.training import Epoch

EXISTING = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("data", nargs=-1, required=True, type=EXISTING)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Checkpoint folder to write.")
@click.option("--init", type=EXISTING, help="SqueezeBERT checkpoint to train further; its size is kept.")
@click.option("--vocabulary", type=EXISTING, help="vocab.txt, one WordPiece token a line.")
@click.option("--init-embeddings", type=EXISTING, help="Checkpoint whose word embeddings are narrowed and taken over.")
@click.option("--hidden", default=192, show_default=True, help="Width.")
@click.option("--layers", default=4, show_default=True, help="Depth.")
@click.option("--heads", default=6, show_default=True, help="Attention heads.")
@click.option("--intermediate", type=int, help="Width of the feed-forward layers.  [default: 4 × hidden]")
@click.option("--groups", default=4, show_default=True, help="Groups of the grouped layers.")
@click.option("--positions", default=128, show_default=True, help="Longest sequence in tokens.")
@click.option("--dropout", default=0.1, show_default=True)
@click.option("--pooling", type=click.Choice(["mean", "first"]), default="mean", show_default=True)
@click.option("--rename", type=EXISTING, help='JSON {"intents": {old: new}, "slots": {old: new}}.')
@click.option("--validation", default=0.1, show_default=True, help="Share of the texts of every label set aside.")
@click.option("--validation-data", multiple=True, type=EXISTING, help="Data to validate on, beside that share.")
@click.option("--out-of-scope", multiple=True, type=EXISTING, help="Texts to be refused: folder, or file of lines.")
@click.option("--out-of-scope-validation", multiple=True, type=EXISTING, help="The same, only to set the threshold.")
@click.option("--out-of-scope-labels", type=EXISTING, help="File of the labels that count of out-of-scope folders.")
@click.option("--gibberish", default=0, show_default=True, help="Made-up texts to be refused.")
@click.option("--epochs", default=20, show_default=True)
@click.option("--patience", default=6, show_default=True, help="Epochs without progress before stopping.")
@click.option("--batch", default=64, show_default=True)
@click.option("--rate", default=1e-3, show_default=True, help="Highest learning rate.")
@click.option("--punctuation", default=0.3, show_default=True, help="Share of texts that get a mark at their end.")
@click.option("--exchange", default=0.3, show_default=True, help="Probability of a slot's value to be exchanged.")
@click.option("--digits", default=0.3, show_default=True, help="Share of texts whose number words become digits.")
@click.option("--bfloat16", is_flag=True, help="Compute in bfloat16 where PyTorch can; faster on CPUs with AMX.")
@click.option("--threads", default=1, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--quantisation-aware", is_flag=True, help="Train three last epochs in the integers that convert writes.")
@click.option("--licence", help="Licence and origin of the data, for the model's card.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
def train(**given: Any) -> None:
    """Train a SqueezeBERT on DATA and write a checkpoint folder.

    DATA are folders with seq.in, label and seq.out (intent and slots), or text<TAB>label files (one label a text).
    """
    from converter.errors import ConverterError
    from converter.train.session import train as run

    try:
        outcome = run(_options(given), on_step=_show_step, on_epoch=_show_epoch)
    except ConverterError as error:
        raise click.ClickException(str(error)) from error
    scores = {name: asdict(each) for name, each in outcome.scores.items()}
    if given["as_json"]:
        summary = {"output": str(outcome.output), "best_epoch": outcome.best.number, "validation": scores}
        click.echo(json.dumps(summary | {"confidence": asdict(outcome.confidence)}))
        return
    confidence = outcome.confidence
    click.echo(f"best epoch {outcome.best.number}, written to {outcome.output}")
    click.echo(f"temperature {confidence.temperature:.3f}, threshold {confidence.threshold:.3f}")
    click.echo(f"right answers refused: {confidence.refused_right:.1%}")
    if confidence.refused_out_of_scope is not None:
        click.echo(f"out of scope refused: {confidence.refused_out_of_scope:.1%} of {outcome.out_of_scope_texts} texts")


def _options(given: dict[str, Any]) -> Any:
    from converter.train.corpus import read_lines
    from converter.train.models import Size
    from converter.train.session import Options
    from converter.train.training import Schedule

    labels = given["out_of_scope_labels"]
    return Options(
        data=given["data"],
        output=given["output"],
        validation_data=given["validation_data"],
        validation_share=given["validation"],
        rename=given["rename"],
        out_of_scope=given["out_of_scope"],
        out_of_scope_validation=given["out_of_scope_validation"],
        out_of_scope_labels=[line.strip() for line in read_lines(labels) if line.strip()] if labels else None,
        gibberish=given["gibberish"],
        init=given["init"],
        vocabulary=given["vocabulary"],
        init_embeddings=given["init_embeddings"],
        size=Size(
            hidden=given["hidden"],
            layers=given["layers"],
            heads=given["heads"],
            intermediate=given["intermediate"] or 4 * given["hidden"],
            groups=given["groups"],
            positions=given["positions"],
            dropout=given["dropout"],
        ),
        pooling=given["pooling"],
        schedule=Schedule(
            epochs=given["epochs"],
            patience=given["patience"],
            batch=given["batch"],
            rate=given["rate"],
            punctuation=given["punctuation"],
            exchange=given["exchange"],
            digits=given["digits"],
            bfloat16=given["bfloat16"],
            seed=given["seed"],
        ),
        quantisation_aware=given["quantisation_aware"],
        licence=given["licence"],
        threads=given["threads"],
    )


def _show_step(epoch: int, epochs: int, step: int, steps: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\repoch {epoch}/{epochs}: batch {step}/{steps} ", nl=False, err=True)


def _show_epoch(epoch: Epoch) -> None:
    each = "; ".join(
        f"{name}: accuracy {scores.intent_accuracy:.4f}"
        + (f", slot F1 {scores.slot_f1:.4f}" if scores.slot_f1 is not None else "")
        for name, scores in epoch.scores.items()
    )
    click.echo(f"\repoch {epoch.number}: loss {epoch.loss:.4f}; {each}", err=True)
