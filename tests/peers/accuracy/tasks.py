"""The tasks that models are scored on: texts as token ids, and a score of what came out, the same for every runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from converter.data_sets import Spoken
from converter.data_sets.bio import OUTSIDE
from converter.metrics import accuracy, span_f1
from converter.network import Array, Network
from tests.peers.accuracy import corpora
from tests.peers.accuracy.encoding import encode
from tests.peers.accuracy.tflite import Outputs

LONGEST = 128
"""tokens of a text that is scored; what is beyond is cut, for every runtime alike"""


@dataclass(frozen=True)
class Task:
    """One validation set for one network."""

    texts: list[list[int]]
    """token ids, special ones included"""
    score: Callable[[Outputs], dict[str, float]]
    """outputs for `texts` → scores by name, in per cent (cosines and Spearman's ρ: times 100)"""
    likeness: Callable[[Outputs, Outputs], dict[str, float]]
    """outputs and those of float32 → how alike they are: cosines, or the share of equal answers"""


def build(name: str, network: Network) -> Task:
    """The task `name` (`corpora` has the texts) with `network`'s tokenizer and labels."""
    return _BUILD[name](network)


def spearman(first: Array, second: Array, scores: Sequence[float]) -> float:
    """Spearman's ρ between the cosines of two lists of vectors, [pairs, width] each, and `scores`."""
    return float(np.corrcoef(_ranks(cosines(first, second)), _ranks(np.array(scores)))[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Equal values share the mean of their places."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


def cosines(first: Array, second: Array) -> NDArray[np.float64]:
    """Row by row."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    found: NDArray[np.float64] = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return found


def _sentiment(network: Network) -> Task:
    examples = corpora.sentiment()[1]
    labels = network.heads[0].labels
    expected = [each.label for each in examples]

    def score(outputs: Outputs) -> dict[str, float]:
        return {"accuracy": 100 * accuracy(expected, [labels[int(o["classification"].argmax())] for o in outputs])}

    return Task(_ids(network, [each.text for each in examples]), score, _equal_answers)


def _intents(network: Network) -> Task:
    examples = corpora.intents()[1]
    intent, slots = network.heads
    texts, tags = _tagged(network, examples, slots.name, slots.labels)
    expected = [each.label for each in examples]

    def score(outputs: Outputs) -> dict[str, float]:
        found = [intent.labels[int(o[intent.name].argmax())] for o in outputs]
        return {"intent accuracy": 100 * accuracy(expected, found), "slot F1": tags(outputs)}

    return Task(texts, score, _equal_answers)


def _entities(network: Network) -> Task:
    head = network.heads[0]
    texts, tags = _tagged(network, corpora.entities()[1], head.name, head.labels)
    return Task(texts, lambda outputs: {"entity F1": tags(outputs)}, _equal_answers)


def _similarity(network: Network) -> Task:
    pairs, sentences = corpora.similarity()[1], corpora.sts_sentences()
    texts = [*sentences, *(p.first for p in pairs), *(p.second for p in pairs)]
    scores = [p.score for p in pairs]

    def vectors(outputs: Outputs) -> Array:
        return np.concatenate([o["embedding"] for o in outputs])

    def score(outputs: Outputs) -> dict[str, float]:
        first, second = np.split(vectors(outputs[len(sentences) :]), 2)
        return {"Spearman": 100 * spearman(first, second, scores)}

    def likeness(outputs: Outputs, references: Outputs) -> dict[str, float]:
        found = cosines(*(vectors(o[: len(sentences)]) for o in (outputs, references)))
        return {"cosine mean": float(found.mean()), "cosine worst": float(found.min())}

    return Task(_ids(network, texts), score, likeness)


_BUILD: dict[str, Callable[[Network], Task]] = {
    "sentiment": _sentiment,
    "intents": _intents,
    "entities": _entities,
    "similarity": _similarity,
}


def _tokenizer(network: Network) -> Tokenizer:
    tokenizer = Tokenizer.from_str(network.tokenizer)
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(LONGEST, network.max_length))
    return tokenizer


def _ids(network: Network, texts: Sequence[str]) -> list[list[int]]:
    return [encoding.ids for encoding in _tokenizer(network).encode_batch(list(texts))]


def _tagged(
    network: Network, examples: Sequence[Spoken], head: str, labels: Sequence[str]
) -> tuple[list[list[int]], Callable[[Outputs], float]]:
    """Token ids, and the F1 of spans (as seqeval counts them), a word's tag being that of its first token."""
    tokenizer = _tokenizer(network)
    names = {label: number for number, label in enumerate(labels)}
    longest = min(LONGEST, network.max_length)
    encoded = [encode(tokenizer, e, {e.label: 0}, names, longest) for e in examples]
    expected = [e.tags for e in examples if e.tags is not None]
    assert len(expected) == len(examples)

    def score(outputs: Outputs) -> float:
        found = []
        for each, output in zip(encoded, outputs, strict=True):
            best = output[head].argmax(axis=-1)
            found.append([labels[int(best[token])] if token >= 0 else OUTSIDE for token in each.word_tokens])
        return 100 * span_f1(expected, found)

    return [list(each.ids) for each in encoded], score


def _equal_answers(outputs: Outputs, references: Outputs) -> dict[str, float]:
    """Share of texts (of tokens, for tags) with the same highest label, head by head."""
    found = {}
    for name in references[0]:
        same = [o[name].argmax(axis=-1) == r[name].argmax(axis=-1) for o, r in zip(outputs, references, strict=True)]
        found[f"same {name}"] = float(np.concatenate(same).mean())
    return found
