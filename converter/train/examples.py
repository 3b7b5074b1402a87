"""What is trained and validated on: data sets, split; what is out of scope; what only a teacher labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter.data_sets import DataSet, Labelled, LabelMap, Spoken, Task, guess_task, read, read_label_map, read_texts
from converter.data_sets.lines import read_lines
from converter.errors import TrainingError
from converter.train.gibberish import gibberish
from converter.train.options import Options
from converter.train.split import set_aside
from converter.train.tasks import TASKS
from converter.train.tasks import task as tasks

OUT_OF_SCOPE_LABEL = "out_of_scope"


@dataclass(frozen=True)
class Material:
    """All examples of a training."""

    task: tasks.Task[Any, Any]
    refusal: str | None
    """the label for what is out of scope"""
    data: Sequence[DataSet[Any]]
    validation_data: Sequence[DataSet[Any]]
    training: Sequence[Any]
    """examples of `data` that are trained on"""
    outside: Sequence[Any]
    """trained as out of scope"""
    aside: Sequence[DataSet[Any]]
    """validated on"""
    foreign: Sequence[Any]
    """out of scope, to measure the refusals by"""
    untrained: Sequence[Any]
    """of these those of kinds that are not trained, which set the threshold"""
    unlabelled: Sequence[Any]

    @property
    def everything(self) -> list[Any]:
        return [*self.training, *self.outside]

    def texts(self) -> list[str]:
        """All that is trained on, as wordpieces are counted in it."""
        return [text for each in (*self.everything, *self.unlabelled) for text in self.task.texts(each)]


def gather(options: Options, words: Sequence[str]) -> Material:
    """Reads all data.

    Args:
        options: see there.
        words: what made-up texts are made of.

    Raises:
        TrainingError: a file cannot be used, or there is too little of something.
    """
    name = options.task or _guess(options.data)
    kind = TASKS[name]
    names = read_label_map(options.rename) if options.rename else LabelMap()
    data = [names.apply(read(path, name)) for path in options.data]
    validation_data = [names.apply(read(path, name)) for path in options.validation_data]
    if kind.confidence is None and (options.out_of_scope or options.out_of_scope_validation):
        raise TrainingError(f"{name} refuses no texts: leave the out-of-scope texts out")
    if options.unlabelled and not kind.learns_unlabelled:
        raise TrainingError(f"{name} cannot be taught on texts alone: leave --unlabelled out")
    outside, outside_aside = _outside(options, words)
    untrained = [text for path in options.out_of_scope_validation for text in read_texts(path)]
    refusal = OUT_OF_SCOPE_LABEL if outside else None
    task = kind.collect([each for one in data for each in one.examples], refusal)
    seed = options.schedule.seed
    training: list[Any] = []
    aside: list[DataSet[Any]] = []
    for one in data:
        kept, validation = set_aside(one.examples, options.share, seed, task.stratum, task.key)
        training += kept
        if validation:
            aside.append(DataSet(one.name, tuple(validation)))
    aside += validation_data
    if not aside:
        raise TrainingError("too few texts to set any aside for validation")
    for one in aside:
        task.check(one.name, one.examples)

    def refused(texts: Sequence[str]) -> list[Any]:
        # Texts that only set a threshold have no label of their own.
        if name == "understand":
            return [Spoken(tuple(text.split()), refusal or "") for text in texts]
        return [Labelled(text, refusal or "") for text in texts]

    lines = [line.strip() for path in options.unlabelled for line in read_lines(path)]
    unlabelled = [task.unlabelled(line) for line in lines if line]
    return Material(
        task=task,
        refusal=refusal,
        data=data,
        validation_data=validation_data,
        training=training,
        outside=refused(outside),
        aside=aside,
        foreign=refused([*outside_aside, *untrained]),
        untrained=refused(untrained),
        unlabelled=unlabelled,
    )


def _guess(paths: Sequence[Path]) -> Task:
    found: dict[Task, Path] = {}
    for path in paths:
        guessed = guess_task(path)
        if guessed is None:
            raise TrainingError(f"{path} may be data for several tasks: say which with --task")
        found.setdefault(guessed, path)
    if set(found) == {"understand", "classify"}:
        # Where some data have slots, those without them teach their labels alone.
        return "understand"
    if len(found) > 1:
        listed = ", ".join(f"{path} for {name}" for name, path in found.items())
        raise TrainingError(f"the data are for different tasks ({listed}): say which with --task")
    return next(iter(found))


def _outside(options: Options, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Out-of-scope texts to train on, and those set aside to measure by."""
    sources = [list(read_texts(path, options.out_of_scope_labels)) for path in options.out_of_scope]
    if options.gibberish:
        sources.append(gibberish(options.gibberish, words, options.schedule.seed))
    training: list[str] = []
    aside: list[str] = []
    for texts in sources:
        kept, validation = set_aside(texts, options.share, options.schedule.seed, lambda _: "", lambda text: text)
        training += kept
        aside += validation
    return training, aside
