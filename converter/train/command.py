"""`edge-converter train`."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from converter.data_sets.examples import TASKS

if TYPE_CHECKING:
    from converter.train.options import Options
    from converter.train.session import Outcome

EXISTING = click.Path(exists=True, path_type=Path)
# What changes nothing of the outcome, and is left out of the command on the model's card.
_OF_THIS_MACHINE = {"output", "threads", "as_json", "fresh", "save_every", "licence"}


@click.command()
@click.argument("data", nargs=-1, required=True, type=EXISTING)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Checkpoint folder to write.")
@click.option("--task", type=click.Choice(TASKS), help="What is to be learnt.  [default: what the data's layout says]")
@click.option(
    "--init",
    metavar="CHECKPOINT",
    help="SqueezeBERT or BERT checkpoint folder to train further, or one that came along: tiny, base.  [default: tiny, "
    "without --vocabulary and --init-embeddings]",
)
@click.option("--vocabulary", type=EXISTING, help="vocab.txt, one WordPiece token a line.")
@click.option("--init-embeddings", type=EXISTING, help="Checkpoint whose word embeddings are narrowed and taken over.")
@click.option("--vocabulary-size", type=int, help="Keep so many wordpieces, the most frequent of the training texts.")
@click.option("--vocabulary-texts", multiple=True, type=EXISTING, help="Data or lines to count wordpieces in as well.")
@click.option("--max-length", type=int, help="Longest sequence in tokens.  [default: what the checkpoint takes]")
@click.option("--hidden", default=192, show_default=True, help="Width.")
@click.option("--layers", default=4, show_default=True, help="Depth.")
@click.option("--heads", default=6, show_default=True, help="Attention heads.")
@click.option("--intermediate", type=int, help="Width of the feed-forward layers.  [default: 4 × hidden]")
@click.option("--groups", default=4, show_default=True, help="Groups of the grouped layers.")
@click.option("--positions", default=128, show_default=True, help="Longest sequence in tokens, without --init.")
@click.option("--dropout", default=0.1, show_default=True)
@click.option("--pooling", type=click.Choice(["mean", "first"]), default="mean", show_default=True)
@click.option("--rename", type=EXISTING, help='JSON {"intents": {old: new}, "slots": {old: new}}.')
@click.option("--validation", type=float, help="Share set aside.  [default: 0.1, or nothing with --validation-data]")
@click.option("--validation-data", multiple=True, type=EXISTING, help="Data to validate on, beside that share.")
@click.option("--teacher", type=EXISTING, help="Checkpoint fine-tuned for the same task, to learn from as well.")
@click.option("--unlabelled", multiple=True, type=EXISTING, help="Texts, one a line, that the teacher labels.")
@click.option("--alpha", default=0.5, show_default=True, help="Weight of the teacher's word.")
@click.option("--temperature", default=2.0, show_default=True, help="That softens teacher's and student's answers.")
@click.option("--out-of-scope", multiple=True, type=EXISTING, help="Texts to be refused: data, or file of lines.")
@click.option(
    "--out-of-scope-validation",
    multiple=True,
    type=EXISTING,
    help="The same, only to set the threshold, and how far each label can be believed.",
)
@click.option("--out-of-scope-labels", type=EXISTING, help="File of the labels that count of out-of-scope data.")
@click.option("--gibberish", default=0, show_default=True, help="Made-up texts to be refused.")
@click.option("--epochs", default=20, show_default=True)
@click.option("--patience", default=6, show_default=True, help="Epochs without progress before stopping.")
@click.option("--batch", default=64, show_default=True, help="Most examples of a step.")
@click.option("--batch-tokens", default=2048, show_default=True, help="Most tokens of a step.")
@click.option("--rate", default=1e-3, show_default=True, help="Highest learning rate; 5e-5 suits a pretrained BERT.")
@click.option("--decay", default=0.01, show_default=True, help="Weight decay.")
@click.option("--smoothing", default=0.05, show_default=True, help="Of the labels of whole texts.")
@click.option("--punctuation", default=0.3, show_default=True, help="Of understand: texts that get a mark at the end.")
@click.option("--exchange", default=0.3, show_default=True, help="Of understand: slots that exchange their values.")
@click.option("--digits", default=0.3, show_default=True, help="Of understand: texts whose number words become digits.")
@click.option("--bfloat16/--float32", default=None, help="Precision of the products.  [default: what is faster here]")
@click.option("--threads", default=1, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--save-every", default=60.0, show_default=True, help="Seconds between two states to go on from.")
@click.option("--fresh", is_flag=True, help="Start anew where an ended run could be gone on from.")
@click.option("--quantisation-aware", is_flag=True, help="Train some last epochs in the integers that convert writes.")
@click.option("--integer-epochs", default=3, show_default=True, help="So many, at a tenth of --rate.")
@click.option("--licence", help="Licence and origin of the data, for the model's card.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
@click.pass_context
def train(context: click.Context, /, **given: Any) -> None:
    """Train a SqueezeBERT or a BERT on DATA for a task and write a checkpoint folder.

    DATA are files or folders of examples: intents and slots (understand), labels of texts or pairs (classify), tagged
    words (tag), questions with their contexts (answer), or pairs with a score of how alike they are (embed). A run
    that was ended goes on where it stood when the same command is given again.
    """
    from converter.errors import ConverterError
    from converter.train.progress import Display
    from converter.train.session import train as run

    try:
        with Display() as display:
            options = _options(given, _command(context, given))
            outcome = run(options, display.step, display.epoch, display.teaching)
    except ConverterError as error:
        raise click.ClickException(str(error)) from error
    if given["as_json"]:
        click.echo(json.dumps(_summary(outcome)))
    else:
        _show(outcome)


def _summary(outcome: Outcome) -> dict[str, Any]:
    confidence = outcome.confidence
    return {
        "output": str(outcome.output),
        "task": outcome.task,
        "best_epoch": outcome.best.number,
        "validation": outcome.scores,
        "confidence": None if confidence is None else asdict(confidence),
    }


def _show(outcome: Outcome) -> None:
    click.echo(f"best epoch {outcome.best.number}, written to {outcome.output} (its course: training.svg)")
    for name, scores in outcome.scores.items():
        listed = ", ".join(f"{metric} {value:.4f}" for metric, value in scores.items() if metric != "texts")
        click.echo(f"{name}: {listed} ({scores['texts']:,} examples)")
    confidence = outcome.confidence
    if confidence is None:
        return
    click.echo(f"temperature {confidence.temperature:.3f}, threshold {confidence.threshold:.3f}")
    click.echo(f"right answers refused: {confidence.refused_right:.1%}")
    if confidence.refused_out_of_scope is not None:
        click.echo(f"out of scope refused: {confidence.refused_out_of_scope:.1%} of {outcome.out_of_scope_texts} texts")


DEFAULT = "tiny"
"""of the checkpoints that came along, the one that is trained further where nothing is said"""


def _options(given: dict[str, Any], command: str) -> Options:
    from converter import starters
    from converter.data_sets.lines import read_lines
    from converter.sizes import Size
    from converter.train.augmentation import Augmentation
    from converter.train.options import Options
    from converter.train.precision import bfloat16_is_faster
    from converter.train.schedule import Schedule

    def pick(*names: str) -> dict[str, Any]:
        return {name: given[name] for name in names}

    labels = given["out_of_scope_labels"]
    init = given["init"]
    if init is None and given["vocabulary"] is None and given["init_embeddings"] is None:
        init = DEFAULT
    return Options(
        **pick("data", "output", "task", "validation_data", "rename", "out_of_scope", "out_of_scope_validation"),
        **pick("gibberish", "vocabulary", "init_embeddings", "vocabulary_size", "vocabulary_texts"),
        **pick("max_length", "pooling", "teacher", "unlabelled", "quantisation_aware", "licence", "threads", "fresh"),
        init=None if init is None else starters.find(init),
        validation_share=given["validation"],
        out_of_scope_labels=[line.strip() for line in read_lines(labels) if line.strip()] if labels else None,
        size=Size(
            **pick("hidden", "layers", "heads", "groups", "positions"),
            intermediate=given["intermediate"] or 4 * given["hidden"],
        ),
        schedule=Schedule(
            **pick("epochs", "patience", "batch", "batch_tokens", "rate", "decay", "smoothing", "dropout", "alpha"),
            **pick("temperature", "seed", "save_every", "integer_epochs"),
            bfloat16=bfloat16_is_faster() if given["bfloat16"] is None else given["bfloat16"],
        ),
        augmentation=Augmentation(**pick("exchange", "digits", "punctuation")),
        command=command,
    )


def _command(context: click.Context, given: dict[str, Any]) -> str:
    """What was typed, with names in the place of this machine's paths."""
    from converter.data_sets import source_name

    words = ["edge-converter", "train"]
    for parameter in context.command.params:
        name, value = str(parameter.name), given.get(str(parameter.name))
        source = context.get_parameter_source(name)
        if name in _OF_THIS_MACHINE or source is not click.core.ParameterSource.COMMANDLINE:
            continue
        for each in value if isinstance(value, tuple) else (value,):
            shown = source_name(each) if isinstance(each, Path) else str(each)
            if name == "init":
                # A folder's name, or that of one that came along.
                shown = Path(shown).name
            if isinstance(parameter, click.Argument):
                words.append(shown)
            elif isinstance(each, bool):
                words.append((parameter.opts if each else parameter.secondary_opts)[-1])
            else:
                words += [parameter.opts[-1], shown]
    return shlex.join(words)
