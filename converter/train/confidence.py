"""Calibration of a classifier's confidence: the temperature, and the threshold for "not recognised"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32] | NDArray[np.float64]
Ints = NDArray[np.int64]

TEMPERATURES = (0.2, 5.0)
# Of the validation texts that are answered rightly, so many may be refused to refuse more of what is out of scope.
RIGHT_ANSWERS_REFUSED = 0.002
# Of what a device is told, so much is taken to be meant for nobody where it says how far a label can be believed.
OUT_OF_SCOPE_SHARE = 0.2


@dataclass(frozen=True)
class Confidence:
    """What turns logits into an answer or a refusal."""

    temperature: float
    threshold: float
    refused_out_of_scope: float | None
    """share of the out-of-scope validation texts that are refused; None without any"""
    refused_right: float
    """share of the validation texts with a right answer that are refused all the same"""
    reliability: tuple[float, ...] = ()
    """of each label, 0 to 1: a score is a probability times it; empty: all of them 1"""


def calibrate(logits: Floats, expected: Ints, outside: Floats | None = None, refusal: int | None = None) -> Confidence:
    """Fits temperature, threshold and reliability.

    The temperature is the one under which the validation texts' own labels are likeliest (Guo et al., "On calibration
    of modern neural networks", 2017, section 4.2).

    The threshold is one of the calibrated probabilities: with out-of-scope texts the one with the greatest sum of the
    share of texts answered rightly and the share of out-of-scope texts refused; without them the highest. In either
    case no more than `RIGHT_ANSWERS_REFUSED` of the right answers are refused by it.

    The reliability of a label is Bayes' rule for a text that gets it: of the probability that it gathers from texts in
    scope and from out-of-scope texts, the part in scope, `OUT_OF_SCOPE_SHARE` of all texts being taken to be out of it.
    A label that takes in strangers, such as one for general questions, is believed less than one that is hardly ever
    given to them. It orders texts and refuses none, or such a label would never be given. Without out-of-scope texts
    all labels are believed alike.

    Args:
        logits: [texts, labels], of validation texts in scope.
        expected: [texts], their labels' numbers.
        outside: [out-of-scope texts, labels].
        refusal: the number of the label that itself means "out of scope", whose texts are always refused.
    """
    temperature = fit_temperature(logits, expected)
    outside = None if outside is None or not len(outside) else outside
    reliability = () if outside is None else _reliability(logits, outside, temperature, refusal)
    likelihoods, labels = _best(logits, temperature)
    right = (labels == expected) if refusal is None else (labels == expected) & (labels != refusal)
    if not right.any():
        return Confidence(temperature, 0.0, None, 0.0, reliability)
    highest = float(np.quantile(likelihoods[right], RIGHT_ANSWERS_REFUSED, method="lower"))
    if outside is None:
        threshold = highest
        refused_outside = None
    else:
        outside_likelihoods, outside_labels = _best(outside, temperature)
        if refusal is not None:
            outside_likelihoods = np.where(outside_labels == refusal, 0.0, outside_likelihoods)
        candidates = np.unique(np.concatenate([[0.0], likelihoods[likelihoods <= highest], [highest]]))
        gains = [np.mean(right & (likelihoods >= each)) + np.mean(outside_likelihoods < each) for each in candidates]
        # A label that means "out of scope" refuses at any threshold above 0; of equally good ones the lowest.
        threshold = float(candidates[int(np.argmax(gains))])
        refused_outside = float(np.mean(outside_likelihoods < max(threshold, 1e-9)))
    refused_right = float(np.mean(likelihoods[right] < threshold))
    return Confidence(temperature, threshold, refused_outside, refused_right, reliability)


def share_refused(logits: Floats, confidence: Confidence, refusal: int | None = None) -> float:
    """The share of texts, by their logits [texts, labels], that are refused by the threshold or by their label."""
    likelihoods, labels = _best(logits, confidence.temperature)
    refused = likelihoods < confidence.threshold
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


def _reliability(logits: Floats, outside: Floats, temperature: float, refusal: int | None) -> tuple[float, ...]:
    def gathered(texts: Floats) -> NDArray[np.float64]:
        likelihoods = np.exp(_log_softmax(texts, temperature))
        if refusal is not None:
            likelihoods[:, refusal] = 0
        result = np.zeros(likelihoods.shape[1])
        np.add.at(result, likelihoods.argmax(axis=1), likelihoods.max(axis=1))
        return result

    # One text in scope more for each label: what got neither kind of text is believed.
    inside = gathered(logits) + 1
    weight = OUT_OF_SCOPE_SHARE / (1 - OUT_OF_SCOPE_SHARE) * len(logits) / len(outside)
    return tuple(float(share) for share in np.round(inside / (inside + weight * gathered(outside)), 4))
