"""Examples on their way to the network: splitting, varying, encoding, batching; and confidence afterwards."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.checkpoint.tokenizer import wordpiece
from converter.data_sets import Labelled, Question, Span, Spoken
from converter.errors import TrainingError
from converter.train.augmentation import exchange, punctuated, slot_values, with_digits
from converter.train.confidence import RIGHT_ANSWERS_REFUSED, Confidence, calibrate, fit_temperature, share_refused
from converter.train.features import IGNORED, Features, Tokens
from converter.train.gibberish import LONGEST_TEXT, gibberish
from converter.train.schedule import Schedule
from converter.train.split import set_aside
from converter.train.tasks import Answer, Classify
from converter.train.tasks.classify import distinct
from converter.train.tasks.words import WordFeatures, tag_names, word_features
from converter.train.tokenisation import Tokenisation
from converter.train.training import batches
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.windows import cut

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *["what", "'", "s", "on", "in", "the", "kit", "##chen", "7", "am", "."],
]
TAGS = {"O": 0, "B-place": 1, "I-place": 2, "B-x": 3, "I-x": 4}


def test_split() -> None:
    """The share asked for of every stratum is set aside, always the same for a seed, and no key is on both sides."""
    examples = [Labelled(f"t{i % 50}", "ab"[i % 2]) for i in range(100)] + [Labelled("single", "c")]

    def split(seed: int) -> tuple[list[Labelled], list[Labelled]]:
        return set_aside(examples, 0.2, seed, lambda each: each.label, lambda each: each.text)

    training, validation = split(3)
    assert sorted(training + validation, key=repr) == sorted(examples, key=repr)
    assert {example.text for example in training}.isdisjoint(example.text for example in validation)
    assert [sum(example.label == label for example in validation) for label in "abc"] == [10, 10, 0]
    assert (training, validation) == split(3)
    assert validation != split(4)[1]


def test_labels() -> None:
    """Labels are sorted, tags begin with O and have B- and I- of every type, and the refusal comes last."""
    assert distinct(["z", "a", "z"], "b_outside") == ("a", "z", "b_outside")
    assert tag_names([("I-time",), ("B-place", "O")]) == ("O", "B-place", "I-place", "B-time", "I-time")


def test_unusable_labels() -> None:
    """One label alone cannot be trained, nor a label that is kept for refusals."""
    with pytest.raises(TrainingError, match="only the label a"):
        distinct(["a"], None)
    with pytest.raises(TrainingError, match="already has the label 'a'"):
        distinct(["a", "b"], "a")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path: Path = tmp_path_factory.mktemp("tokenizer") / "vocab.txt"
    path.write_text("\n".join(WORDS))
    return Tokenizer(wordpiece(path, {}).encode())


def encoded(tokenizer: Tokenizer, words: str, tags: str | None, longest: int = 20) -> WordFeatures:
    split = None if tags is None else tags.split()
    return word_features(Tokenisation(tokenizer, longest), 0, words.split(" "), split, TAGS)


def test_words(tokenizer: Tokenizer) -> None:
    """The first piece of each of the tokenizer's words has the word's tag, and a cut word's later ones continue it."""
    found = encoded(tokenizer, "what's on in the kitchen", "B-x O O B-place I-place")
    assert found.texts == (Tokens((2, 5, 6, 7, 8, 9, 10, 11, 12, 3), (0,) * 10),)
    assert found.places == (1, 2, 3, 4, 5, 6, 7)
    assert found.tags == (3, 4, 4, 0, 0, 1, 2)
    assert found.begins == (0, 4, 5, 7, 10, 13, 17)
    assert found.words == (1, 4, 5, 6, 7)


def test_too_many_words(tokenizer: Tokenizer) -> None:
    """A text that is too long is cut, keeping the last special token; words cut off have no token."""
    found = encoded(tokenizer, "on in kitchen am", "O O B-x O", longest=4)
    assert found.texts[0].ids == (2, 8, 9, 3)
    assert (found.places, found.tags) == ((1, 2), (0, 0))
    assert found.words == (1, 2, -1, -1)


def test_word_without_tokens(tokenizer: Tokenizer) -> None:
    """A word that the tokenizer drops altogether has no token, and the others keep theirs."""
    assert encoded(tokenizer, "on \u200b in", "O O O").words == (1, -1, 2)


def test_unknown_tag(tokenizer: Tokenizer) -> None:
    """A tag that the training data lacks is passed over, and where nothing is known there is nothing."""
    assert encoded(tokenizer, "on", "B-new").tags == (IGNORED,)
    assert encoded(tokenizer, "on", None).tags is None


def test_pair(tokenizer: Tokenizer) -> None:
    """A pair has types 0 and 1, and only half of the tokens are for the first text if that is long."""
    task = Classify(["a", "b"])
    (found,) = task.features(Tokenisation(tokenizer, 8), [Labelled("on", "b", "in the kitchen")])
    assert found.texts == (Tokens((2, 8, 3, 9, 10, 11, 12, 3), (0, 0, 0, 1, 1, 1, 1, 1)),)
    assert found.label == 1
    (found,) = task.features(Tokenisation(tokenizer, 8), [Labelled("on on on on on on", "new", "in the")])
    assert found.texts[0].ids == (2, 8, 8, 8, 8, 3, 9, 3)
    assert found.label == IGNORED


