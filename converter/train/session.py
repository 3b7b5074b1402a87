"""One training from files to a checkpoint folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converter import trained
from converter.calibration import read_texts as read_calibration
from converter.data_sets import read_texts, source_name
from converter.data_sets.writing import write as write_examples
from converter.train.confidence import Confidence, calibrate, share_refused
from converter.train.examples import Material, gather
from converter.train.features import IGNORED
from converter.train.options import Options
from converter.train.packages import require_packages
from converter.train.saving import prepare_folder, save, save_calibration, save_pooling
from converter.train.tasks import Embed, Understand

if TYPE_CHECKING:
    from converter.train.model import Model
    from converter.train.start import Start
    from converter.train.training import Epoch, Step, ValidationSet

VALIDATION = "validation.jsonl"
"""all examples that were validated on"""


@dataclass(frozen=True)
class Outcome:
    """What came of a training."""

    task: str
    epochs: Sequence[Epoch]
    best: Epoch
    """number 0: what there was before the last epochs in integers"""
    scores: Mapping[str, Mapping[str, float]]
    """of the weights that were written, by validation set and metric"""
    confidence: Confidence | None
    """of tasks that may refuse a text"""
    out_of_scope_texts: int
    """validated on"""
    output: Path


def train(
    options: Options,
    on_step: Callable[[Step], None] = lambda _: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    on_teaching: Callable[[int, int], None] = lambda *_: None,
) -> Outcome:
    """Trains a model for a task and writes its checkpoint folder.

    A run that was ended goes on from its last state when it is started with the same options. The same options give
    the same weights on the same machine with the same number of threads, whether it was ended in between or not.

    Args:
        options: see there.
        on_step: told of every batch.
        on_epoch: told of every epoch.
        on_teaching: told how many examples a teacher has been asked about, of how many.

    Raises:
        TrainingError: the data or the options cannot be used, or PyTorch or transformers is missing.
        CheckpointError: a checkpoint given to start from, or to be taught by, cannot be read.
    """
    require_packages()
    import torch

    from converter.train import resumption
    from converter.train.lessons import Lessons
    from converter.train.memory import keep_freed
    from converter.train.model import Model
    from converter.train.resumption import Resumption, working_folder
    from converter.train.start import keep_head
    from converter.train.teacher import Teacher
    from converter.train.training import Training, ValidationSet, judge
    from converter.train.training import best as best_of

    options.check()
    keep_freed()
    schedule = options.schedule
    torch.set_num_threads(options.threads)
    torch.manual_seed(schedule.seed)
    start = _start(options)
    material = gather(options, _words(start))
    task = material.task
    if isinstance(task, Understand):
        task.pooling, task.augmentation = options.pooling, options.augmentation
    elif isinstance(task, Embed):
        task.pooling = options.pooling
    prepare_folder(options.output)
    if options.vocabulary_size is not None:
        start.trim(_counted(material, options), options.vocabulary_size)
    tokenisation = start.tokenisation
    hidden = start.encoder.config.hidden_size
    model = Model(start.encoder, task.heads(hidden))
    if options.init is not None:
        keep_head(model, options.init, task)
    if options.fresh:
        resumption.discard(options.output)
    fingerprint = options.fingerprint([material.everything, material.unlabelled, material.aside])
    states = Resumption(options.output, "training", fingerprint)
    state = states.load()
    teacher = None if options.teacher is None else Teacher(options.teacher, task, schedule.bfloat16)
    lessons = Lessons(material, tokenisation, schedule.seed, teacher, working_folder(options.output), on_teaching)
    sets = [ValidationSet(one.name, one.examples, task.features(tokenisation, one.examples)) for one in material.aside]
    training = Training(model, task, lessons, sets, schedule)
    if state is not None:
        training.restore(state)
    epochs = training.run(on_step, on_epoch, states) if schedule.epochs else []
    best = training.best_epoch if epochs else judge(model, task, sets)

    writer = _Writer(options, material, start, model, sets, epochs)
    trained.remove(options.output)
    scores, confidence = writer.write(model, best)
    sample = save_calibration(options.output, [task.texts(each) for each in material.training], schedule.seed)
    if options.quantisation_aware:
        from converter.train import tuning

        simulated, arranged = tuning.simulate(model, options.output, read_calibration(sample))
        tunings = Resumption(options.output, "tuning", fingerprint)
        tuned = tuning.tune(simulated, task, lessons, sets, schedule, on_step, on_epoch, tunings)
        best = best_of(tuned)
        scores, confidence = writer.write(simulated, best, tuned)
        trained.write(options.output, arranged.plan, arranged.ranges)
    resumption.discard(options.output)
    return Outcome(task.name, epochs, best, scores, confidence, len(material.foreign), options.output)


@dataclass(frozen=True)
class _Writer:
    """Writes the checkpoint folder, as often as there are better weights."""

    options: Options
    material: Material
    start: Start
    model: Model
    sets: Sequence[ValidationSet]
    epochs: Sequence[Epoch]

    def write(
        self, judged: Any, best: Epoch, tuned: Sequence[Epoch] = ()
    ) -> tuple[dict[str, dict[str, float]], Confidence | None]:
        """Scores, temperature and threshold by what `judged` (the model or its simulation) says, and all files.

        `tuned`: epochs of that simulation.
        """
        from converter.train import curve
        from converter.train.training import evaluate

        options, task = self.options, self.material.task
        scores = {each.name: evaluate(judged, task, each) for each in self.sets}
        fields: dict[str, Any] = task.fields()
        confidence = None
        if task.confidence is not None:
            confidence = self._confidence(judged, task.confidence)
            fields |= {
                f"{task.confidence}_temperature": round(confidence.temperature, 6),
                f"{task.confidence}_threshold": round(confidence.threshold, 6),
                f"{task.confidence}_out_of_scope": self.material.refusal,
            }
            if confidence.reliability:
                fields[f"{task.confidence}_reliability"] = list(confidence.reliability)
        fields |= {"licence": options.licence, "training": self._details(best, scores, confidence)}
        save(options.output, self.model, self.start.tokenizer, self.start.longest, task.architecture, fields)
        if isinstance(task, Embed):
            save_pooling(options.output, self.start.encoder.config.hidden_size, task.pooling)
        # What `score` can hold the integers to.
        write_examples(options.output / VALIDATION, [each for one in self.sets for each in one.examples])
        curve.write(options.output, self.epochs, tuned, best, asdict(options.schedule))
        return scores, confidence

    def _confidence(self, judged: Any, head: str) -> Confidence:
        from converter.train.prediction import predict

        material, task = self.material, self.material.task
        tokenisation = self.start.tokenisation

        def logits(features: Sequence[Any]) -> Any:
            return np.concatenate([each[head] for each in predict(judged, features, heads=[head])])

        labels = next(each.labels for each in task.heads(0) if each.name == head)
        refusal = None if material.refusal is None else labels.index(material.refusal)
        inside = [each for one in self.sets for each in one.features if each.label != IGNORED]
        untrained = logits(task.features(tokenisation, material.untrained)) if material.untrained else None
        expected = np.array([each.label for each in inside], dtype=np.int64)
        confidence = calibrate(logits(inside), expected, untrained, refusal)
        if material.foreign:
            foreign = logits(task.features(tokenisation, material.foreign))
            confidence = replace(confidence, refused_out_of_scope=share_refused(foreign, confidence, refusal))
        return confidence

    def _details(
        self, best: Epoch, scores: Mapping[str, Mapping[str, float]], confidence: Confidence | None
    ) -> dict[str, Any]:
        """What the model's card repeats: data by name, never by a path of this machine."""
        options, material = self.options, self.material
        details: dict[str, Any] = {
            "task": material.task.name,
            "command": options.command,
            "data": {one.name: len(one.examples) for one in material.data},
            "validation_data": {one.name: len(one.examples) for one in material.validation_data},
            "validation_share": options.share,
            "out_of_scope": [source_name(path) for path in options.out_of_scope],
            "made_up_texts": options.gibberish,
            "started_from": _checkpoint_name(options.init),
            "embeddings_from": _checkpoint_name(options.init_embeddings),
            "vocabulary_size": options.vocabulary_size,
            "teacher": _checkpoint_name(options.teacher),
            "unlabelled": [source_name(path) for path in options.unlabelled],
            "schedule": {name: value for name, value in asdict(options.schedule).items() if name != "save_every"},
            "augmentation": asdict(options.augmentation) if material.task.varies else None,
            "quantisation_aware": options.quantisation_aware or None,
            "epochs": len(self.epochs),
            "best_epoch": best.number,
            "validation": {
                name: {metric: round(value, 6) for metric, value in each.items()} for name, each in scores.items()
            },
        }
        if confidence is not None:
            kept = {name: value for name, value in asdict(confidence).items() if name != "reliability"}
            details["confidence"] = {**kept, "out_of_scope_texts": len(material.foreign)}
        return {
            name: value for name, value in details.items() if value not in (None, [], {}, 0) or name == "best_epoch"
        }


def _start(options: Options) -> Start:
    from converter.train.start import existing, from_scratch

    if options.init is not None:
        return existing(options.init, options.max_length)
    return from_scratch(options.size, options.vocabulary, options.init_embeddings, options.max_length)


def _words(start: Start) -> list[str]:
    """Whole words of the vocabulary."""
    from tokenizers import Tokenizer

    return sorted(token for token in Tokenizer.from_str(start.tokenizer).get_vocab() if token.isalpha())


def _counted(material: Material, options: Options) -> list[str]:
    return [*material.texts(), *(text for path in options.vocabulary_texts for text in read_texts(path))]


def _checkpoint_name(folder: Path | None) -> str | None:
    from converter.checkpoint.configuration import read_configuration

    return None if folder is None else read_configuration(folder).name or folder.resolve().name
