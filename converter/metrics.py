"""How good predictions are, by the libraries that published figures are made with: seqeval, scikit-learn, SciPy."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from converter.data_sets.bio import OUTSIDE
from converter.errors import EvaluationError

PACKAGES = {"seqeval": "seqeval", "sklearn": "scikit-learn", "scipy": "scipy"}
"""import name → what pip calls it"""


def check_installed() -> None:
    """Tell at once, not after minutes of work, that a package is missing.

    Raises:
        EvaluationError: naming what to install.
    """
    missing = [package for name, package in PACKAGES.items() if find_spec(name) is None]
    if missing:
        raise EvaluationError(
            f"scores need {' and '.join(missing)}, which is not installed: pip install 'squeezebert-edge[score]'"
        )


def accuracy(expected: Sequence[str | int], predicted: Sequence[str | int]) -> float:
    """Share of equal pairs, 0 to 1.

    Raises:
        ValueError: there are none, or the two differ in length.
    """
    from sklearn.metrics import accuracy_score

    _check_lengths(expected, predicted)
    return float(accuracy_score(expected, predicted))


def macro_f1(expected: Sequence[str | int], predicted: Sequence[str | int]) -> float:
    """Mean F1 of the labels that are expected at least once, 0 to 1.

    Raises:
        ValueError: there are none, or the two differ in length.
    """
    from sklearn.metrics import f1_score

    _check_lengths(expected, predicted)
    return float(f1_score(expected, predicted, labels=sorted(set(expected)), average="macro", zero_division=0))


def span_f1(expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Micro-averaged F1 of entities over all sentences, 0 to 1: one is right if type, first and last word are.

    Tags are BIO, read as conlleval reads them: an I- that continues nothing begins an entity.
    1.0 where there is nothing to find and nothing was found.

    Raises:
        ValueError: the two differ in the number of sentences or of words in one.
    """
    from seqeval.metrics import f1_score

    for place, (truth, guess) in enumerate(zip(expected, predicted, strict=True)):
        if len(truth) != len(guess):
            raise ValueError(f"sentence {place} has {len(truth)} tags and {len(guess)} predicted ones")
    # seqeval looks for lists in particular; without a single entity it has nothing to divide by
    tagged = [(list(t), list(g)) for t, g in zip(expected, predicted, strict=True) if {*t, *g} - {OUTSIDE}]
    if not tagged:
        return 1.0
    truths, guesses = zip(*tagged, strict=True)
    return float(f1_score(list(truths), list(guesses), average="micro", zero_division=0))


def auroc(known: Sequence[float], strange: Sequence[float]) -> float:
    """Chance that a known text's score is above a strange one's, equal ones counting half, 0 to 1.

    Args:
        known: scores of texts that a model should recognise.
        strange: scores of those that it should refuse.

    Raises:
        ValueError: one of the two is empty.
    """
    from sklearn.metrics import roc_auc_score

    if not known or not strange:
        raise ValueError("the area under the curve needs known and strange texts")
    return float(roc_auc_score([1] * len(known) + [0] * len(strange), [*known, *strange]))


@dataclass(frozen=True)
class Correlation:
    """Of two rows of numbers, −1 to 1."""

    spearman: float
    """of their ranks"""
    pearson: float


def correlation(expected: Sequence[float], predicted: Sequence[float]) -> Correlation:
    """How the two go together; 0 where one of them is constant, for it orders nothing.

    Raises:
        ValueError: fewer than two numbers, or the two differ in length.
    """
    from scipy.stats import pearsonr, spearmanr

    _check_lengths(expected, predicted)
    if len(expected) < 2:
        raise ValueError("a correlation needs two pairs of numbers")
    if np.ptp(expected) == 0 or np.ptp(predicted) == 0:
        return Correlation(0.0, 0.0)
    return Correlation(float(spearmanr(expected, predicted).statistic), float(pearsonr(expected, predicted).statistic))


@dataclass(frozen=True)
class AnswerScore:
    """Of answers to questions, 0 to 1, as SQuAD's official script has it."""

    exact: float
    """share that equals one of the right answers"""
    f1: float
    """mean overlap in words with the nearest of the right answers"""


def answer_score(expected: Sequence[Sequence[str]], predicted: Sequence[str]) -> AnswerScore:
    """SQuAD's two figures.

    Args:
        expected: the right answers of each question; none: the context does not say.
        predicted: one answer each; "" says that the context does not.

    Raises:
        ValueError: there are no questions, or the two differ in length.
    """
    _check_lengths(expected, predicted)
    pairs = [(_right(answers), answer) for answers, answer in zip(expected, predicted, strict=True)]
    exact = [max(normalised(right) == normalised(answer) for right in rights) for rights, answer in pairs]
    overlap = [max(_overlap(right, answer) for right in rights) for rights, answer in pairs]
    return AnswerScore(float(np.mean(exact)), float(np.mean(overlap)))


def normalised(answer: str) -> str:
    """As `normalize_answer` of SQuAD's evaluate-v2.0.py (Rajpurkar et al.) has it: no case, punctuation or articles."""
    plain = "".join(character for character in answer.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def _right(answers: Sequence[str]) -> list[str]:
    """Those that are more than articles and punctuation; none left: the right answer is to give none."""
    return [answer for answer in answers if normalised(answer)] or [""]


def _overlap(right: str, answer: str) -> float:
    """`compute_f1` of evaluate-v2.0.py."""
    wanted, given = normalised(right).split(), normalised(answer).split()
    if not wanted or not given:
        return float(wanted == given)
    shared = sum((Counter(wanted) & Counter(given)).values())
    return 2 * shared / (len(wanted) + len(given))


def _check_lengths(expected: Sequence[object], predicted: Sequence[object]) -> None:
    if not expected or len(expected) != len(predicted):
        raise ValueError(f"{len(expected)} expected and {len(predicted)} predicted values cannot be compared")
