"""config.json: which network, of which sizes, with which task on top."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from converter.checkpoint.json_file import read_object
from converter.errors import CheckpointError
from converter.network import Activation

Task = Literal["base", "classification", "tags", "answer", "fill", "choice", "intent and slots"]

# Architectures by the classes of `transformers`, and our own joint one.
TASKS: dict[str, Task] = {
    "SqueezeBertModel": "base",
    "SqueezeBertForSequenceClassification": "classification",
    "SqueezeBertForTokenClassification": "tags",
    "SqueezeBertForQuestionAnswering": "answer",
    "SqueezeBertForMaskedLM": "fill",
    "SqueezeBertForMultipleChoice": "choice",
    "SqueezeBertForIntentAndSlots": "intent and slots",
    "BertForIntentAndSlots": "intent and slots",
    "BertModel": "base",
    "BertForSequenceClassification": "classification",
    "BertForTokenClassification": "tags",
    "BertForQuestionAnswering": "answer",
    "BertForMaskedLM": "fill",
    "BertForPreTraining": "fill",
    "BertForMultipleChoice": "choice",
}

# Names in transformers' `ACT2FN` that compute the same function: gelu_python is the exact one, the others of the second
# line are the tanh approximation of Hendrycks and Gimpel (2016) written in different ways.
ACTIVATIONS: dict[str, Activation] = {
    **dict.fromkeys(("gelu", "gelu_python"), "gelu"),
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh"), "gelu_new"),
    "relu": "relu",
    "tanh": "tanh",
}

GROUP_FIELDS = (
    "q_groups",
    "k_groups",
    "v_groups",
    "post_attention_groups",
    "intermediate_groups",
    "output_groups",
)

# transformers leaves out of config.json what equals its classes' defaults; these are those of BertConfig and of
# SqueezeBertConfig.
_DEFAULTS: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "embedding_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "q_groups": 4,
    "k_groups": 4,
    "v_groups": 4,
    "post_attention_groups": 1,
    "intermediate_groups": 4,
    "output_groups": 4,
}


@dataclass(frozen=True)
class Configuration:
    """config.json, checked: every size is positive and the sizes fit each other."""

    family: Literal["squeezebert", "bert"]
    task: Task
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    activation: Activation
    layer_norm_eps: float
    groups: dict[str, int]
    """by `GROUP_FIELDS`; all 1 for BERT"""
    name: str | None
    """`_name_or_path`: where the checkpoint came from"""
    fields: dict[str, Any]
    """config.json as it is"""
    path: Path


def read_configuration(folder: Path) -> Configuration:
    """Reads and checks `folder`'s config.json.

    Raises:
        CheckpointError: naming the field that is missing, of the wrong type, or that asks for something unsupported.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder} has no config.json; is it the folder of a Hugging Face checkpoint?")
    return check(read_object(path), path)


def check(fields: dict[str, Any], path: Path) -> Configuration:
    """`fields`, the content of a config.json, checked; `path` is what errors name.

    Raises:
        CheckpointError: as `read_configuration`.
    """
    family = _family(path, fields)
    sizes = {name: _whole(path, fields, name) for name in _DEFAULTS if name not in ("hidden_act", "layer_norm_eps")}
    groups = {name: sizes[name] if family == "squeezebert" else 1 for name in GROUP_FIELDS}
    _check_sizes(path, family, sizes, groups)
    name = fields.get("_name_or_path")
    return Configuration(
        family=family,
        task=_task(path, family, fields),
        vocab_size=sizes["vocab_size"],
        hidden_size=sizes["hidden_size"],
        num_hidden_layers=sizes["num_hidden_layers"],
        num_attention_heads=sizes["num_attention_heads"],
        intermediate_size=sizes["intermediate_size"],
        max_position_embeddings=sizes["max_position_embeddings"],
        type_vocab_size=sizes["type_vocab_size"],
        activation=_activation(path, fields),
        layer_norm_eps=_epsilon(path, fields),
        groups=groups,
        name=name if isinstance(name, str) and name else None,
        fields=fields,
        path=path,
    )


def _family(path: Path, fields: dict[str, Any]) -> Literal["squeezebert", "bert"]:
    model_type = fields.get("model_type")
    if model_type == "squeezebert":
        return "squeezebert"
    if model_type == "bert":
        return "bert"
    raise CheckpointError(f"{path}: model_type {model_type!r} is not supported; known are 'squeezebert' and 'bert'")


def _task(path: Path, family: str, fields: dict[str, Any]) -> Task:
    if fields.get("is_decoder") or fields.get("add_cross_attention"):
        raise CheckpointError(f"{path}: is_decoder and add_cross_attention are not supported; only encoders are")
    positions = fields.get("position_embedding_type", "absolute")
    if positions != "absolute":
        raise CheckpointError(f"{path}: position_embedding_type {positions!r} is not supported; 'absolute' is")
    architectures = fields.get("architectures")
    if not architectures:
        return "base"
    if not isinstance(architectures, list) or len(architectures) != 1 or architectures[0] not in TASKS:
        raise CheckpointError(f"{path}: architectures {architectures!r} is not supported; known are {', '.join(TASKS)}")
    architecture: str = architectures[0]
    if architecture.startswith("SqueezeBert") != (family == "squeezebert"):
        raise CheckpointError(f"{path}: architecture {architecture} contradicts model_type {family!r}")
    return TASKS[architecture]


def _whole(path: Path, fields: dict[str, Any], name: str) -> int:
    value = fields.get(name, _DEFAULTS[name])
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CheckpointError(f"{path}: {name} is {value!r}; a whole number of at least 1 was expected")
    return value


def _check_sizes(path: Path, family: str, sizes: dict[str, int], groups: dict[str, int]) -> None:
    hidden, intermediate, heads = sizes["hidden_size"], sizes["intermediate_size"], sizes["num_attention_heads"]
    if hidden % heads:
        raise CheckpointError(f"{path}: num_attention_heads {heads} does not divide hidden_size {hidden}")
    if family == "squeezebert" and sizes["embedding_size"] != hidden:
        raise CheckpointError(
            f"{path}: embedding_size {sizes['embedding_size']} differs from hidden_size {hidden}; "
            "SqueezeBERT has no layer between the two"
        )
    for name, count in groups.items():
        widths = {hidden, intermediate} if name in ("intermediate_groups", "output_groups") else {hidden}
        for width in sorted(widths):
            if width % count:
                raise CheckpointError(f"{path}: {name} {count} does not divide the {width} channels of its layer")


def _activation(path: Path, fields: dict[str, Any]) -> Activation:
    name = fields.get("hidden_act", _DEFAULTS["hidden_act"])
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise CheckpointError(
            f"{path}: hidden_act {name!r} is not supported; known are {', '.join(sorted(ACTIVATIONS))}"
        )
    return ACTIVATIONS[name]


def _epsilon(path: Path, fields: dict[str, Any]) -> float:
    value = fields.get("layer_norm_eps", _DEFAULTS["layer_norm_eps"])
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise CheckpointError(f"{path}: layer_norm_eps is {value!r}; a number from 0 to 1 was expected")
    return float(value)
