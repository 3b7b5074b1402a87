"""Training data: reading, renaming, splitting, encoding, augmenting, scoring, calibrating."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from converter.checkpoint.tokenizer import wordpiece
from converter.errors import TrainingError
from converter.train.augmentation import exchange, slot_values, with_digits
from converter.train.confidence import RIGHT_ANSWERS_REFUSED, Confidence, calibrate, fit_temperature, share_refused
from converter.train.corpus import Example, Renaming, read_corpus, read_renaming, read_texts
from converter.train.encoding import IGNORED, Encoded, batches, collect_labels, encode, punctuate
from converter.train.gibberish import LONGEST_TEXT, gibberish
from converter.train.scores import accuracy, span_f1, spans
from converter.train.split import set_aside

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "what",
    "'",
    "s",
    "on",
    "in",
    "the",
    "kit",
    "##chen",
    "7",
    "am",
    ".",
]


def folder(path: Path, **files: str) -> Path:
    """A data folder; file names with a full stop are given with an underscore."""
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name.replace("_", ".")).write_text(content, encoding="utf-8")
    return path


def test_folder_with_slots(tmp_path: Path) -> None:
    """Words, tags and labels are read line by line; odd spaces, also non-breaking ones, only part words."""
    data = folder(
        tmp_path / "home/train",
        seq_in="turn  on the light \nplay jazz\u00a0now\r\n",
        seq_out="O O O B-device \r\nO B-genre O\n",
        label="light_on\n play \n",
    )
    corpus = read_corpus(data)
    assert corpus.name == "home/train"
    assert corpus.tagged
    assert corpus.examples == (
        Example(("turn", "on", "the", "light"), "light_on", ("O", "O", "O", "B-device")),
        Example(("play", "jazz", "now"), "play", ("O", "B-genre", "O")),
    )


def test_line_separators_inside_a_text(tmp_path: Path) -> None:
    """Only a line feed ends a line, whatever else Unicode counts as one."""
    data = folder(tmp_path, seq_in="a\u2028b\nc\u0085d\n", label="x\ny\n")
    assert [example.words for example in read_corpus(data).examples] == [("a", "b"), ("c", "d")]


def test_folder_without_slots(tmp_path: Path) -> None:
    """A folder without seq.out has texts and labels, and says nothing about slots."""
    corpus = read_corpus(folder(tmp_path, seq_in="a b\nc\n", label="x\ny\n"))
    assert not corpus.tagged
    assert corpus.examples[0] == Example(("a", "b"), "x", None)


def test_renaming(tmp_path: Path) -> None:
    """Intents and slots are called what the renaming calls them."""
    data = folder(tmp_path / "d", seq_in="play jazz fusion\n", seq_out="O B-genre I-genre\n", label="PlayMusic\n")
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"intents": {"PlayMusic": "play"}, "slots": {"genre": "kind"}}))
    assert read_corpus(data, read_renaming(names)).examples == (
        Example(("play", "jazz", "fusion"), "play", ("O", "B-kind", "I-kind")),
    )


@pytest.mark.parametrize("content", ["{", "[]", '{"labels": {}}', '{"intents": []}', '{"slots": {"a": 1}}'])
def test_bad_renaming(tmp_path: Path, content: str) -> None:
    """A renaming file of another layout is named."""
    (tmp_path / "names.json").write_text(content)
    with pytest.raises(TrainingError, match=r"names\.json"):
        read_renaming(tmp_path / "names.json")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"seq_in": "a\nb\n", "label": "x\n"}, r"label ends after line 1"),
        ({"seq_in": "a\n", "label": "x\n", "seq_out": "O\nO\n"}, r"seq\.in ends after line 1"),
        ({"seq_in": "a\nb c\n", "label": "x\ny\n", "seq_out": "O\nO\n"}, r"seq\.out: line 2 has 1 tags for 2 words"),
        ({"seq_in": "a\n \n", "label": "x\ny\n"}, r"seq\.in: line 2 is empty"),
        ({"seq_in": "a\nb\n", "label": "x\n\n"}, r"label: line 2 is empty"),
        ({"seq_in": "", "label": "x\n"}, r"seq\.in is empty"),
        ({"seq_in": "a\n", "label": "x\n", "seq_out": "S-place\n"}, r"line 1: 'S-place' is not O, B-slot or I-slot"),
        ({"seq_in": "a\n", "label": "x\n", "seq_out": "B-\n"}, r"'B-' is not"),
        ({"seq_in": "a\n"}, r"cannot read .*label"),
        ({"label": "a\n"}, r"cannot read .*seq\.in"),
    ],
)
def test_bad_folder(tmp_path: Path, files: dict[str, str], said: str) -> None:
    """Lines that do not match each other, and missing files, are named with file and line."""
    with pytest.raises(TrainingError, match=said):
        read_corpus(folder(tmp_path, **files))


def test_not_utf8(tmp_path: Path) -> None:
    """A line that is not UTF-8 is named."""
    data = folder(tmp_path, label="x\ny\n")
    (data / "seq.in").write_bytes(b"fine\nnot \xff fine\n")
    with pytest.raises(TrainingError, match=r"seq\.in: line 2 is not UTF-8"):
        read_corpus(data)


@pytest.mark.parametrize("header", ["", "sentence\tlabel\n", "text\tlabel\n"])
def test_table(tmp_path: Path, header: str) -> None:
    """A text<TAB>label file is read with or without its header."""
    (tmp_path / "data.tsv").write_text(f"{header}a  fine film\t1\na bore\t0\n")
    corpus = read_corpus(tmp_path / "data.tsv", Renaming(intents={"1": "good"}))
    assert [(example.text, example.label) for example in corpus.examples] == [("a fine film", "good"), ("a bore", "0")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a\t1\nb\n", "line 2 is not text<TAB>label"),
        ("a\t1\n\t0\n", "line 2"),
        ("a\t1\t2\n", "line 1"),
        ("text,label\na,b\n", "line 1"),
        ("", "is empty"),
        ("text\tlabel\n", "is empty"),
    ],
)
def test_bad_table(tmp_path: Path, content: str, said: str) -> None:
    """A line of another layout is named."""
    (tmp_path / "data.tsv").write_text(content)
    with pytest.raises(TrainingError, match=rf"data\.tsv.*{said}"):
        read_corpus(tmp_path / "data.tsv")


def test_nothing_there(tmp_path: Path) -> None:
    """A path that does not exist is named, with what is expected there."""
    with pytest.raises(TrainingError, match="does not exist"):
        read_corpus(tmp_path / "nowhere")


def test_out_of_scope_texts(tmp_path: Path) -> None:
    """Out-of-scope texts come from a file's lines, or from a folder's texts of the labels that count."""
    (tmp_path / "lines.txt").write_text("one  text\n\nanother\n")
    assert read_texts(tmp_path / "lines.txt") == ("one text", "another")
    data = folder(tmp_path / "d", seq_in="a\nb\nc\n", label="x\ny\nx\n")
    assert read_texts(data) == ("a", "b", "c")
    assert read_texts(data, ["x"]) == ("a", "c")
    with pytest.raises(TrainingError, match="no text with one of the out-of-scope labels"):
        read_texts(data, ["z"])


def test_split() -> None:
    """The share asked for of every label is set aside, the same again for the same seed, and no text on both sides."""
    examples = [Example((f"t{i % 50}",), "ab"[i % 2]) for i in range(100)] + [Example(("single",), "c")]
    training, validation = set_aside(examples, 0.2, seed=3)
    assert sorted(training + validation, key=repr) == sorted(examples, key=repr)
    assert {example.text for example in training}.isdisjoint(example.text for example in validation)
    assert [sum(example.label == label for example in validation) for label in "abc"] == [10, 10, 0]
    assert (training, validation) == set_aside(examples, 0.2, seed=3)
    assert validation != set_aside(examples, 0.2, seed=4)[1]


def test_labels() -> None:
    """Labels are sorted, tags begin with O and have B- and I- of every slot, and the refusal comes last."""
    labels = collect_labels([Example(("a",), "z", ("I-time",)), Example(("b",), "a", ("B-place",))], "zz_outside")
    assert labels.intents == ("a", "z", "zz_outside")
    assert labels.slots == ("O", "B-place", "I-place", "B-time", "I-time")
    assert collect_labels([Example(("a",), "z"), Example(("b",), "a")]).slots == ()


def test_unusable_labels() -> None:
    """One label alone cannot be trained, nor a label that is kept for refusals."""
    with pytest.raises(TrainingError, match="only the label a"):
        collect_labels([Example(("x",), "a")])
    with pytest.raises(TrainingError, match="already has the label 'a'"):
        collect_labels([Example(("x",), "a"), Example(("y",), "b")], "a")


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    return Tokenizer.from_str(wordpiece(tmp_path / "vocab.txt", {}))


def test_encoding(tokenizer: Tokenizer) -> None:
    """The first piece of each of the tokenizer's words has the word's tag, and a cut word's later ones continue it."""
    example = Example(("what's", "on", "in", "the", "kitchen"), "b", ("B-x", "O", "O", "B-place", "I-place"))
    slots = {"O": 0, "B-place": 1, "I-place": 2, "B-x": 3, "I-x": 4}
    encoded = encode(tokenizer, example, {"a": 0, "b": 1}, slots, longest=20)
    assert encoded.ids == (2, 5, 6, 7, 8, 9, 10, 11, 12, 3)
    assert encoded.label == 1
    assert encoded.tags == (IGNORED, 3, 4, 4, 0, 0, 1, 2, IGNORED, IGNORED)
    assert encoded.word_tokens == (1, 4, 5, 6, 7)


