"""Scores of models on labelled data: in integers, in float32, beside each other, from words to spans and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import edge_runtime
from converter import checkpoint, conversion, encoder, metrics, reference
from converter.calibration import inputs
from converter.cli import main
from converter.data_sets import Labelled, Question, Similar, Span, Spoken, Tagged
from converter.data_sets.bio import spans
from converter.errors import EvaluationError
from converter.execution import execute
from converter.scoring import score, word_tags
from edge_runtime.errors import NoSuchHead, TooLong
from edge_runtime.tasks.results import Entity
from tests.converter.random_checkpoint import make

TEXTS = ["turn off the light", "the lights", "turn the light off", "off , off"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints with random weights, one of each head."""
    root = tmp_path_factory.mktemp("checkpoints")
    made: dict[str, tuple[str, dict[str, Any]]] = {
        "classify": ("SqueezeBertForSequenceClassification", {"id2label": {0: "good", 1: "bad", 2: "so so"}}),
        "tag": ("BertForTokenClassification", {"id2label": {0: "O", 1: "B-thing", 2: "I-thing"}}),
        "answer": ("BertForQuestionAnswering", {}),
        "embed": ("BertModel", {}),
    }
    for task, (architecture, config) in made.items():
        make(root / task, architecture, **config)
    return {task: root / task for task in made}


@pytest.fixture(scope="module")
def integers(folders: dict[str, Path]) -> Path:
    """The classifier as a model file."""
    path = folders["classify"].parent / "classify.tflite"
    texts = path.with_suffix(".txt")
    texts.write_text("".join(f"{text}\n" for text in TEXTS * 4), encoding="utf-8")
    conversion.convert(folders["classify"], path, calibration=texts, effort="fast")
    return path


@pytest.mark.parametrize("task", ["classify", "tag", "answer", "embed"])
def test_reference_computes_the_network(folders: dict[str, Path], task: str) -> None:
    """A checkpoint behind the runtime's methods gives the logits of its exact float32 graph."""
    network = checkpoint.read(folders[task])
    with reference.load(folders[task], "error") as model:
        encoding = (
            model.encode("turn off", "the lights , é") if task == "answer" else model.encode("turn off the lights")
        )
        got = model.run(encoding.ids, encoding.types)
        assert model.info.backend == "float32"
        assert task in model.info.tasks
    expected = execute(encoder.build(network), inputs(network, encoding.ids, encoding.types))
    for name, logits in expected.items():
        np.testing.assert_allclose(got[name], logits.reshape(got[name].shape), rtol=1e-4, atol=1e-4)


def test_classify(folders: dict[str, Path]) -> None:
    """Accuracy is the share of examples whose label is what the method says; labels unknown to the model are told."""
    with reference.load(folders["classify"], "error") as model:
        said = [model.classify(text, top_k=1)[0].label for text in TEXTS]
        examples = [Labelled(text, label) for text, label in zip(TEXTS, said, strict=True)]
        assert score(model, "classify", examples).figures == {"accuracy": 1.0, "macro_f1": 1.0}
        result = score(model, "classify", [*examples[:3], Labelled(TEXTS[3], "dull")])
    assert result.figures["accuracy"] == 0.75
    assert result.counts == {"examples": 4}
    assert "knows no dull: 1 of the data's count as wrong" in result.notes[0]


def test_tag(folders: dict[str, Path]) -> None:
    """What `tag` finds, told as tags of words, is perfect against itself and worse against something else."""
    with reference.load(folders["tag"], "error") as model:
        words = [tuple(text.split()) for text in TEXTS]
        said = [word_tags(each, model.tag(text)) for each, text in zip(words, TEXTS, strict=True)]
        assert any(set(tags) != {"O"} for tags in said)
        examples = [Tagged(each, tags) for each, tags in zip(words, said, strict=True)]
        assert score(model, "tag", examples).figures == {"entity_f1": 1.0}
        nothing = [Tagged(each, ("O",) * len(each)) for each in words]
        assert score(model, "tag", nothing).figures == {"entity_f1": 0.0}


