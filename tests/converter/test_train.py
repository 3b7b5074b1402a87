"""Whole trainings at tiny sizes: files in, a checkpoint folder out that the checkpoint stage reads, and the command."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from click.testing import CliRunner
from rich.console import Console
from safetensors.numpy import load_file

from converter.checkpoint import read
from converter.errors import CheckpointError, TrainingError
from converter.sizes import Size
from converter.train.command import train as command
from converter.train.embeddings import narrowed
from converter.train.examples import OUT_OF_SCOPE_LABEL
from converter.train.options import Options
from converter.train.progress import Display
from converter.train.schedule import Schedule
from converter.train.session import train
from converter.train.training import Epoch, Step, best
from tests.converter import small_data
from tests.converter.small_data import WORDS

SIZE = Size(hidden=16, layers=1, heads=2, intermediate=32, groups=2, positions=16)
SCHEDULE = Schedule(epochs=12, batch=8, rate=1e-2, patience=12, dropout=0.0)
ONE = dataclasses.replace(SCHEDULE, epochs=1)
STILL = dataclasses.replace(ONE, rate=1e-9)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return small_data.understand(tmp_path)


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    return small_data.vocabulary(tmp_path)


@pytest.fixture
def options(home: Path, vocabulary: Path, tmp_path: Path) -> Options:
    return Options(
        data=[home],
        output=tmp_path / "out",
        vocabulary=vocabulary,
        size=SIZE,
        schedule=SCHEDULE,
        licence="CC0-1.0",
        validation_share=0.34,
    )


def test_intent_and_slots(options: Options) -> None:
    """A joint training learns a simple task, and its folder is read with labels, calibration and training details."""
    epochs: list[Epoch] = []
    outcome = train(options, on_epoch=epochs.append)
    (scores,) = outcome.scores.values()
    assert scores["intent_accuracy"] == 1.0
    assert scores["slot_f1"] == 1.0
    assert [epoch.number for epoch in epochs] == [epoch.number for epoch in outcome.epochs]
    network = read(options.output)
    intent, slots = network.heads
    assert intent.labels == ("light_off", "light_on")
    assert slots.labels == ("O", "B-place", "I-place")
    assert (intent.pooling, intent.out_of_scope) == ("mean", None)
    assert outcome.confidence is not None
    assert intent.temperature == pytest.approx(outcome.confidence.temperature, abs=1e-5)
    assert intent.threshold == pytest.approx(outcome.confidence.threshold, abs=1e-5)
    assert (network.licence, network.max_length, network.family) == ("CC0-1.0", 16, "squeezebert")
    training: Any = network.details["training"]
    assert training["data"] == {"home/train": 36}
    assert training["validation"]["home/train"]["intent_accuracy"] == 1.0
    assert str(options.output.parent) not in (options.output / "config.json").read_text()


def test_calibration_texts(options: Options) -> None:
    """A sample of the training texts is left beside the checkpoint, a line each."""
    train(dataclasses.replace(options, schedule=ONE))
    lines = (options.output / "calibration.txt").read_text().splitlines()
    assert lines
    assert all(line.startswith("turn ") for line in lines)


def test_saved_encoder_is_transformers_own(options: Options) -> None:
    """The encoder's weights load into transformers' SqueezeBertModel with nothing missing."""
    train(dataclasses.replace(options, schedule=ONE))
    _, loaded = transformers.SqueezeBertModel.from_pretrained(options.output, output_loading_info=True)
    assert not loaded["missing_keys"]


def test_same_seed_same_weights(options: Options, tmp_path: Path) -> None:
    """The same options give the same weights, another seed others."""
    weights = []
    for number, seed in enumerate((1, 1, 2)):
        each = dataclasses.replace(
            options, output=tmp_path / str(number), schedule=dataclasses.replace(SCHEDULE, epochs=2, seed=seed)
        )
        train(each)
        weights.append(load_file(each.output / "model.safetensors")["intent_classifier.weight"])
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_out_of_scope(options: Options, tmp_path: Path) -> None:
    """Out-of-scope texts become a label of their own, which the folder names, and are refused."""
    (tmp_path / "others.txt").write_text("what what\nplay what\nwhat\nplay play\nwhat play what\nplay\n")
    outcome = train(dataclasses.replace(options, out_of_scope=[tmp_path / "others.txt"], gibberish=30))
    (intent, _) = read(options.output).heads
    assert intent.labels == ("light_off", "light_on", OUT_OF_SCOPE_LABEL)
    assert intent.out_of_scope == OUT_OF_SCOPE_LABEL
    assert outcome.out_of_scope_texts == 12
    assert outcome.confidence is not None
    assert outcome.confidence.refused_out_of_scope is not None
    assert outcome.confidence.refused_out_of_scope > 0.7


def test_out_of_scope_for_the_threshold_only(options: Options, tmp_path: Path) -> None:
    """Out-of-scope texts given for validation set the threshold and add no label."""
    (tmp_path / "others.txt").write_text("what\nplay\n")
    outcome = train(dataclasses.replace(options, out_of_scope_validation=[tmp_path / "others.txt"]))
    assert outcome.out_of_scope_texts == 2
    assert read(options.output).heads[0].labels == ("light_off", "light_on")


def test_validation_data(options: Options) -> None:
    """Validation data of its own is scored by its name; with it nothing needs to be set aside."""
    outcome = train(dataclasses.replace(options, validation_data=options.data, validation_share=0.0, schedule=ONE))
    assert {name: scores["texts"] for name, scores in outcome.scores.items()} == {"home/train": 36}


def test_training_further(options: Options, tmp_path: Path) -> None:
    """A checkpoint can be trained further, keeping its size and tokenizer."""
    train(options)
    further = dataclasses.replace(
        options,
        output=tmp_path / "further",
        init=options.output,
        vocabulary=None,
        size=Size(),
        schedule=STILL,
    )
    train(further)
    before, after = read(options.output), read(further.output)
    assert after.encoder.hidden_size == 16
    assert after.tokenizer == before.tokenizer
    assert np.allclose(after.encoder.layers[0].query.weight, before.encoder.layers[0].query.weight, atol=1e-4)


def test_training_further_for_another_task(options: Options, tmp_path: Path) -> None:
    """Nothing of the old task stays in the configuration of a checkpoint trained further for another one."""
    train(dataclasses.replace(options, schedule=ONE))
    (tmp_path / "data.tsv").write_text("turn on\ta\nturn off\tb\nplay\ta\nwhat\tb\n")
    output = tmp_path / "further"
    train(
        dataclasses.replace(
            options,
            data=[tmp_path / "data.tsv"],
            task="classify",
            output=output,
            init=options.output,
            vocabulary=None,
            validation_share=0.5,
            schedule=ONE,
        )
    )
    assert [head.name for head in read(output).heads] == ["classification"]
    assert not [
        name for name in json.loads((output / "config.json").read_text()) if name.startswith(("intent", "slot"))
    ]


def test_training_further_from_an_incomplete_checkpoint(options: Options, tmp_path: Path) -> None:
    """A checkpoint to start from that lacks a weight is refused by name."""
    config = transformers.SqueezeBertConfig(
        vocab_size=len(WORDS), hidden_size=16, embedding_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    model = transformers.SqueezeBertModel(config)
    weights = {name: tensor for name, tensor in model.state_dict().items() if "query" not in name}
    model.save_pretrained(tmp_path / "part", state_dict=weights)
    small_data.vocabulary(tmp_path / "part")
    with pytest.raises(CheckpointError, match=r"attention\.query\.\w+ is missing"):
        train(dataclasses.replace(options, init=tmp_path / "part", vocabulary=None))


def test_embeddings_taken_over(options: Options, tmp_path: Path, vocabulary: Path) -> None:
    """Word embeddings of another checkpoint are narrowed and taken over token by token."""
    donor = tmp_path / "donor"
    config = transformers.BertConfig(vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    model = transformers.BertModel(config)
    model.save_pretrained(donor)
    (donor / "vocab.txt").write_text("\n".join(WORDS))
    vocabulary.write_text("\n".join([*WORDS, "new"]))
    still = dataclasses.replace(options, init_embeddings=donor, schedule=STILL)
    train(still)
    table = read(options.output).encoder.word_embeddings
    expected = narrowed(model.get_input_embeddings().weight.detach().numpy(), 16)
    assert table.shape == (len(WORDS) + 1, 16)
    assert np.allclose(table[: len(WORDS)], expected, atol=1e-5)


def test_embeddings_of_a_checkpoint_without_tokenizer(options: Options, tmp_path: Path) -> None:
    """A donor of embeddings without a tokenizer is refused."""
    config = transformers.BertConfig(vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    transformers.BertModel(config).save_pretrained(tmp_path / "donor")
    with pytest.raises(CheckpointError, match="no tokenizer"):
        train(dataclasses.replace(options, init_embeddings=tmp_path / "donor"))


def test_untrained_positions_mean_something(options: Options) -> None:
    """Position embeddings start as waves, so that positions beyond the training texts are no noise."""
    still = dataclasses.replace(options, schedule=STILL)
    train(still)
    table = read(options.output).encoder.position_embeddings
    steps = np.linalg.norm(np.diff(table, axis=0), axis=1)
    assert steps.max() == pytest.approx(steps.min(), rel=1e-3)
    assert np.linalg.norm(table[8] - table[0]) > steps.max()


def test_narrowing_keeps_dot_products() -> None:
    """A table whose rows lie in a plane loses nothing when narrowed to two channels but its centre and scale."""
    generator = np.random.default_rng(1)
    table = (generator.normal(size=(50, 2)) @ generator.normal(size=(2, 6)) + 3).astype(np.float32)
    centred = table - table.mean(axis=0)
    kept = narrowed(table, 2)
    products, expected = kept @ kept.T, centred @ centred.T
    assert np.allclose(products / np.abs(products).max(), expected / np.abs(expected).max(), atol=1e-4)
    assert kept.std() == pytest.approx(centred.std(), rel=1e-4)
    assert np.array_equal(narrowed(table, 8)[:, 6:], np.zeros((50, 2)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": []}, "no training data"),
        ({"vocabulary": None}, "give a vocabulary"),
        ({"vocabulary": Path("nowhere.txt")}, r"nowhere\.txt does not exist"),
        ({"validation_share": 0.0}, "validation share"),
        ({"validation_share": 1.0}, "validation share"),
        ({"validation_share": 0.01}, "too few texts"),
        ({"gibberish": 5}, "give some real out-of-scope texts"),
        ({"init": Path("some")}, "--init brings its own vocabulary"),
        ({"unlabelled": [Path("some")]}, "labelled by a teacher"),
        ({"vocabulary_texts": [Path("some")]}, "only of use with --vocabulary-size"),
        ({"max_length": 17}, "--max-length must be from 8 to 16"),
        ({"schedule": dataclasses.replace(SCHEDULE, alpha=1.5)}, "--alpha must be"),
        ({"schedule": dataclasses.replace(SCHEDULE, batch_tokens=0)}, "must be above 0"),
    ],
)
def test_unusable_options(options: Options, change: dict[str, Any], said: str) -> None:
    """Options that cannot work are refused before anything is trained."""
    with pytest.raises(TrainingError, match=said):
        train(dataclasses.replace(options, **change))


def test_validation_data_with_an_unknown_label(options: Options, tmp_path: Path) -> None:
    """Validation data with a label that training lacks is refused by name."""
    other = tmp_path / "other"
    other.mkdir()
    for name, line in (("seq.in", "play"), ("seq.out", "O"), ("label", "music")):
        (other / name).write_text(f"{line}\n")
    with pytest.raises(TrainingError, match="label 'music', which the training data lacks"):
        train(dataclasses.replace(options, validation_data=[other]))


def test_output_folder_with_other_files(options: Options) -> None:
    """A folder that holds something else is left alone."""
    options.output.mkdir()
    (options.output / "letter.txt").write_text("dear")
    with pytest.raises(TrainingError, match="holds other files"):
        train(options)


def arguments(options: Options) -> list[str]:
    size = "--hidden 16 --layers 1 --heads 2 --groups 2 --positions 16 --dropout 0 --batch 8 --rate 0.01"
    return [
        *map(str, options.data),
        "-o",
        str(options.output),
        "--vocabulary",
        str(options.vocabulary),
        "--validation",
        "0.34",
        *size.split(" "),
    ]


def test_command(options: Options) -> None:
    """The command trains, tells of every epoch on standard error and prints the outcome."""
    result = CliRunner().invoke(command, [*arguments(options), "--epochs", "2"])
    assert result.exit_code == 0, result.output
    assert "epoch 2: loss" in result.stderr
    assert "tokens/s" in result.stderr
    assert f"written to {options.output}" in result.stdout
    assert read(options.output).encoder.layers[0].intermediate.weight.shape == (64, 8)


def test_command_json(options: Options) -> None:
    """With --json there is one JSON object on standard output and nothing else."""
    result = CliRunner().invoke(command, [*arguments(options), "--epochs", "1", "--json"])
    outcome = json.loads(result.stdout)
    assert outcome["best_epoch"] == 1
    assert outcome["task"] == "understand"
    assert set(outcome["validation"]["home/train"]) == {"intent_accuracy", "slot_f1", "texts"}
    assert outcome["confidence"]["temperature"] > 0


def test_command_error(options: Options, home: Path) -> None:
    """Unusable data ends with status 1 and one line that says why."""
    (home / "label").write_text("one\n")
    result = CliRunner().invoke(command, arguments(options))
    assert result.exit_code == 1
    assert "label ends after line 1" in result.stderr
    assert "Traceback" not in result.output


def test_command_usage(tmp_path: Path) -> None:
    """Wrong usage ends with status 2."""
    assert CliRunner().invoke(command, [str(tmp_path / "nowhere"), "-o", str(tmp_path)]).exit_code == 2


def test_card(options: Options) -> None:
    """What made a checkpoint is left in it: the command without this machine's paths, and the training's course."""
    result = CliRunner().invoke(command, [*arguments(options), "--epochs", "2", "--licence", "CC0-1.0"])
    assert result.exit_code == 0, result.output
    training: Any = read(options.output).details["training"]
    assert training["command"].startswith("edge-converter train home/train --vocabulary vocab.txt --hidden 16")
    assert str(options.output.parent) not in json.dumps(training)
    course = json.loads((options.output / "training.json").read_text())
    assert [epoch["number"] for epoch in course["epochs"]] == [1, 2]
    assert "<svg" in (options.output / "training.svg").read_text()


def test_out_of_scope_of_a_task_that_refuses_nothing(options: Options, tmp_path: Path) -> None:
    """Texts to be refused are an error where nothing can be refused."""
    tagged = dataclasses.replace(options, data=[small_data.tag(tmp_path)], out_of_scope=[options.data[0]])
    with pytest.raises(TrainingError, match="tag refuses no texts"):
        train(tagged)


def test_data_for_different_tasks(options: Options, tmp_path: Path) -> None:
    """Data whose layouts speak of different tasks need --task, and so do those that say nothing."""
    with pytest.raises(TrainingError, match=r"different tasks .* say which with --task"):
        train(dataclasses.replace(options, data=[*options.data, small_data.tag(tmp_path)]))
    (tmp_path / "lines.txt").write_text("on\ta\n")
    with pytest.raises(TrainingError, match="say which with --task"):
        train(dataclasses.replace(options, data=[tmp_path / "lines.txt"]))


def test_own_head_is_kept(options: Options, tmp_path: Path) -> None:
    """A checkpoint of the same task with the same labels, in whatever order, is trained further with its own head."""
    train(dataclasses.replace(options, schedule=ONE))
    config = options.output / "config.json"
    fields = json.loads(config.read_text())
    config.write_text(json.dumps({**fields, "intent_labels": fields["intent_labels"][::-1]}))
    further = dataclasses.replace(
        options, init=options.output, vocabulary=None, output=tmp_path / "further", schedule=STILL
    )
    train(further)
    before, after = (load_file(folder / "model.safetensors") for folder in (options.output, further.output))
    assert np.allclose(after["intent_classifier.weight"], before["intent_classifier.weight"][::-1], atol=1e-4)
    assert np.allclose(after["slot_classifier.weight"], before["slot_classifier.weight"], atol=1e-4)


def test_trimmed_vocabulary(options: Options, tmp_path: Path) -> None:
    """A smaller vocabulary has the tokens that the texts use, with the rows that they had."""
    train(dataclasses.replace(options, schedule=ONE))
    smaller = dataclasses.replace(
        options,
        init=options.output,
        vocabulary=None,
        output=tmp_path / "smaller",
        vocabulary_size=len(WORDS) - 8,
        schedule=STILL,
    )
    train(smaller)
    before, after = read(options.output), read(smaller.output)
    assert len(after.encoder.word_embeddings) == len(WORDS) - 8
    old, new = (json.loads(network.tokenizer)["model"]["vocab"] for network in (before, after))
    assert "anna" not in new
    for token in ("turn", "garden", "[SEP]"):
        assert np.allclose(
            after.encoder.word_embeddings[new[token]], before.encoder.word_embeddings[old[token]], atol=1e-4
        )


def test_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal shows a bar with loss and speed, and keeps a line for every epoch."""
    monkeypatch.setenv("TERM", "xterm")
    seen = io.StringIO()
    with Display(Console(file=seen, force_terminal=True, width=120)) as display:
        display.teaching(1, 2)
        display.step(Step(1, 3, 32, 64, 0.5, 1000, 2.0))
        display.epoch(Epoch(1, 0.25, 1.0, {"home": {"f1": 0.75, "texts": 9}}, 1000, 2.0))
    assert "epoch 1/3  loss 0.5000  500 tokens/s" in seen.getvalue()
    assert "epoch 1: loss 0.2500; home: f1 0.7500; 500 tokens/s" in seen.getvalue()