def test_encoding_too_long(tokenizer: Tokenizer) -> None:
    """A text that is too long is cut, keeping the last special token; words cut off have no token."""
    example = Example(("on", "in", "kitchen", "am"), "a", ("O", "O", "B-p", "O"))
    encoded = encode(tokenizer, example, {"a": 0}, {"O": 0, "B-p": 1}, longest=4)
    assert encoded.ids == (2, 8, 9, 3)
    assert encoded.tags == (IGNORED, 0, 0, IGNORED)
    assert encoded.word_tokens == (1, 2, -1, -1)


def test_encoding_of_a_word_without_tokens(tokenizer: Tokenizer) -> None:
    """A word that the tokenizer drops altogether has no token, and the others keep theirs."""
    encoded = encode(tokenizer, Example(("on", "\u200b", "in"), "a", ("O", "O", "O")), {"a": 0}, {"O": 0}, longest=9)
    assert encoded.word_tokens == (1, -1, 2)


def test_encoding_of_an_unknown_slot(tokenizer: Tokenizer) -> None:
    """A slot that the training data lacks is passed over."""
    encoded = encode(tokenizer, Example(("on",), "a", ("B-new",)), {"a": 0}, {"O": 0}, longest=9)
    assert encoded.tags == (IGNORED, IGNORED, IGNORED)


