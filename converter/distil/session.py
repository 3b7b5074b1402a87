"""One distillation from a teacher and texts to a checkpoint folder."""

from __future__ import annotations

import json
import multiprocessing
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.checkpoint.configuration import read_configuration
from converter.checkpoint.tokenizer import read_tokenizer
from converter.data_sets import source_name
from converter.distil.targets import (
    Description,
    describe,
    prepare,
    produce,
    read_shard,
    read_statistics,
    shard_path,
    wait_for,
)
from converter.distil.texts import read_sources
from converter.errors import TrainingError
from converter.sizes import Size

if TYPE_CHECKING:
    from converter.checkpoint.configuration import Configuration
    from converter.distil.training import Point, Schedule
    from converter.train.encoder import Encoder

INITIAL_TOKENS = 30_000
"""that the student's first weights are regressed on: twenty for each of the 1,536 inputs of the widest layer"""
CALIBRATION_TEXTS = 512
WORK = ".distillation"
"""in the output folder: what a killed run is gone on from"""


@dataclass(frozen=True)
class Options:
    """Everything that a distillation depends on."""

    teacher: Path
    output: Path
    texts: Sequence[Path]
    """files of text, or folders of them"""
    size: Size
    schedule: Schedule
    unique: int
    """tokens of text that the teacher is asked about; the student meets them again when they are used up"""
    data: Sequence[Path] = ()
    """labelled data whose texts are learnt from as well"""
    targets: Path | None = None
    """folder for the teacher's states, which other students can learn from as well; without it within the output's"""
    states: int = 3
    """layers of the teacher whose states are taught, evenly spread, the last among them"""
    longest: int = 128
    threads: int = 1
    fresh: bool = False
    licence: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a distillation."""

    output: Path
    parameters: int
    curve: Sequence[Point]
    seconds: float
    resumed_at: int
    """tokens; 0: from the start"""


def distil(
    options: Options,
    on_stage: Callable[[str], None] = lambda _: None,
    on_point: Callable[[Point, float], None] = lambda *_: None,
) -> Outcome:
    """Makes a SqueezeBERT that does what the teacher does, and writes its checkpoint folder.

    A run that was ended goes on from its last checkpoint when it is started with the same options.

    Raises:
        TrainingError: texts or options cannot be used, or PyTorch or transformers is missing.
        CheckpointError: the teacher cannot be read.
    """
    import torch

    from converter.distil.initialise import initialise
    from converter.distil.training import Distillation, Goals, read_checkpoint
    from converter.train.encoder import load_encoder, new_encoder
    from converter.train.packing import pack
    from converter.train.saving import prepare_folder

    size = options.size
    taught = read_configuration(options.teacher)
    depth = taught.num_hidden_layers
    _check(options, taught)
    prepare_folder(options.output)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.schedule.seed)

    on_stage("reading the texts")
    sources = read_sources(options.texts, options.data)
    layers = tuple(round((i + 1) * depth / options.states) for i in range(options.states))
    description = describe(options.teacher, sources, layers, options.longest, options.schedule.seed, options.unique)
    targets = options.targets or options.output / WORK / "targets"
    prepare(targets, description)
    work = options.output / WORK
    settings = _settings(options, description)
    state = None if options.fresh else read_checkpoint(work, settings)

    with _Teacher(options, targets, description) as asked:
        tokenizer, _ = read_tokenizer(options.teacher, taught.vocab_size)
        student = new_encoder(size, taught.vocab_size, taught.fields.get("pad_token_id"))
        asked.ready(0)
        if state is None:
            on_stage("setting the student's weights by the teacher's")
            asked.ready(1)
            shard = read_shard(targets, 1)
            ends = shard.starts + shard.lengths
            texts = [shard.ids[a:b].tolist() for a, b in zip(shard.starts, ends, strict=True) if b <= INITIAL_TOKENS]
            nearest = [round((i + 1) * depth / size.layers) - 1 for i in range(size.layers)]
            basis = initialise(student, load_encoder(options.teacher), pack(texts), nearest, options.schedule.seed)
        else:
            basis = state["basis"]
        own = tuple(round(layer * size.layers / depth) for layer in layers)
        goals = Goals(own, basis, read_statistics(targets))
        distillation = Distillation(
            student, goals, targets, range(1, description.shards), options.schedule, asked.ready, settings
        )
        if state is not None:
            distillation.load(state)
        resumed = distillation.progress.tokens
        on_stage("training")
        distillation.run(on_point, work)

    on_stage("writing the checkpoint")
    progress = distillation.progress
    lines = random.Random(options.schedule.seed)  # noqa: S311 (a repeatable sample, no secret)
    sample = [lines.choice(lines.choice(sources).lines) for _ in range(CALIBRATION_TEXTS)]
    _save(options, student, tokenizer, sample, progress.curve, progress.seconds)
    parameters = sum(p.numel() for p in student.parameters())
    return Outcome(options.output, parameters, progress.curve, progress.seconds, resumed)


def _check(options: Options, taught: Configuration) -> None:
    size, layers = options.size, taught.num_hidden_layers
    for name, own, theirs in (
        ("hidden", size.hidden, taught.hidden_size),
        ("layers", size.layers, layers),
        ("intermediate", size.intermediate, taught.intermediate_size),
        ("positions", size.positions, taught.max_position_embeddings),
    ):
        if not 1 <= own <= theirs:
            raise TrainingError(f"--{name} {own} is not from 1 to {theirs}, what the teacher has")
    channels = size.hidden // size.heads
    if taught.hidden_size % channels:
        raise TrainingError(
            f"--heads {size.heads} makes heads of {channels} channels, into which the teacher's {taught.hidden_size} "
            "cannot be parted"
        )
    if not options.texts and not options.data:
        raise TrainingError("no text was given: --texts FILE, or --data for that of labelled data")
    if not 1 <= options.states <= layers:
        raise TrainingError(f"--states must be from 1 to {layers}, the teacher's layers")
    if not 8 <= options.longest <= size.positions:
        raise TrainingError(f"--longest must be from 8 to {size.positions}, the student's positions")
    if options.schedule.tokens < 1 or options.unique < 1:
        raise TrainingError("--tokens and --unique must be at least 1")


def _settings(options: Options, description: Description) -> dict[str, Any]:
    """What a checkpoint is only good for; saving more or less often changes nothing."""
    schedule = {name: value for name, value in asdict(options.schedule).items() if name != "save_every"}
    return json.loads(json.dumps({"size": asdict(options.size), **schedule, **asdict(description)}))  # type: ignore[no-any-return]


class _Teacher:
    """A process of its own for the teacher, who is ahead of the student: one core each."""

    def __init__(self, options: Options, targets: Path, description: Description) -> None:
        self.folder, self.description = targets, description
        texts, data = list(options.texts), list(options.data)
        arguments = (options.teacher, texts, data, targets, description, options.schedule.bfloat16)
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=_teach, args=arguments, name="teacher", daemon=True)

    def __enter__(self) -> _Teacher:
        if not all(shard_path(self.folder, number).exists() for number in range(self.description.shards)):
            self.process.start()
        return self

    def ready(self, number: int) -> None:
        wait_for(self.folder, number, self.process.is_alive)

    def __exit__(self, *_: object) -> None:
        if self.process.pid is not None:
            self.process.terminate()
            self.process.join()


def _teach(
    teacher: Path,
    texts: Sequence[Path],
    data: Sequence[Path],
    folder: Path,
    description: Description,
    bfloat16: bool,
) -> None:
    import torch
    from tokenizers import Tokenizer

    from converter.train.encoder import load_encoder

    torch.set_num_threads(1)
    tokenizer, _ = read_tokenizer(teacher, read_configuration(teacher).vocab_size)
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    sources = read_sources(texts, data)
    produce(folder, load_encoder(teacher), Tokenizer.from_str(tokenizer), sources, description, dtype)


def _save(
    options: Options,
    student: Encoder,
    tokenizer: str,
    sample: Sequence[str],
    curve: Sequence[Point],
    seconds: float,
) -> None:
    from safetensors.torch import save_file

    from converter.distil.curve import draw

    folder, schedule = options.output, options.schedule
    config = json.loads(student.config.to_json_string(use_diff=False))
    config.pop("_name_or_path", None)
    held_out = next((point for point in reversed(curve) if point.validation is not None), None)
    config |= {
        "architectures": ["SqueezeBertModel"],
        "dtype": "float32",
        "licence": options.licence,
        "training": {
            "teacher": options.teacher.resolve().name,
            "texts": [path.name for path in options.texts] + [source_name(path) for path in options.data],
            "tokens": schedule.tokens,
            "distinct_tokens": options.unique,
            "hours": round(seconds / 3600, 2),
            "held_out_cosine_of_sentence_vectors": round(held_out.similarity, 4)
            if held_out is not None and held_out.similarity is not None
            else None,
        },
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    (folder / "calibration.txt").write_text("".join(f"{line}\n" for line in sample), encoding="utf-8")
    save_file({n: t.detach().contiguous() for n, t in student.state_dict().items()}, folder / "model.safetensors")
    record = {"options": {**asdict(options.size), **asdict(schedule)}, "curve": [asdict(point) for point in curve]}
    (folder / "distillation.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    draw(folder / "loss.svg", curve)