def test_windows(tokenizer: Tokenizer) -> None:
    """A context is cut into the runtime's windows; those without all of the answer point at [CLS]."""
    context = "on on on on in the kitchen"
    question = Question("q", "what", context, (Span(15, "the kitchen"),))
    found = Answer().features(Tokenisation(tokenizer, 8), [question])
    runtime = cut(tokenizer, tokenizer.pieces("what"), tokenizer.pieces(context), 8, "window")
    assert [each.texts[0].ids for each in found] == [window.ids for window in runtime]
    for each in found:
        ids, (start, end) = each.texts[0].ids, each.target
        whole = ids[start : end + 1] == (10, 11, 12)
        assert whole or (each.target == (0, 0) and 12 not in ids)
    assert any(each.target != (0, 0) for each in found)


def test_unanswered(tokenizer: Tokenizer) -> None:
    """A question without an answer points at [CLS] wherever it is looked for."""
    found = Answer().features(Tokenisation(tokenizer, 8), [Question("q", "what", "on in", ())])
    assert [each.target for each in found] == [(0, 0)]


def test_punctuation() -> None:
    """A mark is a word at the end, outside of any slot, where there is none yet."""
    marked = punctuated(Spoken(("on",), "a", ("B-p",)), random.Random(1))
    assert marked.words[0] == "on"
    assert marked.words[1] in {".", "?", "!"}
    assert marked.tags == ("B-p", "O")
    assert punctuated(marked, random.Random(1)) is marked
    assert punctuated(Spoken(("on",), "a"), random.Random(1)).tags is None


@given(st.lists(st.integers(1, 30), min_size=1, max_size=80), st.integers(1, 9), st.integers(1, 90), st.integers(1, 3))
def test_batches(lengths: list[int], most: int, tokens: int, epoch: int) -> None:
    """Every example is in one batch of an epoch, and none has more examples or tokens than it may, unless it is one."""
    examples = [Features(texts=(Tokens((0,) * n, (0,) * n),), example=i) for i, n in enumerate(lengths)]
    made = batches(examples, Schedule(batch=most, batch_tokens=tokens), epoch)
    assert sorted(each.example for batch in made for each in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) <= most
        assert len(batch) == 1 or sum(each.tokens for each in batch) <= tokens


def test_rate() -> None:
    """The rate rises to its highest, and falls to nothing at the end."""
    schedule = Schedule(warm_up=0.1)
    assert [round(schedule.factor(share), 3) for share in (0.05, 0.1, 0.55, 1.0)] == [0.5, 1.0, 0.5, 0.0]


def test_exchanged_values() -> None:
    """Slots take values that they have elsewhere, and tags follow the new words."""
    examples = [
        Spoken(("in", "the", "living", "room", "now"), "a", ("O", "O", "B-place", "I-place", "O")),
        Spoken(("kitchen", "at", "seven"), "b", ("B-place", "O", "B-time")),
    ]
    values = slot_values(examples)
    assert values == {"place": [("living", "room"), ("kitchen",)], "time": [("seven",)]}
    seen = {exchange(examples[0], values, 1.0, random.Random(seed)) for seed in range(9)}
    assert seen == {examples[0], Spoken(("in", "the", "kitchen", "now"), "a", ("O", "O", "B-place", "O"))}
    assert exchange(examples[0], values, 0.0, random.Random(1)) == examples[0]
    untagged = Spoken(("in",), "a")
    assert exchange(untagged, values, 1.0, random.Random(1)) is untagged


def test_digits() -> None:
    """Number words become digits, tags stay, and "one" stays a word."""
    example = Spoken(("at", "seven", "twenty", "one"), "a", ("O", "B-time", "I-time", "O"))
    assert with_digits(example) == Spoken(("at", "7", "20", "one"), "a", ("O", "B-time", "I-time", "O"))


def test_gibberish() -> None:
    """Made-up texts are as many and as long as said, and the same for the same seed."""
    texts = gibberish(40, ["house", "tree"], seed=5)
    assert len(texts) == 40
    assert all(1 <= len(text.split()) <= LONGEST_TEXT for text in texts)
    assert set(texts[0].split()) <= {"house", "tree"}
    assert texts == gibberish(40, ["house", "tree"], seed=5)


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


def test_reliability() -> None:
    """A label that out-of-scope texts get is believed as Bayes' rule has it; the others are believed."""
    expected = np.array([0, 1] * 100)
    logits = 9.0 * np.eye(3)[expected]
    # a fifth of all texts being out of scope, label 1 gets 100 texts in scope and half of 50 that are not
    strangers = 9.0 * np.eye(3)[[1] * 50 + [2] * 50]
    confidence = calibrate(logits, expected, strangers, refusal=2)
    assert confidence.reliability[0] == confidence.reliability[2] == 1.0
    assert confidence.reliability[1] == pytest.approx(101 / 126, abs=1e-3)
    assert confidence.refused_right == 0.0
    assert calibrate(logits, expected).reliability == ()


def test_share_refused() -> None:
    """A text is refused by its label, or by a calibrated probability below the threshold."""
    logits = np.log([[0.9, 0.05, 0.05], [0.4, 0.3, 0.3], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])
    confidence = Confidence(temperature=1.0, threshold=0.5, refused_out_of_scope=None, refused_right=0.0)
    assert share_refused(logits, confidence) == 0.25
    assert share_refused(logits, confidence, refusal=2) == 0.5


def test_threshold_where_nothing_is_right() -> None:
    """A classifier that is never right gets no threshold."""
    assert calibrate(np.eye(2)[[0, 0]], np.array([1, 1])).threshold == 0.0