def test_punctuation(tokenizer: Tokenizer) -> None:
    """A mark goes before the last special token, outside of any slot, where there is none yet."""
    encoded = encode(tokenizer, Example(("on",), "a", ("B-p",)), {"a": 0}, {"O": 0, "B-p": 1}, longest=9)
    marked = punctuate(encoded, [15], random.Random(1))
    assert marked.ids == (2, 8, 15, 3)
    assert marked.tags == (IGNORED, 1, 0, IGNORED)
    assert punctuate(marked, [15], random.Random(1)) is marked


@given(st.lists(st.integers(2, 30), min_size=1, max_size=80), st.integers(1, 9), st.booleans())
def test_batches(lengths: list[int], size: int, shuffled: bool) -> None:
    """Every example is in one batch, no batch is too large, and neighbours are of similar length."""
    examples = [Encoded((0,) * length, i, None, ()) for i, length in enumerate(lengths)]
    made = list(batches(examples, size, random.Random(1) if shuffled else None))
    assert sorted(example.label for batch in made for example in batch) == list(range(len(lengths)))
    assert max(map(len, made)) <= size
    ordered = sorted(lengths)
    widest = max(ordered[min(i + size, len(ordered)) - 1] - ordered[i] for i in range(len(ordered)))
    for batch in made:
        spread = [len(example.ids) for example in batch]
        assert max(spread) - min(spread) <= widest + 4


def test_exchanged_values() -> None:
    """Slots take values that they have elsewhere, and tags follow the new words."""
    examples = [
        Example(("in", "the", "living", "room", "now"), "a", ("O", "O", "B-place", "I-place", "O")),
        Example(("kitchen", "at", "seven"), "b", ("B-place", "O", "B-time")),
    ]
    values = slot_values(examples)
    assert values == {"place": [("living", "room"), ("kitchen",)], "time": [("seven",)]}
    seen = {exchange(examples[0], values, 1.0, random.Random(seed)) for seed in range(9)}
    assert seen == {examples[0], Example(("in", "the", "kitchen", "now"), "a", ("O", "O", "B-place", "O"))}
    assert exchange(examples[0], values, 0.0, random.Random(1)) == examples[0]
    untagged = Example(("in",), "a")
    assert exchange(untagged, values, 1.0, random.Random(1)) is untagged


def test_digits() -> None:
    """Number words become digits, tags stay, and "one" stays a word."""
    example = Example(("at", "seven", "twenty", "one"), "a", ("O", "B-time", "I-time", "O"))
    assert with_digits(example) == Example(("at", "7", "20", "one"), "a", ("O", "B-time", "I-time", "O"))


