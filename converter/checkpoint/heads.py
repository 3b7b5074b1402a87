"""What stands on top of the encoder: the task's own head, or sentence vectors and raw states of a base model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from converter.checkpoint.configuration import Configuration
from converter.checkpoint.labels import label_list, numbered_labels
from converter.checkpoint.pooling import embedding_pooling
from converter.checkpoint.weights import Weights
from converter.errors import CheckpointError
from converter.network import Encoder, Head, Linear, Pooling

BASE_HEADS = ("embedding", "hidden", "pooled")


def read_heads(
    configuration: Configuration,
    weights: Weights,
    prefix: str,
    encoder: Encoder,
    wanted: Sequence[str] | None,
) -> tuple[Head, ...]:
    """The heads named by `wanted`, or by default the task's own, or "embedding" for a base model.

    Raises:
        CheckpointError: a name is unknown or given twice, a weight is missing or mis-shaped, or labels are not usable.
    """
    hidden = configuration.hidden_size

    def pooler() -> Linear:
        return weights.linear(f"{prefix}pooler.dense", hidden, hidden)

    offered: dict[str, Callable[[], Head]] = {
        "classification": lambda: _classification(configuration, weights, pooler()),
        "tags": lambda: _tags(configuration, weights),
        "answer": lambda: Head(
            "answer", "answer", labels=("start", "end"), classifier=weights.linear("qa_outputs", 2, hidden)
        ),
        "fill": lambda: _fill(configuration, weights, encoder),
        "choice": lambda: Head(
            "choice",
            "choice",
            labels=("score",),
            pooling="first",
            pooler=pooler(),
            classifier=weights.linear("classifier", 1, hidden),
        ),
        "intent": lambda: _intent(configuration, weights),
        "slots": lambda: _slots(configuration, weights),
        "embedding": lambda: Head("embedding", "embedding", pooling=embedding_pooling(configuration.path.parent)),
        "hidden": lambda: Head("hidden", "hidden"),
        "pooled": lambda: Head("pooled", "pooled", pooling="first", pooler=pooler()),
    }
    own = {"base": (), "intent and slots": ("intent", "slots")}.get(configuration.task, (configuration.task,))
    names = tuple(wanted) if wanted is not None else own or ("embedding",)
    known = (*own, *BASE_HEADS)
    if not names or len(set(names)) != len(names):
        raise CheckpointError(f"heads must be named once each, out of {', '.join(known)}; got {list(names)!r}")
    for name in names:
        if name not in known:
            raise CheckpointError(
                f"{configuration.path}: this checkpoint has no head {name!r}; it has {', '.join(known)}"
            )
    return tuple(offered[name]() for name in names)


def _classification(configuration: Configuration, weights: Weights, pooler: Linear) -> Head:
    kind = configuration.fields.get("problem_type")
    labels = numbered_labels(configuration, weights.rows("classifier.weight"))
    if kind not in (None, "single_label_classification") or len(labels) < 2:
        raise CheckpointError(
            f"{configuration.path}: problem_type {kind!r} with {len(labels)} label(s) is not supported; only "
            "single-label classification of two labels or more is"
        )
    return Head(
        "classification",
        "classification",
        labels=labels,
        pooling="first",
        pooler=pooler,
        classifier=weights.linear("classifier", len(labels), configuration.hidden_size),
        **_confidence(configuration, "classification", labels),
    )


def _tags(configuration: Configuration, weights: Weights) -> Head:
    labels = numbered_labels(configuration, weights.rows("classifier.weight"))
    classifier = weights.linear("classifier", len(labels), configuration.hidden_size)
    return Head("tags", "tagging", labels=labels, classifier=classifier)


def _fill(configuration: Configuration, weights: Weights, encoder: Encoder) -> Head:
    predictions, hidden, vocabulary = "cls.predictions.", configuration.hidden_size, configuration.vocab_size
    decoder = f"{predictions}decoder.weight"
    if decoder in weights or configuration.fields.get("tie_word_embeddings", True) is False:
        table = weights.take(decoder, vocabulary, hidden)
    else:
        table = encoder.word_embeddings
    bias = f"{predictions}decoder.bias" if f"{predictions}decoder.bias" in weights else f"{predictions}bias"
    return Head(
        "fill",
        "fill",
        transform=weights.linear(f"{predictions}transform.dense", hidden, hidden),
        transform_activation=configuration.activation,
        transform_norm=weights.layer_norm(f"{predictions}transform.LayerNorm", hidden, configuration.layer_norm_eps),
        classifier=Linear(table, weights.take(bias, vocabulary)),
    )


def _intent(configuration: Configuration, weights: Weights) -> Head:
    labels = label_list(configuration, "intent_labels")
    if len(labels) < 2:
        raise CheckpointError(f"{configuration.path}: intent_labels needs two labels or more")
    pooling = configuration.fields.get("intent_pooling", "mean")
    if pooling not in ("mean", "first"):
        raise CheckpointError(f"{configuration.path}: intent_pooling is {pooling!r}; 'mean' or 'first' was expected")
    checked: Pooling = pooling
    return Head(
        "intent",
        "classification",
        labels=labels,
        pooling=checked,
        classifier=weights.linear("intent_classifier", len(labels), configuration.hidden_size),
        **_confidence(configuration, "intent", labels),
    )


def _slots(configuration: Configuration, weights: Weights) -> Head:
    labels = label_list(configuration, "slot_labels")
    classifier = weights.linear("slot_classifier", len(labels), configuration.hidden_size)
    return Head("slots", "tagging", labels=labels, classifier=classifier)


def _confidence(configuration: Configuration, head: str, labels: tuple[str, ...]) -> dict[str, Any]:
    """What training left in config.json: temperature, threshold, label for "not recognised", reliability."""
    fields = configuration.fields
    out_of_scope = fields.get(f"{head}_out_of_scope")
    if out_of_scope is not None and out_of_scope not in labels:
        raise CheckpointError(f"{configuration.path}: {head}_out_of_scope {out_of_scope!r} is not one of the labels")
    temperature = fields.get(f"{head}_temperature", 1.0)
    threshold = fields.get(f"{head}_threshold", 0.0)
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 < temperature < float("inf"):
        raise CheckpointError(f"{configuration.path}: {head}_temperature is {temperature!r}; it must be above 0")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise CheckpointError(f"{configuration.path}: {head}_threshold is {threshold!r}; a probability was expected")
    reliability = fields.get(f"{head}_reliability") or []
    if (
        not isinstance(reliability, list)
        or len(reliability) not in (0, len(labels))
        or not all(map(_is_share, reliability))
    ):
        raise CheckpointError(f"{configuration.path}: {head}_reliability must be a number from 0 to 1 for each label")
    return {
        "temperature": float(temperature),
        "threshold": float(threshold),
        "out_of_scope": out_of_scope,
        "reliability": tuple(float(each) for each in reliability),
    }


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
