"""Calibration of a classifier's confidence: the temperature, and the threshold for "not recognised"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32] | NDArray[np.float64]
Ints = NDArray[np.int64]

TEMPERATURES = (0.2, 5.0)
# Of the validation texts that are answered rightly, so many may be refused to refuse more of what is out of scope.
RIGHT_ANSWERS_REFUSED = 0.01


@dataclass(frozen=True)
class Confidence:
    """What turns logits into an answer or a refusal."""

    temperature: float
    threshold: float
    refused_out_of_scope: float | None
    """share of the out-of-scope validation texts that are refused; None without any"""
    refused_right: float
    """share of the validation texts with a right answer that are refused all the same"""


def calibrate(logits: Floats, expected: Ints, outside: Floats | None = None, refusal: int | None = None) -> Confidence:
    """Fits temperature, then threshold.

    The temperature is the one under which the validation texts' own labels are likeliest (Guo et al., "On calibration
    of modern neural networks", 2017, section 4.2).

    The threshold is one of the calibrated probabilities: with out-of-scope texts the one with the greatest sum of the
    share of texts answered rightly and the share of out-of-scope texts refused; without them the highest. In either
    case no more than `RIGHT_ANSWERS_REFUSED` of the right answers are refused by it.

    Args:
        logits: [texts, labels], of validation texts in scope.
        expected: [texts], their labels' numbers.
        outside: [out-of-scope texts, labels].
        refusal: the number of the label that itself means "out of scope", whose texts are always refused.
    """
    temperature = fit_temperature(logits, expected)
    scores, labels = _best(logits, temperature)
    answered = labels != -1 if refusal is None else labels != refusal
    right = answered & (labels == expected)
    if not right.any():
        return Confidence(temperature, 0.0, None, 0.0)
    highest = float(np.quantile(scores[right], RIGHT_ANSWERS_REFUSED, method="lower"))
    if outside is None or not len(outside):
        threshold = highest
        refused_outside = None
    else:
        outside_scores, outside_labels = _best(outside, temperature)
        if refusal is not None:
            outside_scores = np.where(outside_labels == refusal, 0.0, outside_scores)
        candidates = np.unique(np.concatenate([[0.0], scores[scores <= highest], [highest]]))
        gains = [np.mean(right & (scores >= each)) + np.mean(outside_scores < each) for each in candidates]
        # A label that means "out of scope" refuses at any threshold above 0; of equally good ones the lowest.
        threshold = float(candidates[int(np.argmax(gains))])
        refused_outside = float(np.mean(outside_scores < max(threshold, 1e-9)))
    return Confidence(temperature, threshold, refused_outside, float(np.mean(scores[right] < threshold)))


def share_refused(logits: Floats, confidence: Confidence, refusal: int | None = None) -> float:
    """The share of texts, by their logits [texts, labels], that are refused by the threshold or by their label."""
    scores, labels = _best(logits, confidence.temperature)
    refused = scores < confidence.threshold
    return float(np.mean(refused if refusal is None else refused | (labels == refusal)))


def fit_temperature(logits: Floats, expected: Ints) -> float:
    """The temperature of the least negative log-likelihood, searched by golden section within `TEMPERATURES`."""
    low, high = np.log(TEMPERATURES)
    ratio = (np.sqrt(5.0) - 1) / 2
    for _ in range(40):
        one, other = high - ratio * (high - low), low + ratio * (high - low)
        if _loss(logits, expected, float(np.exp(one))) < _loss(logits, expected, float(np.exp(other))):
            high = other
        else:
            low = one
    return float(np.exp((low + high) / 2))


def _log_softmax(logits: Floats, temperature: float) -> NDArray[np.float64]:
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    return result


def _loss(logits: Floats, expected: Ints, temperature: float) -> float:
    return -float(np.mean(_log_softmax(logits, temperature)[np.arange(len(expected)), expected]))


def _best(logits: Floats, temperature: float) -> tuple[NDArray[np.float64], Ints]:
    likelihoods = np.exp(_log_softmax(logits, temperature))
    return likelihoods.max(axis=1), likelihoods.argmax(axis=1)
