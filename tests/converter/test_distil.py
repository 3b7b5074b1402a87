"""Distillation, from texts to a checkpoint: a tiny teacher with random weights has enough to teach."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from converter.checkpoint import read
from converter.checkpoint.tokenizer import read_tokenizer
from converter.cli import main
from converter.distil.initialise import initialise
from converter.distil.session import WORK, Options, distil
from converter.distil.targets import DESCRIPTION, batches, describe, prepare, produce, read_shard, shard_path
from converter.distil.texts import draw, read_sources, sequences
from converter.distil.training import CHECKPOINT, Schedule
from converter.errors import TrainingError
from converter.sizes import Size
from converter.train.encoder import load_encoder, new_encoder
from converter.train.packing import pack
from tests.converter.random_checkpoint import WORDS, make

STUDENT = Size(hidden=24, layers=2, heads=3, intermediate=48, groups=3, positions=20)
SCHEDULE = Schedule(tokens=6000, batch=256, rate=3e-3, bfloat16=False, save_every=0.0)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    model = make(folder, "BertModel", seed=3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # at the tests' usual deviation of 1, attention is a choice of one token that no regression can follow
            parameter.mul_(0.2)
            if name.endswith("LayerNorm.weight"):
                parameter.add_(1)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = random.Random(5)
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    lines = [" ".join(generator.choices(WORDS[5:9], k=generator.randint(3, 30))) for _ in range(300)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def targets(teacher: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the teacher says of the texts; only one of the tests below starts a process for it."""
    folder = tmp_path_factory.mktemp("targets")
    make_targets(folder, teacher, texts)
    return folder


def make_targets(folder: Path, teacher: Path, texts: Path) -> None:
    sources = read_sources([texts])
    tokenizer = Tokenizer.from_str(read_tokenizer(teacher, len(WORDS))[0])
    description = describe(teacher, sources, (1, 2), 18, 1, 2000)
    prepare(folder, description)
    produce(folder, load_encoder(teacher), tokenizer, sources, description, torch.float32)


@pytest.fixture
def options(teacher: Path, texts: Path, targets: Path, tmp_path: Path) -> Options:
    output = tmp_path / "student"
    return Options(teacher, output, [texts], STUDENT, SCHEDULE, unique=2000, targets=targets, states=2, longest=18)


def test_sources_plain_and_compressed(tmp_path: Path) -> None:
    """Text is read from plain, xz and gzip files and from folders of them; lines of a word or two are left out."""
    text = "one two three\r\nno\nfour five six\u2028seven\n".encode()
    (tmp_path / "a.txt").write_bytes(text)
    (tmp_path / "b.txt.xz").write_bytes(lzma.compress(text))
    (tmp_path / "c.gz").write_bytes(gzip.compress(text))
    (tmp_path / "README.md").write_bytes(text)
    sources = read_sources([tmp_path, tmp_path / "a.txt"])
    assert [source.name for source in sources] == ["a.txt", "b.txt.xz", "c.gz", "a.txt"]
    assert {source.lines for source in sources} == {("one two three", "four five six\u2028seven")}


def test_texts_of_labelled_data(tmp_path: Path) -> None:
    """Of labelled data the texts are taken, each once; of a file that says no task, none."""
    table = tmp_path / "a.tsv"
    table.write_text("sentence\tlabel\nturn it  off\toff\nturn it off\toff\nturn it on\ton\n")
    assert read_sources([], [table])[0].lines == ("turn it off", "turn it on")
    (tmp_path / "a.txt").write_text("turn it off\n")
    with pytest.raises(TrainingError, match="does not say what its labels are for"):
        read_sources([], [tmp_path / "a.txt"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"one two \xff three\n", "not UTF-8"),
        ("a.txt", b"no\n", "no line of 3 words"),
        ("a.xz", b"no archive\n", "cannot read"),
        ("folder/a.md", b"one two three\n", "holds no .txt"),
    ],
)
def test_unusable_sources(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """What cannot be read is named."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=said):
        read_sources([path if path.parent == tmp_path else path.parent])


def test_a_large_source_does_not_rule(tmp_path: Path) -> None:
    """A hundred times the text is drawn ten times as often, counted in characters, whatever the lines' lengths."""
    (tmp_path / "long.txt").write_text("aaaa bbbb cccc dddd eeee ffff\n" * 1000)
    (tmp_path / "short.txt").write_text("x y z w v\n" * 30)
    stream = draw(read_sources([tmp_path / "long.txt", tmp_path / "short.txt"]), random.Random(1))
    drawn = [next(stream) for _ in range(20000)]
    characters = {first: sum(len(line) for line in drawn if line[0] == first) for first in "ax"}
    assert characters["a"] / characters["x"] == pytest.approx((29000 / 270) ** 0.5, rel=0.1)


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 20), st.integers(0, 1000))
def test_sequences_hold_whole_texts_in_pieces(texts: Path, teacher: Path, longest: int, seed: int) -> None:
    """Every piece is framed by special tokens and short enough, and together they are the text."""
    tokenizer = Tokenizer.from_str(read_tokenizer(teacher, len(WORDS))[0])
    line = " ".join(["turn off the light"] * 12)
    stream = sequences(iter([line] * 512), tokenizer, longest, random.Random(seed))
    whole = tokenizer.encode(line, add_special_tokens=False).ids
    joined: list[int] = []
    while len(joined) < len(whole):
        piece = next(stream)
        assert len(piece) <= longest
        assert (piece[0], piece[-1]) == (2, 3)
        joined += piece[1:-1]
    assert joined == whole


