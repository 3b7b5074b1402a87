"""Scores of predictions, against values worked out by hand and against the formulas they stand for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.data_sets.bio import bio, spans
from converter.metrics import accuracy, answer_score, auroc, correlation, macro_f1, normalised, span_f1

TAGS = st.sampled_from(["O", "B-city", "I-city", "B-time", "I-time"])
LINES = st.integers(0, 8).flatmap(
    lambda words: st.tuples(
        st.lists(TAGS, min_size=words, max_size=words), st.lists(TAGS, min_size=words, max_size=words)
    )
)


def test_accuracy() -> None:
    """The share of equal pairs; nothing at all is an error, as are unequal lengths."""
    assert accuracy(["a", "b", "c", "c"], ["a", "c", "c", "c"]) == 0.75
    with pytest.raises(ValueError, match="0 expected"):
        accuracy([], [])
    with pytest.raises(ValueError, match="1 expected and 2 predicted"):
        accuracy(["a"], ["a", "b"])


def test_macro_f1() -> None:
    """Every expected label counts alike, however rare; labels that are only predicted count through their victims."""
    assert macro_f1(["a", "a", "a", "b"], ["a", "a", "a", "a"]) == pytest.approx((6 / 7 + 0) / 2)
    assert macro_f1(["a", "b"], ["a", "other"]) == pytest.approx(0.5)


def test_span_f1() -> None:
    """An entity is right only with its type and both ends; an I- that continues nothing begins one."""
    truth = [["B-city", "I-city", "O"], ["B-time"], ["O", "O"]]
    assert span_f1(truth, truth) == 1.0
    assert span_f1(truth, [["B-city", "O", "O"], ["B-time"], ["O", "O"]]) == 0.5
    assert span_f1(truth, [["I-city", "I-city", "O"], ["I-time"], ["O", "O"]]) == 1.0
    assert span_f1(truth, [["O"] * 3, ["O"], ["O", "B-city"]]) == 0.0
    assert span_f1([["O", "O"]], [["O", "O"]]) == 1.0
    with pytest.raises(ValueError, match="sentence 0 has 1 tags and 2 predicted"):
        span_f1([["O"]], [["O", "O"]])


@given(st.lists(LINES, min_size=1, max_size=6))
def test_span_f1_counts_spans(lines: list[tuple[list[str], list[str]]]) -> None:
    """The score is 2 · right / (expected + found) over the spans of all lines."""
    right = wanted = found = 0
    for truth, guess in lines:
        expected, given_spans = set(spans(truth)), set(spans(guess))
        right += len(expected & given_spans)
        wanted += len(expected)
        found += len(given_spans)
    score = 2 * right / (wanted + found) if wanted + found else 1.0
    truths, guesses = [truth for truth, _ in lines], [guess for _, guess in lines]
    assert span_f1(truths, guesses) == pytest.approx(score)
    assert span_f1([bio(truth) for truth in truths], [bio(guess) for guess in guesses]) == pytest.approx(score)


def test_auroc() -> None:
    """1 where every known text scores above every strange one, half for chance; equal scores count half."""
    assert auroc([0.9, 0.8], [0.1, 0.2]) == 1.0
    assert auroc([0.5, 0.5], [0.5]) == 0.5
    assert auroc([0.9, 0.1], [0.5]) == 0.5
    with pytest.raises(ValueError, match="known and strange"):
        auroc([], [0.1])


def test_correlation() -> None:
    """Spearman sees only the order, Pearson the line; what is constant orders nothing."""
    found = correlation([0, 1, 2, 3], [0, 1, 4, 9])
    assert found.spearman == pytest.approx(1.0)
    assert found.pearson == pytest.approx(np.corrcoef([0, 1, 2, 3], [0, 1, 4, 9])[0, 1])
    assert correlation([1, 2, 3], [3, 2, 1]).spearman == pytest.approx(-1.0)
    assert correlation([1, 2, 3], [2, 2, 2]).spearman == 0.0
    with pytest.raises(ValueError, match="two pairs"):
        correlation([1], [1])


def test_normalised_answers() -> None:
    """Case, punctuation, articles and spaces do not count; words that only begin with an article do."""
    assert normalised("The  Eiffel-Tower, in an\tarea!") == "eiffeltower in area"
    assert normalised("Athens and a theatre") == "athens and theatre"


def test_answer_score() -> None:
    """The best of the right answers counts; the overlap is that of words."""
    score = answer_score(
        [["the red car", "a car"], ["in 1973", "October 1973"], ["Paris"]], ["Red car!", "late 1973", "Rome"]
    )
    assert score.exact == pytest.approx(1 / 3)
    # 1 + 2 · 1 / (2 + 2) + 0
    assert score.f1 == pytest.approx((1 + 0.5 + 0) / 3)


def test_answers_to_what_has_none() -> None:
    """Where there is no answer, only giving none is right; a right answer of punctuation alone counts as none."""
    assert answer_score([[], ["."], []], ["", "", "something"]).exact == pytest.approx(2 / 3)
    assert answer_score([[], ["."], []], ["", "", "something"]).f1 == pytest.approx(2 / 3)
    assert answer_score([["Paris"]], [""]).f1 == 0.0


def test_converting_needs_no_metrics() -> None:
    """Converting, inspecting and reading data import none of the packages that only scores need."""
    code = (
        "import sys, converter.cli, converter.conversion, converter.data_sets, converter.metrics\n"
        "sys.exit(', '.join({'seqeval', 'sklearn', 'scipy'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
