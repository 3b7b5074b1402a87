"""SqueezeBERT for intents and slots, trained from its embeddings up: the same size with grouped layers and without."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from converter.data_sets import Spoken
from converter.sizes import Size
from converter.train.options import Options
from converter.train.schedule import Schedule
from converter.train.session import train
from converter.train.training import Epoch
from tests.peers.accuracy import corpora

EPOCHS = 8
VOCABULARY = corpora.DATA / "vocab/bert_base_uncased_vocab.txt"


def intents(minilm: Path, groups: int, seed: int, folder: Path) -> None:
    """What `edge-converter train … --init-embeddings MINILM --groups GROUPS --seed SEED` makes of hwu64."""
    parts = []
    for name, examples in zip(("train", "validation"), corpora.intents(), strict=True):
        parts.append(folder.parent / "hwu64" / name)
        _write(examples, parts[-1])
    options = Options(
        data=parts[:1],
        validation_data=parts[1:],
        validation_share=0.0,
        output=folder,
        vocabulary=VOCABULARY,
        init_embeddings=minilm,
        size=Size(groups=groups),
        # the best epoch counts, by the validation texts, as it does for anyone who trains
        schedule=Schedule(epochs=EPOCHS, patience=EPOCHS, bfloat16=True, seed=seed),
    )
    train(options, on_epoch=_tell)


def _write(examples: Sequence[Spoken], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in (
        ("seq.in", [each.text for each in examples]),
        ("seq.out", [" ".join(each.tags or ()) for each in examples]),
        ("label", [each.label for each in examples]),
    ):
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _tell(epoch: Epoch) -> None:
    scores = next(iter(epoch.scores.values()))
    told = f"intent accuracy {scores['intent_accuracy']:.3f}, slot F1 {scores['slot_f1']:.3f}"
    print(f"epoch {epoch.number}: loss {epoch.loss:.3f}, {told}", file=sys.stderr, flush=True)