def test_targets_are_the_teachers_states(teacher: Path, texts: Path, targets: Path, tmp_path: Path) -> None:
    """A shard holds the states that the teacher has for its texts, within a step; made again, it is the same."""
    make_targets(tmp_path, teacher, texts)
    shard_path(tmp_path, 1).unlink()
    make_targets(tmp_path, teacher, texts)
    shard, again = read_shard(targets, 1), read_shard(tmp_path, 1)
    assert np.array_equal(again.ids, shard.ids)
    assert np.array_equal(again.states, shard.states)
    statistics = np.load(targets / "statistics.npz")
    start, stop = int(shard.starts[7]), int(shard.starts[7] + shard.lengths[7])
    with torch.inference_mode():
        states = load_encoder(teacher).states(pack([shard.ids[start:stop].tolist()]))
    step = statistics["deviations"] * 8 / 127
    for row, layer in enumerate((1, 2)):
        stored = shard.states[row, start:stop] * step[row] + statistics["means"][row]
        clipped = np.abs(shard.states[row, start:stop]) == 127
        assert np.all((np.abs(stored - states[layer].numpy()) <= 0.51 * step[row]) | clipped)


def test_targets_of_other_settings_are_refused(teacher: Path, texts: Path, tmp_path: Path) -> None:
    """A folder that was made for other layers is not taken for what is asked."""
    sources = read_sources([texts])
    prepare(tmp_path, describe(teacher, sources, (1, 2), 18, 1, 3000))
    prepare(tmp_path, describe(teacher, sources, (1, 2), 18, 1, 3000))
    with pytest.raises(TrainingError, match="other settings \\(layers\\)"):
        prepare(tmp_path, describe(teacher, sources, (2,), 18, 1, 3000))


def test_batches_take_every_text_once(targets: Path) -> None:
    """A pass over a shard takes each of its texts once, in batches of about the budget."""
    shard = read_shard(targets, 1)
    taken = list(batches(shard, 256, random.Random(1)))
    assert sorted(i for batch in taken for i in batch) == list(range(len(shard.lengths)))
    assert all(int(shard.lengths[batch].sum()) <= 256 for batch in taken)


def states_of(encoder: torch.nn.Module, ids: list[list[int]]) -> torch.Tensor:
    with torch.inference_mode():
        return encoder(pack(ids))  # type: ignore[no-any-return]


def random_ids(count: int, seed: int) -> list[list[int]]:
    generator = random.Random(seed)
    return [[2, *generator.choices(range(5, 13), k=generator.randint(3, 16)), 3] for _ in range(count)]


def test_without_groups_the_student_is_the_teacher(teacher: Path) -> None:
    """Where the student's form allows, least squares finds weights that compute just what the teacher does."""
    taught, student = load_encoder(teacher), new_encoder(replace(STUDENT, groups=1), len(WORDS))
    initialise(student, taught, pack(random_ids(600, 1)), [0, 1])
    fresh = random_ids(50, 2)
    wanted, got = states_of(taught, fresh), states_of(student, fresh)
    assert torch.nn.functional.cosine_similarity(wanted, got).min() > 0.999