def test_gibberish() -> None:
    """Made-up texts are as many and as long as said, and the same for the same seed."""
    texts = gibberish(40, ["house", "tree"], seed=5)
    assert len(texts) == 40
    assert all(1 <= len(text.split()) <= LONGEST_TEXT for text in texts)
    assert set(texts[0].split()) <= {"house", "tree"}
    assert texts == gibberish(40, ["house", "tree"], seed=5)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O", []),
        ("B-a I-a O B-a", [("a", 0, 2), ("a", 3, 4)]),
        ("B-a B-a I-a", [("a", 0, 1), ("a", 1, 3)]),
        ("O I-a I-a", [("a", 1, 3)]),
        ("B-a I-b", [("a", 0, 1), ("b", 1, 2)]),
        ("", []),
    ],
)
def test_spans(tags: str, expected: list[tuple[str, int, int]]) -> None:
    """BIO tags stand for the spans that conlleval reads in them."""
    assert list(spans(tags.split())) == expected


def test_span_f1() -> None:
    """Only exactly right spans count."""
    truth = [["B-a", "I-a", "O", "B-b"], ["O", "O"]]
    assert span_f1(truth, truth) == 1.0
    assert span_f1(truth, [["B-a", "O", "O", "B-b"], ["O", "O"]]) == 0.5
    assert span_f1(truth, [["O", "O", "O", "B-b"], ["O", "O"]]) == pytest.approx(2 / 3)
    assert span_f1(truth, [["O"] * 4, ["B-a", "O"]]) == 0.0
    assert span_f1([["O"]], [["O"]]) == 1.0


def test_accuracy() -> None:
    """Accuracy is the share of equal pairs, and of nothing there is none."""
    assert accuracy([1, 2, 3, 4], [1, 0, 3, 0]) == 0.5
    with pytest.raises(ValueError, match="nothing"):
        accuracy([], [])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature(temperature: float) -> None:
    """Labels drawn from logits divided by a temperature give this temperature back."""
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(20000, 5)) * 3
    noise = -np.log(-np.log(generator.uniform(size=logits.shape)))
    drawn = (logits / temperature + noise).argmax(axis=1)
    assert fit_temperature(logits, drawn) == pytest.approx(temperature, rel=0.05)


def test_threshold_without_out_of_scope_texts() -> None:
    """Without out-of-scope texts the threshold refuses the few least sure of the right answers."""
    generator = np.random.default_rng(2)
    expected = generator.integers(0, 4, size=1000)
    logits = generator.normal(size=(1000, 4)) + 5 * np.eye(4)[expected]
    confidence = calibrate(logits, expected)
    assert 0 < confidence.threshold < 1
    assert 0 < confidence.refused_right <= RIGHT_ANSWERS_REFUSED
    assert confidence.refused_out_of_scope is None


def test_threshold_with_out_of_scope_texts() -> None:
    """With out-of-scope texts that are far less sure, the threshold refuses them all and hardly a right answer."""
    generator = np.random.default_rng(3)
    expected = generator.integers(0, 4, size=1000)
    logits = generator.normal(size=(1000, 4)) * 0.1 + 6 * np.eye(4)[expected]
    confidence = calibrate(logits, expected, outside=generator.normal(size=(200, 4)) * 0.1)
    assert confidence.refused_out_of_scope == 1.0
    assert confidence.refused_right <= RIGHT_ANSWERS_REFUSED


def test_threshold_with_a_label_for_refusals() -> None:
    """Texts that get the refusing label are refused whatever the threshold."""
    expected = np.array([0, 1] * 50)
    logits = 6.0 * np.eye(3)[expected]
    confidence = calibrate(logits, expected, outside=6.0 * np.eye(3)[[2] * 10], refusal=2)
    assert confidence.refused_out_of_scope == 1.0
    assert confidence.refused_right == 0.0


def test_share_refused() -> None:
    """A text is refused by its label, or by a calibrated probability below the threshold."""
    logits = np.log([[0.9, 0.05, 0.05], [0.4, 0.3, 0.3], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])
    confidence = Confidence(temperature=1.0, threshold=0.5, refused_out_of_scope=None, refused_right=0.0)
    assert share_refused(logits, confidence) == 0.25
    assert share_refused(logits, confidence, refusal=2) == 0.5


def test_threshold_where_nothing_is_right() -> None:
    """A classifier that is never right gets no threshold."""
    assert calibrate(np.eye(2)[[0, 0]], np.array([1, 1])).threshold == 0.0