def test_answer(folders: dict[str, Path]) -> None:
    """The answer's text is scored as SQuAD scores it; questions without an answer are counted and told."""
    context = "turn off the light , turn off the lights"
    with reference.load(folders["answer"], "error") as model:
        said = model.answer("the light", context)
        examples = [
            Question("1", "the light", context, (Span(0, "turn"), Span(said.start, said.text))),
            Question("2", "the light", context, ()),
        ]
        result = score(model, "answer", examples)
    right = metrics.answer_score([["turn", said.text], []], [said.text, said.text])
    assert result.figures == {"exact_match": right.exact, "f1": right.f1}
    assert result.counts == {"examples": 2, "without_an_answer": 1}
    assert "1 questions have no answer" in result.notes[0]


def test_embed(folders: dict[str, Path]) -> None:
    """The cosine is what the data's score is correlated with, on whatever scale."""
    pairs = [(a, b) for a in TEXTS for b in TEXTS if a < b]
    with reference.load(folders["embed"], "error") as model:
        cosines = [float(model.embed(a) @ model.embed(b)) for a, b in pairs]
        examples = [Similar(a, b, 5 * cosine - 2) for (a, b), cosine in zip(pairs, cosines, strict=True)]
        found = score(model, "embed", examples).figures
        assert found == pytest.approx({"spearman": 1.0, "pearson": 1.0})
        turned = [Similar(e.text, e.pair, -e.score) for e in examples]
        assert score(model, "embed", turned).figures == pytest.approx({"spearman": -1.0, "pearson": -1.0})
        with pytest.raises(EvaluationError, match="two pairs"):
            score(model, "embed", examples[:1])


def test_understand() -> None:
    """Intents, slots and refusals are those that `understand` gives; a refused text is wrong and has no slots."""
    known = ["turn off the kitchen lights", "set an alarm for seven", "play some jazz"]
    strange = ["the treaty was signed after eleven years of war"]
    with edge_runtime.load("assistant") as model:
        heard = {text: model.understand(text) for text in known + strange}
        assert heard[strange[0]].intent is None and all(heard[text].intent for text in known)
        examples = []
        for text in known:
            words = tuple(text.split())
            examples.append(Spoken(words, heard[text].intent or "", word_tags(words, heard[text].slots)))
        result = score(model, "understand", examples, strange)
        assert result.figures["intent_accuracy"] == result.figures["slot_f1"] == 1.0
        assert result.figures["refused"] == 0.0
        assert result.figures["out_of_scope_refused"] == 1.0
        assert result.figures["out_of_scope_auroc"] == metrics.auroc(
            [heard[text].score for text in known], [heard[text].score for text in strange]
        )
        words = tuple(strange[0].split())
        lost = Spoken(words, examples[0].label, ("B-place", *["O"] * (len(words) - 1)))
        worse = score(model, "understand", [*examples, lost])
    assert worse.figures["intent_accuracy"] == 0.75
    assert worse.figures["refused"] == 0.25
    assert worse.figures["slot_f1"] < 1.0
    assert "out_of_scope_auroc" not in worse.figures


def test_what_cannot_be_scored(folders: dict[str, Path]) -> None:
    """No examples, out-of-scope texts for another task, another task's head, texts that are too long: all are told."""
    with reference.load(folders["classify"], "error") as model:
        with pytest.raises(EvaluationError, match="no example"):
            score(model, "classify", [])
        with pytest.raises(EvaluationError, match="classify always answers"):
            score(model, "classify", [Labelled("off", "good")], ["turn"])
        with pytest.raises(NoSuchHead):
            score(model, "tag", [Tagged(("off",), ("O",))])
        with pytest.raises(TooLong):
            score(model, "classify", [Labelled("off " * 50, "good")])
        # control characters alone are no token
        assert score(model, "classify", [Labelled("\u0001", "good")]).figures["accuracy"] == 0.0


WORDS = st.lists(st.text("abcé中,.", min_size=1, max_size=5), min_size=1, max_size=8)


@given(WORDS, st.data())
def test_words_and_spans(words: list[str], data: st.DataObject) -> None:
    """Entities made of whole words become the tags that stand for just those spans."""
    starts = [sum(map(len, words[:place])) + place for place in range(len(words))]
    text = " ".join(words)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(words)), max_size=4)))
    wanted = [(f"t{first % 2}", first, last) for first, last in zip(cuts[::2], cuts[1::2], strict=False)]
    entities = []
    for kind, first, last in wanted:
        start, end = starts[first], starts[last - 1] + len(words[last - 1])
        entities.append(Entity(kind, text[start:end], start, end, 1.0))
    assert list(spans(word_tags(words, entities))) == wanted


