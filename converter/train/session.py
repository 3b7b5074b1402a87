"""One training from files to a checkpoint folder."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from converter import trained
from converter.calibration import read_texts as read_calibration
from converter.errors import TrainingError
from converter.train import tuning
from converter.train.augmentation import exchange, slot_values, with_digits
from converter.train.confidence import Confidence, calibrate, share_refused
from converter.train.corpus import Corpus, Example, Renaming, read_corpus, read_renaming, read_texts, source_name
from converter.train.encoding import Encoded, Labels, collect_labels, encode
from converter.train.gibberish import gibberish
from converter.train.models import Size, build, existing_encoder, new_encoder, require_packages
from converter.train.saving import prepare_folder, save, save_calibration
from converter.train.split import set_aside
from converter.train.training import Epoch, Schedule, Scores, Step, ValidationSet, fit, predict

OUT_OF_SCOPE_LABEL = "out_of_scope"
# Sentence ends that people type and that training texts mostly lack.
MARKS = (".", "?", "!")


@dataclass(frozen=True)
class Options:
    """Everything that a training depends on."""

    data: Sequence[Path]
    output: Path
    validation_data: Sequence[Path] = ()
    """corpora that are only validated on, beside what is set aside of `data`"""
    validation_share: float = 0.1
    rename: Path | None = None
    out_of_scope: Sequence[Path] = ()
    """texts that belong to no label: trained as a label of their own, and some set aside to measure the refusals.

    They do not set the threshold: foreign texts of a kind that was trained are told by their label, with a threshold
    near 0, and those of other kinds would then be let through (33 % of clinc150's oos_valid refused by the assistant,
    not 78 %).
    """
    out_of_scope_validation: Sequence[Path] = ()
    """texts of kinds that are not trained, by which the threshold is set; all their labels count"""
    out_of_scope_labels: Sequence[str] | None = None
    """of out-of-scope corpora that have labels, those that count; None: all"""
    gibberish: int = 0
    """made-up texts added to the out-of-scope ones"""
    init: Path | None = None
    vocabulary: Path | None = None
    init_embeddings: Path | None = None
    size: Size = field(default_factory=Size)
    pooling: Literal["mean", "first"] = "mean"
    schedule: Schedule = field(default_factory=Schedule)
    quantisation_aware: bool = False
    """train some last epochs in the integers that will be exported"""
    licence: str | None = None
    threads: int = 1


@dataclass(frozen=True)
class Outcome:
    """What came of a training."""

    epochs: Sequence[Epoch]
    best: Epoch
    confidence: Confidence
    out_of_scope_texts: int
    """validated on"""
    output: Path

    @property
    def scores(self) -> dict[str, Scores]:
        return dict(self.best.scores)


def train(
    options: Options,
    on_step: Step = lambda *_: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Outcome:
    """Trains a SqueezeBERT and writes its checkpoint folder.

    With slots in the data (seq.out) intent and slots are learnt together, else one label a text. The same options give
    the same weights on the same machine with the same number of threads.

    Raises:
        TrainingError: the data or the options cannot be used, or PyTorch or transformers is missing.
        CheckpointError: a checkpoint given to start from cannot be read.
    """
    require_packages()
    import torch

    _check(options)
    renaming = read_renaming(options.rename) if options.rename else Renaming()
    corpora = [read_corpus(path, renaming) for path in options.data]
    validation_corpora = [read_corpus(path, renaming) for path in options.validation_data]
    prepare_folder(options.output)
    schedule = options.schedule
    torch.set_num_threads(options.threads)
    torch.manual_seed(schedule.seed)

    training, aside = _split(corpora, options)
    aside += validation_corpora
    tokenizer_text, tokenizer, encoder = _start(options)
    outside, outside_aside = _outside(options, tokenizer)
    untrained = [text for path in options.out_of_scope_validation for text in read_texts(path)]
    refusal = OUT_OF_SCOPE_LABEL if outside else None
    labels = collect_labels([each for corpus in corpora for each in corpus.examples], refusal)
    _check_validation(aside, labels)
    longest = encoder.config.max_position_embeddings

    def numbers(examples: Sequence[Example]) -> list[Encoded]:
        intents, slots = labels.intent_numbers, labels.slot_numbers
        # One position stays free for a punctuation mark.
        return [encode(tokenizer, each, intents, slots, longest - 1) for each in examples]

    def refused(texts: Sequence[str]) -> list[Example]:
        return [Example(tuple(text.split()), refusal or labels.intents[0]) for text in texts]

    values = slot_values(training)
    everything = [*training, *refused(outside)]

    def epoch_examples(generator: random.Random) -> list[Encoded]:
        changed = [exchange(each, values, schedule.exchange, generator) for each in everything]
        return numbers([with_digits(each) if generator.random() < schedule.digits else each for each in changed])

    sets = [ValidationSet(each.name, each.examples, numbers(each.examples)) for each in aside]
    model = build(encoder, labels, options.pooling, options.size.dropout)
    marks = [number for mark in MARKS if (number := tokenizer.token_to_id(mark)) is not None]
    epochs = fit(model, epoch_examples, sets, labels, marks, schedule, on_step, on_epoch)
    best = max(epochs, key=lambda each: (each.rank, each.number))
    inside = [each for validation in sets for each in validation.encoded]
    foreign = [*outside_aside, *untrained]

    def conclude(judged: Any) -> Confidence:
        """Sets temperature and threshold by what `judged` says, and writes the checkpoint."""
        confidence = calibrate(
            predict(judged, inside, slots=False)[0],
            np.array([each.label for each in inside], dtype=np.int64),
            predict(judged, numbers(refused(untrained)), slots=False)[0] if untrained else None,
            labels.intent_numbers[refusal] if refusal else None,
        )
        if foreign:
            logits = predict(judged, numbers(refused(foreign)), slots=False)[0]
            share = share_refused(logits, confidence, labels.intent_numbers[refusal] if refusal else None)
            confidence = replace(confidence, refused_out_of_scope=share)
        save(
            options.output,
            model,
            tokenizer_text,
            labels,
            confidence,
            pooling=options.pooling,
            out_of_scope=refusal,
            licence=options.licence,
            training=_details(options, corpora, validation_corpora, epochs, best, confidence, len(foreign)),
        )
        return confidence

    trained.remove(options.output)
    confidence = conclude(model)
    sample = save_calibration(options.output, [each.text for each in training], schedule.seed)
    if options.quantisation_aware:
        simulated, arranged = tuning.simulate(model, options.output, read_calibration(sample))
        best = tuning.tune(simulated, epoch_examples, sets, labels, marks, schedule, on_step, on_epoch)
        confidence = conclude(simulated)
        trained.write(options.output, arranged.plan, arranged.ranges)
    return Outcome(epochs, best, confidence, len(foreign), options.output)


def _check(options: Options) -> None:
    if not options.data:
        raise TrainingError("no training data was given")
    if not 0 <= options.validation_share < 1 or (options.validation_share == 0 and not options.validation_data):
        raise TrainingError("the validation share must be above 0 and below 1, or validation data must be given")
    if options.gibberish and not options.out_of_scope:
        raise TrainingError("made-up texts are trained as out of scope: give some real out-of-scope texts, too")
    if options.init is None and options.vocabulary is None and options.init_embeddings is None:
        raise TrainingError("give a vocabulary, or a checkpoint to start from")


def _split(corpora: Sequence[Corpus], options: Options) -> tuple[list[Example], list[Corpus]]:
    training: list[Example] = []
    aside = []
    for corpus in corpora:
        kept, validation = set_aside(corpus.examples, options.validation_share, options.schedule.seed)
        training += kept
        if validation:
            aside.append(Corpus(corpus.name, tuple(validation)))
    return training, aside


def _start(options: Options) -> tuple[str, Any, Any]:
    """Tokenizer as text and object, and the encoder to be trained."""
    from tokenizers import Tokenizer

    from converter.checkpoint.configuration import read_configuration
    from converter.checkpoint.tokenizer import read_tokenizer, read_vocabulary, wordpiece
    from converter.train.embeddings import take_over, wave_positions

    source = options.init or options.init_embeddings
    if options.vocabulary is not None:
        if not options.vocabulary.is_file():
            raise TrainingError(f"{options.vocabulary} does not exist; give a vocab.txt")
        text = wordpiece(options.vocabulary, {})
        rows = len(read_vocabulary(options.vocabulary))
    else:
        assert source is not None
        rows = read_configuration(source).vocab_size
        text, _ = read_tokenizer(source, rows)
    tokenizer = Tokenizer.from_str(text)
    if options.init is not None:
        encoder = existing_encoder(options.init)
        if encoder.config.vocab_size < tokenizer.get_vocab_size():
            raise TrainingError(f"{options.vocabulary} has more tokens than {options.init} has embeddings")
    else:
        encoder = new_encoder(options.size, rows, tokenizer.token_to_id("[PAD]"))
    if options.init_embeddings is not None:
        take_over(encoder, tokenizer.get_vocab(), options.init_embeddings)
    if options.init is None:
        wave_positions(encoder)
    return text, tokenizer, encoder


def _outside(options: Options, tokenizer: Any) -> tuple[list[str], list[str]]:
    """Out-of-scope texts to train on, and those set aside to measure by."""
    training: list[str] = []
    aside: list[str] = []
    for path in options.out_of_scope:
        examples = [Example((text,), "") for text in read_texts(path, options.out_of_scope_labels)]
        kept, validation = set_aside(examples, options.validation_share, options.schedule.seed)
        training += [each.text for each in kept]
        aside += [each.text for each in validation]
    if options.gibberish:
        words = sorted(token for token in tokenizer.get_vocab() if token.isalpha())
        made_up = [Example((text,), "") for text in gibberish(options.gibberish, words, options.schedule.seed)]
        kept, validation = set_aside(made_up, options.validation_share, options.schedule.seed)
        training += [each.text for each in kept]
        aside += [each.text for each in validation]
    return training, aside


def _check_validation(aside: Sequence[Corpus], labels: Labels) -> None:
    if not aside:
        raise TrainingError("too few texts to set any aside for validation")
    for corpus in aside:
        for example in corpus.examples:
            if example.label not in labels.intents:
                raise TrainingError(f"{corpus.name} has the label {example.label!r}, which the training data lacks")


def _details(
    options: Options,
    corpora: Sequence[Corpus],
    validation_corpora: Sequence[Corpus],
    epochs: Sequence[Epoch],
    best: Epoch,
    confidence: Confidence,
    outside: int,
) -> dict[str, Any]:
    """What the model's card repeats: data by name, never by a path of this machine."""
    return {
        "data": {corpus.name: len(corpus.examples) for corpus in corpora},
        "validation_data": {corpus.name: len(corpus.examples) for corpus in validation_corpora},
        "out_of_scope": [source_name(path) for path in options.out_of_scope],
        "made_up_texts": options.gibberish,
        "embeddings_from": _checkpoint_name(options.init_embeddings),
        "started_from": _checkpoint_name(options.init),
        "validation_share": options.validation_share,
        "schedule": asdict(options.schedule),
        "quantisation_aware": options.quantisation_aware,
        "epochs": len(epochs),
        "best_epoch": best.number,
        "validation": {name: asdict(scores) for name, scores in best.scores.items()},
        "confidence": {**asdict(confidence), "out_of_scope_texts": outside},
    }


def _checkpoint_name(folder: Path | None) -> str | None:
    from converter.checkpoint.configuration import read_configuration

    return None if folder is None else read_configuration(folder).name or folder.resolve().name