def test_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without one there is a line now and then."""
    monkeypatch.setattr("converter.train.progress.SECONDS", 0.0)
    with Display() as display:
        display.step(Step(1, 3, 32, 64, 0.5, 1000, 2.0))
    assert capsys.readouterr().err == "epoch 1/3  loss 0.5000  500 tokens/s, 32 of 64 examples\n"


def test_start_that_is_not_there(options: Options) -> None:
    """A checkpoint to start from that is nowhere is an error that says what came along."""
    result = CliRunner().invoke(command, [*map(str, options.data), "-o", str(options.output), "--init", "nowhere"])
    assert result.exit_code == 1
    assert "nowhere is no checkpoint folder" in result.stderr


def test_one_text_of_few_decides_nothing() -> None:
    """Where few texts are kept aside, a later epoch that is one text behind counts as the best; where many are, not."""

    def kept(texts: int, *right: int) -> int:
        ranks = enumerate((each / texts for each in right), 1)
        return best([Epoch(n, 1.0, rank, {"home": {"accuracy": rank, "texts": texts}}) for n, rank in ranks]).number

    assert kept(5, 2, 4, 3, 3) == 4
    assert kept(5, 2, 4, 2, 2) == 2
    assert kept(500, 400, 410, 409) == 2
    assert kept(500, 400, 410, 410) == 3
