"""Everything that a training depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from converter.data_sets import Task, source_name
from converter.errors import TrainingError
from converter.sizes import Size
from converter.train.augmentation import Augmentation
from converter.train.schedule import Schedule

VALIDATION_SHARE = 0.1
"""set aside where neither a share nor validation data are given"""


@dataclass(frozen=True)
class Options:
    data: Sequence[Path]
    output: Path
    task: Task | None = None
    """None: told from the data's layout"""
    validation_data: Sequence[Path] = ()
    """data sets that are only validated on, beside what is set aside of `data`"""
    validation_share: float | None = None
    """None: `VALIDATION_SHARE`, or nothing where there are validation data"""
    rename: Path | None = None
    out_of_scope: Sequence[Path] = ()
    """texts that belong to no label: trained as a label of their own, and some set aside to measure the refusals.

    They do not set the threshold: foreign texts of a kind that was trained are told by their label, with a threshold
    near 0, and those of other kinds would then be let through (33 % of clinc150's oos_valid refused by the assistant,
    not 78 %).
    """
    out_of_scope_validation: Sequence[Path] = ()
    """texts of kinds that are not trained, by which threshold and reliability are set; all their labels count"""
    out_of_scope_labels: Sequence[str] | None = None
    """of out-of-scope data that have labels, those that count; None: all"""
    gibberish: int = 0
    """made-up texts added to the out-of-scope ones"""
    init: Path | None = None
    vocabulary: Path | None = None
    init_embeddings: Path | None = None
    vocabulary_size: int | None = None
    vocabulary_texts: Sequence[Path] = ()
    max_length: int | None = None
    """longest sequence in tokens; None: what the checkpoint takes"""
    size: Size = field(default_factory=Size)
    """without `init`"""
    pooling: Literal["mean", "first"] = "mean"
    """what the intent, or the sentence vector, is made of"""
    teacher: Path | None = None
    unlabelled: Sequence[Path] = ()
    schedule: Schedule = field(default_factory=Schedule)
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(0.3, 0.3, 0.3))
    quantisation_aware: bool = False
    """train some last epochs in the integers that will be exported"""
    licence: str | None = None
    threads: int = 1
    fresh: bool = False
    """start anew where an earlier run could be gone on from"""
    command: str | None = None
    """what the card says the model was made by"""

    @property
    def share(self) -> float:
        """Of the data that is set aside."""
        if self.validation_share is not None:
            return self.validation_share
        return 0.0 if self.validation_data else VALIDATION_SHARE

    def check(self) -> None:
        """Raises TrainingError for what cannot work."""
        if not self.data:
            raise TrainingError("no training data was given")
        if not 0 <= self.share < 1 or (self.share == 0 and not self.validation_data):
            raise TrainingError("the validation share must be above 0 and below 1, or validation data must be given")
        if self.gibberish and not self.out_of_scope:
            raise TrainingError("made-up texts are trained as out of scope: give some real out-of-scope texts, too")
        if self.init is None and self.vocabulary is None and self.init_embeddings is None:
            raise TrainingError("give a vocabulary, or a checkpoint to start from")
        if self.init is not None and (self.vocabulary is not None or self.init_embeddings is not None):
            raise TrainingError("--init brings its own vocabulary and embeddings: leave the others out")
        if self.unlabelled and self.teacher is None:
            raise TrainingError("unlabelled texts are labelled by a teacher: give one with --teacher")
        if self.vocabulary_texts and self.vocabulary_size is None:
            raise TrainingError("--vocabulary-texts is only of use with --vocabulary-size")
        schedule = self.schedule
        if not 0 <= schedule.alpha <= 1 or schedule.temperature <= 0:
            raise TrainingError("--alpha must be from 0 to 1, and --temperature above 0")
        if schedule.epochs == 0 and not (self.quantisation_aware and self.init is not None):
            raise TrainingError("--epochs 0 trains in integers alone: give --quantisation-aware and --init")
        counts = (schedule.patience, schedule.batch, schedule.batch_tokens, schedule.integer_epochs)
        if schedule.epochs < 0 or min(counts) < 1 or schedule.rate <= 0:
            raise TrainingError(
                "--epochs, --patience, --batch, --batch-tokens, --integer-epochs and --rate must be above 0"
            )

    def fingerprint(self, examples: Sequence[object]) -> dict[str, Any]:
        """What a state of the training is only good for; how often one is written changes nothing."""
        schedule = {name: value for name, value in asdict(self.schedule).items() if name != "save_every"}
        return {
            "data": hashlib.sha256(repr(examples).encode()).hexdigest(),
            "task": self.task,
            "init": _weights(self.init),
            "init_embeddings": _weights(self.init_embeddings),
            "teacher": _weights(self.teacher),
            "vocabulary": _weights(self.vocabulary),
            "vocabulary_size": self.vocabulary_size,
            "vocabulary_texts": [source_name(path) for path in self.vocabulary_texts],
            "unlabelled": [source_name(path) for path in self.unlabelled],
            "max_length": self.max_length,
            "size": asdict(self.size) if self.init is None else None,
            "pooling": self.pooling,
            "quantisation_aware": self.quantisation_aware,
            **asdict(self.augmentation),
            **schedule,
        }


def _weights(path: Path | None) -> str | None:
    """The digest of a file, or of all weight files of a checkpoint folder."""
    if path is None:
        return None
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted([*path.glob("*.safetensors"), *path.glob("*.bin")])
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
