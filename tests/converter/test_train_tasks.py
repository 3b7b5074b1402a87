"""Every task from its data to what the runtime answers: train, convert, ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import transformers

import converter
import edge_runtime
from converter import checkpoint
from converter.data_sets import guess_task, read
from converter.sizes import Size
from converter.train.options import Options
from converter.train.schedule import Schedule
from converter.train.session import Outcome, train
from tests.converter import small_data

SIZE = Size(hidden=16, layers=1, heads=2, intermediate=32, groups=2, positions=24)
SCHEDULE = Schedule(epochs=30, batch=8, rate=1e-2, patience=60, dropout=0.0)


def learn(tmp_path: Path, data: Path, **change: object) -> Outcome:
    options = Options(
        data=[data],
        output=tmp_path / "out",
        vocabulary=small_data.vocabulary(tmp_path),
        size=SIZE,
        schedule=SCHEDULE,
        validation_share=0.3,
    )
    return train(replace(options, **change))  # type: ignore[arg-type]


def test_validation_examples(tmp_path: Path) -> None:
    """What was validated on is left as data of the same task, for `score` to judge the integers by."""
    for task, data in (
        ("understand", small_data.understand),
        ("classify", small_data.pairs),
        ("tag", small_data.tag),
        ("answer", small_data.answer),
        ("embed", small_data.embed),
    ):
        folder = tmp_path / task
        folder.mkdir()
        given = data(folder)
        learn(folder, given, task=task, schedule=replace(SCHEDULE, epochs=1), validation_share=0.4)
        left = folder / "out" / "validation.jsonl"
        assert guess_task(left) == task
        examples = read(left, task).examples
        assert examples
        assert set(examples) < set(read(given, task).examples)


def converted(tmp_path: Path) -> edge_runtime.Model:
    """The output as the runtime loads it; calibrated on what training left for that."""
    folder = tmp_path / "out"
    converter.convert(folder, tmp_path / "m.tflite", calibration=folder / "calibration.txt", effort="fast")
    return edge_runtime.load(tmp_path / "m.tflite", cache=False)


def test_understand(tmp_path: Path) -> None:
    """Intent and slots of a folder with seq.in, seq.out and label."""
    outcome = learn(tmp_path, small_data.understand(tmp_path), schedule=replace(SCHEDULE, epochs=12))
    assert outcome.scores["home/train"]["slot_f1"] == 1.0
    with converted(tmp_path) as model:
        found = model.understand("turn off the light in the garden")
        assert (found.intent, [(slot.type, slot.text) for slot in found.slots]) == ("light_off", [("place", "garden")])


def test_classify(tmp_path: Path) -> None:
    """One label a text, of a text<TAB>label file; the folder is transformers' own layout."""
    schedule = replace(SCHEDULE, batch=4)
    outcome = learn(tmp_path, small_data.classify(tmp_path), task="classify", schedule=schedule)
    assert outcome.scores["texts.tsv"] == {"accuracy": 1.0, "texts": 16}
    with converted(tmp_path) as model:
        assert model.classify("light off the cellar")[0].label == "off"
    own = transformers.SqueezeBertForSequenceClassification
    _, loaded = own.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not loaded["missing_keys"]
    assert not loaded["unexpected_keys"]


def test_classify_pairs(tmp_path: Path) -> None:
    """A label for two texts, whose tokens have types 0 and 1; calibration texts are pairs, too."""
    outcome = learn(
        tmp_path,
        small_data.pairs(tmp_path),
        validation_share=0.0,
        validation_data=[small_data.pairs(tmp_path)],
        schedule=replace(SCHEDULE, epochs=12),
    )
    assert outcome.scores["pairs.tsv"]["accuracy"] == 1.0
    assert all("\t" in line for line in (tmp_path / "out" / "calibration.txt").read_text().splitlines())
    with converted(tmp_path) as model:
        assert model.classify("the hall is dark", "the garden is bright")[0].label == "bright"
        assert model.classify("the garden is bright", "the hall is dark")[0].label == "dark"