def test_least_squares_beats_the_diagonal_blocks(teacher: Path) -> None:
    """A grouped student begins nearer to its teacher than one that copies the blocks that fit, scaled up or not."""
    taught, student = load_encoder(teacher), new_encoder(STUDENT, len(WORDS))
    initialise(student, taught, pack(random_ids(600, 1)), [0, 1])
    fresh = random_ids(50, 2)
    wanted = states_of(taught, fresh)
    error = float((states_of(student, fresh) - wanted).square().mean())
    names: dict[str, torch.Tensor] = dict(taught.named_parameters())
    renamed = {
        "attention.": "attention.self.",
        "post_attention.conv1d": "attention.output.dense",
        "post_attention.layernorm": "attention.output.LayerNorm",
        "intermediate.conv1d": "intermediate.dense",
        "output.conv1d": "output.dense",
        "output.layernorm": "output.LayerNorm",
    }
    for scale in (1.0, 1.6):
        copied = new_encoder(STUDENT, len(WORDS))
        with torch.no_grad():
            for name, parameter in copied.named_parameters():
                source = name.replace("encoder.layers", "encoder.layer")
                layer, _, rest = source.partition("layer.")
                if rest:
                    number, _, rest = rest.partition(".")
                    old = next(each for each in renamed if rest.startswith(each))
                    source = f"{layer}layer.{number}.{rest.replace(old, renamed[old], 1)}"
                value = names[source]
                if parameter.dim() == 3 and parameter.shape[1] != value.shape[1]:
                    blocks = value.view(3, parameter.shape[0] // 3, 3, -1)
                    value = scale * torch.stack([blocks[g, :, g] for g in range(3)]).flatten(0, 1)
                parameter.copy_(value[: len(parameter)].view(parameter.shape))
        assert error < 0.8 * float((states_of(copied, fresh) - wanted).square().mean())


def test_attention_may_have_groups_of_its_own(teacher: Path) -> None:
    """Query, key and value take `attention_groups`; whole ones begin nearer to the teacher than grouped ones."""
    taught, fresh = load_encoder(teacher), random_ids(50, 2)
    errors = {}
    for attention, expected in ((1, 1), (0, 3), (6, 6)):
        student = new_encoder(replace(STUDENT, attention_groups=attention), len(WORDS))
        assert [student.configuration.groups[f"{name}_groups"] for name in "qkv"] == [expected] * 3
        assert [student.configuration.groups[f"{name}_groups"] for name in ("intermediate", "output")] == [3, 3]
        initialise(student, taught, pack(random_ids(600, 1)), [0, 1])
        errors[expected] = float((states_of(student, fresh) - states_of(taught, fresh)).square().mean())
    assert errors[1] < errors[3] < errors[6]


def test_a_narrower_and_shallower_student(teacher: Path) -> None:
    """It begins on the principal components of the teacher's states, and is near enough to learn."""
    taught, student = load_encoder(teacher), new_encoder(Size(16, 1, 2, 32, 2, 20), len(WORDS))
    basis = initialise(student, taught, pack(random_ids(600, 1)), [1])
    torch.testing.assert_close(basis.T @ basis, torch.eye(16), atol=1e-5, rtol=0)
    fresh = random_ids(50, 2)
    wanted, got = states_of(taught, fresh) @ basis, states_of(student, fresh)
    assert torch.nn.functional.cosine_similarity(wanted - wanted.mean(0), got - wanted.mean(0)).mean() > 0.5


def test_from_texts_to_a_checkpoint(options: Options) -> None:
    """The student comes nearer to its teacher, and its folder is one that transformers and the converter read."""
    outcome = distil(options)
    held_out = [point.validation for point in outcome.curve if point.validation is not None]
    assert outcome.curve[-1].tokens >= SCHEDULE.tokens
    assert outcome.curve[-1].similarity is not None
    first = outcome.curve[0].loss
    assert held_out[-1] < first
    network = read(options.output)
    assert [head.name for head in network.heads] == ["embedding"]
    model = transformers.AutoModel.from_pretrained(options.output)
    assert sum(parameter.numel() for parameter in model.parameters()) == outcome.parameters
    assert len((options.output / "calibration.txt").read_text().splitlines()) > 100
    assert (options.output / "loss.svg").read_text().startswith("<?xml")
    record = json.loads((options.output / "distillation.json").read_text())
    assert record["curve"][-1]["loss"] == outcome.curve[-1].loss


def test_the_teacher_has_a_process_of_its_own(options: Options, targets: Path) -> None:
    """Without targets at hand they are computed beside the training, and come out the same."""
    distil(replace(options, targets=None, schedule=replace(SCHEDULE, tokens=1000)))
    own = options.output / WORK / "targets"
    assert {path.name for path in own.iterdir()} == {path.name for path in targets.iterdir()}
    for path in (own, targets):
        assert (path / DESCRIPTION).read_text() == (targets / DESCRIPTION).read_text()
        assert np.array_equal(read_shard(path, 1).states, read_shard(targets, 1).states)


def test_other_students_learn_from_the_same_targets(options: Options, targets: Path) -> None:
    """Targets are not computed again for a student of another size."""
    written = {path.name: path.stat().st_mtime_ns for path in targets.iterdir()}
    small = replace(options, size=Size(16, 1, 2, 32, 2, 20), schedule=replace(SCHEDULE, tokens=1000))
    assert distil(small).parameters < 10_000
    assert {path.name: path.stat().st_mtime_ns for path in targets.iterdir()} == written


def arguments(options: Options, output: Path, targets: Path) -> list[str]:
    size = options.size
    return [
        *("distil", str(options.teacher), "-o", str(output), "--texts", str(options.texts[0])),
        *("--targets", str(targets), "--hidden", str(size.hidden), "--layers", str(size.layers)),
        *("--heads", str(size.heads), "--intermediate", str(size.intermediate), "--groups", str(size.groups)),
        *("--positions", str(size.positions), "--tokens", "40000", "--unique", "2000", "--states", "2"),
        *("--longest", "18", "--batch", "256", "--float32", "--save-every", "0", "--json"),
    ]


def test_a_killed_run_ends_as_one_that_was_not(options: Options, targets: Path, tmp_path: Path) -> None:
    """Killed at a random moment and started again, a run ends with the same weights and the same curve."""
    whole = CliRunner().invoke(main, arguments(options, tmp_path / "whole", targets), catch_exceptions=False)
    expected = json.loads(whole.stdout)
    command = [
        sys.executable,
        "-c",
        "from converter.cli import main; main()",
        *arguments(options, tmp_path / "killed", targets),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (tmp_path / "killed" / WORK / CHECKPOINT).exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(random.random() * 0.3)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    again = CliRunner().invoke(main, arguments(options, tmp_path / "killed", targets), catch_exceptions=False)
    resumed = json.loads(again.stdout)
    assert 0 < resumed["resumed_at"] < 40000
    assert resumed["loss"] == expected["loss"]
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed")]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_run_of_other_options_is_not_gone_on_from(options: Options) -> None:
    """A checkpoint of another seed or size is refused, and --fresh starts anew."""
    distil(options)
    other = replace(options, schedule=replace(SCHEDULE, rate=1e-4))
    with pytest.raises(TrainingError, match="other options \\(rate\\)"):
        distil(other)
    assert distil(replace(other, fresh=True)).resumed_at == 0


def test_a_damaged_checkpoint_is_named(options: Options) -> None:
    """A file that is no checkpoint ends in a sentence, not in a traceback."""
    distil(options)
    (options.output / WORK / CHECKPOINT).write_bytes(os.urandom(100))
    with pytest.raises(TrainingError, match="cannot be read"):
        distil(options)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": replace(STUDENT, layers=3)}, "--layers 3 is not from 1 to 2"),
        ({"size": replace(STUDENT, layers=0)}, "--layers 0 is not from 1 to 2"),
        ({"size": replace(STUDENT, hidden=48, heads=3)}, "--hidden 48 is not from 1 to 24"),
        ({"size": replace(STUDENT, intermediate=96)}, "--intermediate 96 is not from 1 to 48"),
        ({"size": replace(STUDENT, positions=21)}, "--positions 21 is not from 1 to 20"),
        ({"size": replace(STUDENT, hidden=21)}, "heads of 7 channels"),
        ({"states": 3}, "--states"),
        ({"longest": 30}, "--longest"),
        ({"unique": 0}, "--unique"),
        ({"texts": []}, "no text was given"),
    ],
)
def test_unusable_options(options: Options, change: dict[str, object], said: str) -> None:
    """What cannot work is said before any work is done."""
    with pytest.raises(TrainingError, match=said):
        distil(replace(options, **change))  # type: ignore[arg-type]