def test_parts_of_words() -> None:
    """A word belongs to an entity that covers a part of it, the first of two; punctuation left out does not matter."""
    entities = [Entity("a", "in", 0, 2, 1.0), Entity("b", "side Rome", 2, 11, 1.0)]
    assert word_tags(["inside", "Rome,", "now"], entities) == ("B-a", "B-b", "O")
    assert word_tags(["Rome,"], [Entity("a", "Rome", 0, 4, 1.0)]) == ("B-a",)
    assert word_tags(["a", "b"], []) == ("O", "O")


# -- the command


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["score", *arguments])


@pytest.fixture
def reviews(tmp_path: Path, folders: dict[str, Path]) -> Path:
    with reference.load(folders["classify"], "error") as model:
        rows = [f"{text}\t{model.classify(text, top_k=1)[0].label}\n" for text in TEXTS]
    path = tmp_path / "reviews.tsv"
    path.write_text("text\tlabel\n" + "".join(rows), encoding="utf-8")
    return path


def test_beside_the_reference(folders: dict[str, Path], integers: Path, reviews: Path) -> None:
    """The integers' figures stand beside the checkpoint's, with the difference in points."""
    arguments = (str(integers), str(reviews), "--reference", str(folders["classify"]))
    found = json.loads(run(*arguments, "--json").stdout)
    assert (found["task"], found["data"], found["examples"]) == ("classify", ["reviews.tsv"], 4)
    assert (found["model"]["arithmetic"], found["reference"]["arithmetic"]) == ("integers", "float32")
    assert found["reference"]["accuracy"] == 1.0
    difference = 100 * (found["model"]["accuracy"] - 1.0)
    assert found["difference_in_points"]["accuracy"] == pytest.approx(difference)
    shown = run(*arguments)
    assert shown.exit_code == 0
    assert "classify on reviews.tsv: 4 examples" in shown.stdout
    assert f"{difference:+.2f}" in shown.stdout and "100.00" in shown.stdout


def test_renamed_labels(folders: dict[str, Path], reviews: Path, tmp_path: Path) -> None:
    """Data under other names is scored under the model's."""
    content = reviews.read_text(encoding="utf-8")
    for label in ("so so", "good", "bad"):
        content = content.replace(f"\t{label}\n", f"\tOLD {label}\n")
    reviews.write_text(content, encoding="utf-8")
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"intents": {f"OLD {n}": n for n in ("so so", "good", "bad")}}), encoding="utf-8")
    before = run(str(folders["classify"]), str(reviews), "--json")
    assert json.loads(before.stdout)["model"]["accuracy"] == 0.0
    after = run(str(folders["classify"]), str(reviews), "--rename", str(names), "--json")
    assert json.loads(after.stdout)["model"]["accuracy"] == 1.0


def test_bundled_model_and_refusals(tmp_path: Path) -> None:
    """A bundled model is asked by name; texts that it should refuse come from lines."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "seq.in").write_text("turn off the kitchen lights\n", encoding="utf-8")
    (folder / "seq.out").write_text("O O O B-house_place O\n", encoding="utf-8")
    (folder / "label").write_text("iot_hue_lightoff\n", encoding="utf-8")
    (tmp_path / "novel.txt").write_text("the treaty was signed after eleven years of war\n", encoding="utf-8")
    found = json.loads(run("assistant", str(folder), "--out-of-scope", str(tmp_path / "novel.txt"), "--json").stdout)
    assert found["task"] == "understand"
    assert found["model"]["intent_accuracy"] == found["model"]["slot_f1"] == 1.0
    assert found["model"]["out_of_scope_auroc"] == 1.0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "x\ty\n", "a.txt does not say what its labels are for; give --task understand|classify|tag"),
        ("a.conll", "x\tO\n", "has no tagging head"),
    ],
)
def test_what_the_command_tells(
    folders: dict[str, Path], reviews: Path, tmp_path: Path, name: str, content: str, message: str
) -> None:
    """What cannot be scored ends in one line and exit status 1."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    failed = run(str(folders["classify"]), str(tmp_path / name))
    assert failed.exit_code == 1
    assert message in failed.stderr and failed.stderr.count("\n") == 1
    if name == "a.conll":
        several = run(str(folders["classify"]), str(reviews), str(tmp_path / name))
        assert "the data is for several tasks" in several.stderr