def test_tag(tmp_path: Path) -> None:
    """Entities of a CoNLL file."""
    outcome = learn(tmp_path, small_data.tag(tmp_path), schedule=replace(SCHEDULE, epochs=8))
    assert outcome.scores["people.conll"]["f1"] == 1.0
    with converted(tmp_path) as model:
        found = model.tag("emma lives in the attic")
        assert [(entity.type, entity.text) for entity in found] == [("PER", "emma"), ("LOC", "attic")]


def test_answer(tmp_path: Path) -> None:
    """Answers in contexts that take several windows, which the runtime cuts as training did."""
    data = small_data.answer(tmp_path)
    outcome = learn(
        tmp_path,
        data,
        validation_share=0.0,
        validation_data=[data],
        max_length=14,
        schedule=replace(SCHEDULE, epochs=45, batch=4, rate=5e-3),
        size=replace(SIZE, hidden=32, layers=2, intermediate=64),
    )
    assert outcome.scores["homes.json"]["f1"] > 0.9
    with converted(tmp_path) as model:
        assert model.info.max_length == 14
    with edge_runtime.load(tmp_path / "m.tflite", cache=False, overflow="window") as model:
        document = json.loads(data.read_text())["data"][0]["paragraphs"]
        asked = [(p["context"], q) for p in document for q in p["qas"]]
        right = [model.answer(q["question"], context).text == q["answers"][0]["text"] for context, q in asked]
        assert np.mean(right) > 0.8


def test_embed(tmp_path: Path) -> None:
    """Vectors whose cosine follows the scores; the folder is a base model with its pooling."""
    outcome = learn(tmp_path, small_data.embed(tmp_path), schedule=replace(SCHEDULE, epochs=10))
    assert outcome.scores["alike.tsv"]["spearman"] > 0.7
    with converted(tmp_path) as model:
        dark, other, bright = (model.embed(f"the {p}") for p in ("hall is dark", "attic is dark", "hall is bright"))
        assert dark @ other > dark @ bright
    _, loaded = transformers.SqueezeBertModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not loaded["missing_keys"]
    assert not loaded["unexpected_keys"]


@pytest.mark.parametrize(
    ("data", "task", "own"),
    [
        (small_data.classify, "classify", "BertForSequenceClassification"),
        (small_data.tag, "tag", "BertForTokenClassification"),
        (small_data.answer, "answer", "BertForQuestionAnswering"),
        (small_data.embed, "embed", "BertModel"),
    ],
)
def test_bert(tmp_path: Path, data: Callable[[Path], Path], task: str, own: str) -> None:
    """A BERT is trained further as a BERT, and saved as transformers' class for the task has it."""
    config = transformers.BertConfig(
        vocab_size=len(small_data.WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    small_data.vocabulary(tmp_path / "bert")
    learn(
        tmp_path,
        data(tmp_path),
        task=task,
        vocabulary=None,
        init=tmp_path / "bert",
        schedule=replace(SCHEDULE, epochs=1),
    )
    _, loaded = getattr(transformers, own).from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not loaded["missing_keys"]
    assert not loaded["unexpected_keys"]
    assert checkpoint.read(tmp_path / "out").family == "bert"


def test_bert_for_intents_and_slots(tmp_path: Path) -> None:
    """The joint head stands on a BERT as well."""
    config = transformers.BertConfig(
        vocab_size=len(small_data.WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    small_data.vocabulary(tmp_path / "bert")
    schedule = replace(SCHEDULE, epochs=8)
    data = small_data.understand(tmp_path)
    outcome = learn(tmp_path, data, vocabulary=None, init=tmp_path / "bert", schedule=schedule)
    assert outcome.scores["home/train"]["intent_accuracy"] == 1.0
    assert [head.name for head in checkpoint.read(tmp_path / "out").heads] == ["intent", "slots"]
