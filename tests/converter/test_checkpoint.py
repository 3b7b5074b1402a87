"""Reading of Hugging Face folders, made here by transformers itself at tiny sizes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from converter.checkpoint import read
from converter.errors import CheckpointError, ConverterError
from converter.network import Linear, Network
from tests.converter.random_checkpoint import GROUPS, WORDS, make


def edit(path: Path, **fields: Any) -> None:
    """Changes fields of a JSON file; None removes one."""
    content = json.loads(path.read_text()) if path.exists() else {}
    content.update(fields)
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    """Passes model.safetensors' weights through `change`."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)


def same(layer: Linear | None, module: Any) -> bool:
    if layer is None:
        return False
    weight = module.weight.detach().numpy()
    return np.array_equal(layer.weight, weight.reshape(weight.shape[:2])) and np.array_equal(
        layer.bias, module.bias.detach().numpy()
    )


@pytest.fixture
def squeezebert(tmp_path: Path) -> Path:
    make(tmp_path / "checkpoint", "SqueezeBertModel")
    return tmp_path / "checkpoint"


@pytest.mark.parametrize("groups", [{}, GROUPS, dict.fromkeys(GROUPS, 1)], ids=["default", "all different", "one"])
def test_squeezebert_encoder(tmp_path: Path, groups: dict[str, int]) -> None:
    """Every weight, group count and epsilon of a SqueezeBERT encoder is the one transformers computes with."""
    model = make(tmp_path, "SqueezeBertModel", **groups)
    network = read(tmp_path)
    encoder = network.encoder
    assert (network.family, network.max_length, encoder.attention_heads) == ("squeezebert", 20, 3)
    assert encoder.hidden_size == 24
    assert np.array_equal(encoder.word_embeddings, model.embeddings.word_embeddings.weight.detach().numpy())
    assert np.array_equal(encoder.position_embeddings, model.embeddings.position_embeddings.weight.detach().numpy())
    assert np.array_equal(encoder.type_embeddings, model.embeddings.token_type_embeddings.weight.detach().numpy())
    assert encoder.embedding_norm.epsilon == model.embeddings.LayerNorm.eps == 1e-5
    for layer, module in zip(encoder.layers, model.encoder.layers, strict=True):
        pairs = {
            "q_groups": (layer.query, module.attention.query),
            "k_groups": (layer.key, module.attention.key),
            "v_groups": (layer.value, module.attention.value),
            "post_attention_groups": (layer.attention_output, module.post_attention.conv1d),
            "intermediate_groups": (layer.intermediate, module.intermediate.conv1d),
            "output_groups": (layer.output, module.output.conv1d),
        }
        for name, (linear, convolution) in pairs.items():
            assert same(linear, convolution)
            assert linear.groups == convolution.groups == getattr(model.config, name)
        for norm, theirs in (
            (layer.attention_norm, module.post_attention.layernorm),
            (layer.output_norm, module.output.layernorm),
        ):
            assert np.array_equal(norm.gamma, theirs.weight.detach().numpy())
            assert np.array_equal(norm.beta, theirs.bias.detach().numpy())
            assert norm.epsilon == theirs.eps == 1e-12


def test_bert_encoder(tmp_path: Path) -> None:
    """A BERT checkpoint is the same network with one group everywhere and its own epsilon in every LayerNorm."""
    model = make(tmp_path, "BertModel", layer_norm_eps=1e-6)
    network = read(tmp_path)
    assert network.family == "bert"
    for layer, module in zip(network.encoder.layers, model.encoder.layer, strict=True):
        assert same(layer.query, module.attention.self.query)
        assert same(layer.key, module.attention.self.key)
        assert same(layer.value, module.attention.self.value)
        assert same(layer.attention_output, module.attention.output.dense)
        assert same(layer.intermediate, module.intermediate.dense)
        assert same(layer.output, module.output.dense)
        assert {layer.query.groups, layer.attention_output.groups, layer.output.groups} == {1}
        assert layer.attention_norm.epsilon == layer.output_norm.epsilon == 1e-6
        assert np.array_equal(layer.attention_norm.gamma, module.attention.output.LayerNorm.weight.detach().numpy())
        assert np.array_equal(layer.output_norm.beta, module.output.LayerNorm.bias.detach().numpy())


@pytest.mark.parametrize("family", ["SqueezeBert", "Bert"])
def test_sequence_classification(tmp_path: Path, family: str) -> None:
    """A sequence classifier has the pooler, the classifier and its labels in the order of the outputs."""
    labels = {0: "neutral", 1: "good", 2: "bad"}
    model = make(tmp_path, f"{family}ForSequenceClassification", id2label=labels)
    (head,) = read(tmp_path).heads
    body = model.transformer if family == "SqueezeBert" else model.bert
    assert (head.name, head.kind, head.pooling) == ("classification", "classification", "first")
    assert head.labels == ("neutral", "good", "bad")
    assert same(head.pooler, body.pooler.dense)
    assert same(head.classifier, model.classifier)
    assert (head.temperature, head.threshold, head.out_of_scope) == (1.0, 0.0, None)


def test_labels_without_names(tmp_path: Path) -> None:
    """A checkpoint without id2label gets transformers' default names."""
    make(tmp_path, "SqueezeBertForSequenceClassification")
    edit(tmp_path / "config.json", id2label=None, label2id=None)
    assert read(tmp_path).heads[0].labels == ("LABEL_0", "LABEL_1")


def test_ten_labels_keep_their_numeric_order(tmp_path: Path) -> None:
    """Labels are ordered by number, not by the text of the number."""
    make(tmp_path, "SqueezeBertForTokenClassification", id2label={i: f"t{i}" for i in range(11)})
    assert read(tmp_path).heads[0].labels == tuple(f"t{i}" for i in range(11))


@pytest.mark.parametrize("family", ["SqueezeBert", "Bert"])
def test_token_classification(tmp_path: Path, family: str) -> None:
    """A token classifier works on every token and has no pooler."""
    model = make(tmp_path, f"{family}ForTokenClassification", id2label={0: "O", 1: "B-PER", 2: "I-PER"})
    (head,) = read(tmp_path).heads
    assert (head.name, head.kind, head.pooling, head.pooler) == ("tags", "tagging", None, None)
    assert head.labels == ("O", "B-PER", "I-PER")
    assert same(head.classifier, model.classifier)


@pytest.mark.parametrize("family", ["SqueezeBert", "Bert"])
def test_question_answering(tmp_path: Path, family: str) -> None:
    """A question-answering head gives start and end of every token."""
    model = make(tmp_path, f"{family}ForQuestionAnswering")
    (head,) = read(tmp_path).heads
    assert (head.name, head.kind, head.labels) == ("answer", "answer", ("start", "end"))
    assert same(head.classifier, model.qa_outputs)


@pytest.mark.parametrize("family", ["SqueezeBert", "Bert"])
@pytest.mark.parametrize("tied", [True, False])
def test_masked_language_model(tmp_path: Path, family: str, tied: bool) -> None:
    """The language-model head has its transform, and the word embeddings as decoder exactly where they are tied."""
    model = make(tmp_path, f"{family}ForMaskedLM", tie_word_embeddings=tied, hidden_act="gelu_new")
    network = read(tmp_path)
    (head,) = network.heads
    assert (head.name, head.kind, head.transform_activation) == ("fill", "fill", "gelu_new")
    assert same(head.transform, model.cls.predictions.transform.dense)
    assert head.transform_norm is not None
    assert head.transform_norm.epsilon == model.cls.predictions.transform.LayerNorm.eps
    assert same(head.classifier, model.cls.predictions.decoder)
    assert head.classifier is not None
    assert np.array_equal(head.classifier.weight, network.encoder.word_embeddings) is tied


@pytest.mark.parametrize("family", ["SqueezeBert", "Bert"])
def test_multiple_choice(tmp_path: Path, family: str) -> None:
    """A multiple-choice head gives one score."""
    model = make(tmp_path, f"{family}ForMultipleChoice")
    (head,) = read(tmp_path).heads
    assert (head.name, head.kind, head.labels, head.pooling) == ("choice", "choice", ("score",), "first")
    assert same(head.classifier, model.classifier)


def joint(folder: Path, **fields: Any) -> dict[str, torch.Tensor]:
    """A joint intent-and-slots checkpoint, in the layout that the training command writes."""
    model = make(folder, "SqueezeBertModel")
    weights = {f"transformer.{name}": tensor.clone() for name, tensor in model.state_dict().items()}
    weights |= {
        "intent_classifier.weight": torch.randn(3, 24),
        "intent_classifier.bias": torch.randn(3),
        "slot_classifier.weight": torch.randn(5, 24),
        "slot_classifier.bias": torch.randn(5),
    }
    save_file(weights, folder / "model.safetensors")
    defaults = {
        "architectures": ["SqueezeBertForIntentAndSlots"],
        "intent_labels": ["on", "off", "oos"],
        "slot_labels": ["O", "B-place", "I-place", "B-time", "I-time"],
        "intent_pooling": "mean",
        "intent_temperature": 1.25,
        "intent_threshold": 0.4,
        "intent_out_of_scope": "oos",
        "intent_reliability": [1, 0.5, 0.25],
        "licence": "CC BY 4.0",
        "training": {"epochs": 3},
    }
    edit(folder / "config.json", **{**defaults, **fields})
    return weights


def test_intent_and_slots(tmp_path: Path) -> None:
    """A joint checkpoint has both heads with labels, pooling and calibration, and its training details."""
    weights = joint(tmp_path)
    network = read(tmp_path)
    intent, slots = network.heads
    assert (intent.name, intent.kind, intent.pooling) == ("intent", "classification", "mean")
    assert (slots.name, slots.kind, slots.pooling) == ("slots", "tagging", None)
    assert intent.labels == ("on", "off", "oos")
    assert slots.labels == ("O", "B-place", "I-place", "B-time", "I-time")
    assert (intent.temperature, intent.threshold, intent.out_of_scope) == (1.25, 0.4, "oos")
    assert (intent.reliability, slots.reliability) == ((1.0, 0.5, 0.25), ())
    assert intent.classifier is not None
    assert np.array_equal(intent.classifier.weight, weights["intent_classifier.weight"].numpy())
    assert slots.classifier is not None
    assert np.array_equal(slots.classifier.bias, weights["slot_classifier.bias"].numpy())
    assert network.licence == "CC BY 4.0"
    assert network.details == {"training": {"epochs": 3}}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"intent_labels": None}, "intent_labels"),
        ({"intent_labels": ["on", "on", "oos"]}, "more than once"),
        ({"intent_labels": ["on", "oos"]}, "intent_classifier.weight"),
        ({"slot_labels": []}, "slot_labels"),
        ({"intent_pooling": "max"}, "intent_pooling"),
        ({"intent_temperature": 0}, "intent_temperature"),
        ({"intent_threshold": 1.5}, "intent_threshold"),
        ({"intent_out_of_scope": "nothing"}, "intent_out_of_scope"),
        ({"intent_reliability": [1, 0.5]}, "intent_reliability"),
        ({"intent_reliability": [1, 0.5, 2]}, "intent_reliability"),
        ({"intent_reliability": "high"}, "intent_reliability"),
    ],
)
def test_intent_and_slots_with_bad_fields(tmp_path: Path, fields: dict[str, Any], named: str) -> None:
    """An unusable field of a joint checkpoint is named."""
    joint(tmp_path, **fields)
    with pytest.raises(CheckpointError, match=named):
        read(tmp_path)


def test_calibrated_classification(tmp_path: Path) -> None:
    """Temperature and threshold that training wrote into a single classifier's config.json are kept."""
    make(tmp_path, "SqueezeBertForSequenceClassification", num_labels=3)
    edit(tmp_path / "config.json", classification_temperature=2.0, classification_threshold=0.5)
    (head,) = read(tmp_path).heads
    assert (head.temperature, head.threshold) == (2.0, 0.5)


def test_base_model_heads(squeezebert: Path) -> None:
    """A base model gives mean-pooled vectors, or the heads asked for in the order asked."""
    assert [(head.name, head.pooling) for head in read(squeezebert).heads] == [("embedding", "mean")]
    pooled, hidden = read(squeezebert, heads=["pooled", "hidden"]).heads
    assert (pooled.kind, pooled.pooling, hidden.kind, hidden.pooling) == ("pooled", "first", "hidden", None)
    assert pooled.pooler is not None


def test_task_model_gives_base_heads_when_asked(tmp_path: Path) -> None:
    """A model with a task head can also give its sentence vector."""
    make(tmp_path, "SqueezeBertForSequenceClassification")
    assert [head.name for head in read(tmp_path, heads=["classification", "embedding"]).heads] == [
        "classification",
        "embedding",
    ]


@pytest.mark.parametrize("heads", [["answer"], [], ["hidden", "hidden"]])
def test_unusable_head_names(squeezebert: Path, heads: list[str]) -> None:
    """A head that the checkpoint lacks, none, or one named twice is an error that lists those it has."""
    with pytest.raises(CheckpointError, match="embedding, hidden, pooled"):
        read(squeezebert, heads=heads)


@pytest.mark.parametrize(
    ("settings", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "first"),
        ({"pooling_mode": "cls"}, "first"),
    ],
)
def test_sentence_transformers_pooling(squeezebert: Path, settings: dict[str, Any], pooling: str) -> None:
    """A sentence-transformers folder's own pooling is followed."""
    (squeezebert / "1_Pooling").mkdir()
    edit(squeezebert / "1_Pooling/config.json", word_embedding_dimension=24, **settings)
    assert read(squeezebert).heads[0].pooling == pooling


@pytest.mark.parametrize(
    "settings",
    [
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
        {"pooling_mode": "lasttoken"},
        {"pooling_mode_mean_tokens": False},
    ],
)
def test_unsupported_pooling(squeezebert: Path, settings: dict[str, Any]) -> None:
    """Any other pooling, or several at once, is refused by name."""
    (squeezebert / "1_Pooling").mkdir()
    edit(squeezebert / "1_Pooling/config.json", **settings)
    with pytest.raises(CheckpointError, match="asks for the pooling"):
        read(squeezebert)


def test_unsupported_sentence_transformers_step(squeezebert: Path) -> None:
    """A dense layer after pooling is refused by name."""
    steps = [{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Dense"}]
    (squeezebert / "modules.json").write_text(json.dumps(steps))
    with pytest.raises(CheckpointError, match="Dense"):
        read(squeezebert)


@pytest.mark.parametrize("prefix", ["", "transformer.", "bert."])
def test_prefixes(squeezebert: Path, prefix: str) -> None:
    """The base model's weights are found under each of the prefixes in use."""
    plain = read(squeezebert)
    rewrite(squeezebert, lambda weights: {f"{prefix}{name}": tensor for name, tensor in weights.items()})
    assert np.array_equal(read(squeezebert).encoder.layers[1].output.weight, plain.encoder.layers[1].output.weight)


def test_old_layer_norm_names(tmp_path: Path) -> None:
    """BERT files from TensorFlow days, with gamma and beta, are read."""
    model = make(tmp_path, "BertModel")

    def age(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
            for name, tensor in weights.items()
        }

    rewrite(tmp_path, age)
    norm = read(tmp_path).encoder.layers[0].output_norm
    assert np.array_equal(norm.gamma, model.encoder.layer[0].output.LayerNorm.weight.detach().numpy())
    assert np.array_equal(norm.beta, model.encoder.layer[0].output.LayerNorm.bias.detach().numpy())


def networks_equal(one: Network, other: Network) -> bool:
    return np.array_equal(one.encoder.word_embeddings, other.encoder.word_embeddings) and all(
        np.array_equal(a.intermediate.weight, b.intermediate.weight) and np.array_equal(a.key.bias, b.key.bias)
        for a, b in zip(one.encoder.layers, other.encoder.layers, strict=True)
    )


@pytest.mark.parametrize("layout", ["sharded safetensors", "bin", "sharded bin"])
def test_weight_files(squeezebert: Path, layout: str) -> None:
    """Sharded safetensors, pytorch_model.bin and a sharded one give the same network as model.safetensors."""
    expected = read(squeezebert)
    weights = load_file(squeezebert / "model.safetensors")
    (squeezebert / "model.safetensors").unlink()
    names = sorted(weights)
    halves = {"1-of-2": names[::2], "2-of-2": names[1::2]}
    stem, end = ("model", "safetensors") if layout == "sharded safetensors" else ("pytorch_model", "bin")
    save = save_file if end == "safetensors" else torch.save
    if layout == "bin":
        save(weights, squeezebert / "pytorch_model.bin")
    else:
        weight_map = {name: f"{stem}-{half}.{end}" for half, members in halves.items() for name in members}
        for half, members in halves.items():
            save({name: weights[name] for name in members}, squeezebert / f"{stem}-{half}.{end}")
        (squeezebert / f"{stem}.{end}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert networks_equal(read(squeezebert), expected)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("end", ["safetensors", "bin"])
def test_other_float_types(squeezebert: Path, stored: torch.dtype, end: str) -> None:
    """Half, bfloat16 and double weights become the float32 numbers that they stand for."""
    weights = {name: tensor.to(stored) for name, tensor in load_file(squeezebert / "model.safetensors").items()}
    (squeezebert / "model.safetensors").unlink()
    if end == "bin":
        torch.save(weights, squeezebert / "pytorch_model.bin")
    else:
        save_file(weights, squeezebert / "model.safetensors")
    table = read(squeezebert).encoder.word_embeddings
    assert table.dtype == np.float32
    assert np.array_equal(table, weights["embeddings.word_embeddings.weight"].float().numpy())


def test_missing_shard(squeezebert: Path) -> None:
    """A shard that the index names and the folder lacks is named."""
    (squeezebert / "model.safetensors").unlink()
    index = {"weight_map": {"embeddings.word_embeddings.weight": "model-1-of-1.safetensors"}}
    (squeezebert / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"model-1-of-1\.safetensors, which is missing"):
        read(squeezebert)


@pytest.mark.parametrize("index", [{}, {"weight_map": []}, {"weight_map": {"a": 1}}, {"weight_map": {"a": "../x.bin"}}])
def test_bad_index(squeezebert: Path, index: dict[str, Any]) -> None:
    """An index without a usable map, or that leaves its folder, is refused."""
    (squeezebert / "model.safetensors").unlink()
    (squeezebert / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"index.json"):
        read(squeezebert)


def test_no_weights(squeezebert: Path) -> None:
    """A folder without weights says which files it looked for."""
    (squeezebert / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"neither model.safetensors nor pytorch_model.bin"):
        read(squeezebert)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"\xff" * 20])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_damaged_weights(squeezebert: Path, name: str, content: bytes) -> None:
    """A damaged weight file is named."""
    (squeezebert / "model.safetensors").unlink()
    (squeezebert / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} is damaged"):
        read(squeezebert)


def test_truncated_weights(squeezebert: Path) -> None:
    """A weight file cut short is named."""
    path = squeezebert / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model.safetensors is damaged"):
        read(squeezebert)


def test_pickle_with_code(squeezebert: Path) -> None:
    """A pytorch_model.bin that holds more than weights is refused without running it."""
    (squeezebert / "model.safetensors").unlink()
    torch.save({"weights": Path("x")}, squeezebert / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="more than weights"):
        read(squeezebert)


def test_pytorch_file_of_another_kind(squeezebert: Path) -> None:
    """A pytorch_model.bin that is no dictionary of tensors is refused."""
    (squeezebert / "model.safetensors").unlink()
    torch.save([torch.zeros(2)], squeezebert / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="dictionary of weights"):
        read(squeezebert)


@pytest.mark.parametrize(
    "name",
    [
        "embeddings.word_embeddings.weight",
        "embeddings.LayerNorm.bias",
        "encoder.layers.1.attention.query.weight",
        "encoder.layers.0.post_attention.layernorm.weight",
    ],
)
def test_missing_weight(squeezebert: Path, name: str) -> None:
    """A missing weight is named."""
    rewrite(squeezebert, lambda weights: {key: tensor for key, tensor in weights.items() if key != name})
    with pytest.raises(CheckpointError, match=rf"{name} is missing"):
        read(squeezebert)


def test_missing_pooler_matters_only_where_it_is_used(squeezebert: Path) -> None:
    """A base model saved without its pooler gives sentence vectors, and an error for the pooled head."""
    rewrite(squeezebert, lambda weights: {key: tensor for key, tensor in weights.items() if "pooler" not in key})
    assert read(squeezebert).heads[0].name == "embedding"
    with pytest.raises(CheckpointError, match=r"pooler\.dense\.weight is missing"):
        read(squeezebert, heads=["pooled"])


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("encoder.layers.1.intermediate.conv1d.weight", (48, 24, 1)),
        ("encoder.layers.1.intermediate.conv1d.weight", (48, 6, 3)),
        ("encoder.layers.0.output.layernorm.bias", (24, 1)),
        ("embeddings.position_embeddings.weight", (19, 24)),
    ],
)
def test_mis_shaped_weight(squeezebert: Path, name: str, shape: tuple[int, ...]) -> None:
    """A weight whose shape contradicts config.json is named with both shapes."""
    rewrite(squeezebert, lambda weights: weights | {name: torch.zeros(shape)})
    with pytest.raises(CheckpointError, match=rf"{name} has the shape \[{', '.join(map(str, shape))}\]"):
        read(squeezebert)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weight_that_is_not_finite(squeezebert: Path, value: float) -> None:
    """A weight with NaN or infinity is named."""

    def spoil(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        weights["encoder.layers.0.attention.key.weight"][3, 1] = value
        return weights

    rewrite(squeezebert, spoil)
    with pytest.raises(CheckpointError, match=r"layers\.0\.attention\.key\.weight holds values that are not finite"):
        read(squeezebert)


@pytest.mark.parametrize("end", ["safetensors", "bin"])
def test_weight_of_whole_numbers(squeezebert: Path, end: str) -> None:
    """A weight stored as integers (an already quantised file) is refused by name."""
    name = "encoder.layers.0.attention.key.bias"
    weights = load_file(squeezebert / "model.safetensors")
    weights[name] = weights[name].to(torch.int8)
    (squeezebert / "model.safetensors").unlink()
    if end == "bin":
        torch.save(weights, squeezebert / "pytorch_model.bin")
    else:
        save_file(weights, squeezebert / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"{name} is stored as"):
        read(squeezebert)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model_type": "roberta"}, "model_type 'roberta'"),
        ({"architectures": ["SqueezeBertForNextSentence"]}, "SqueezeBertForNextSentence"),
        ({"architectures": ["BertModel"]}, "contradicts model_type"),
        ({"architectures": "SqueezeBertModel"}, "architectures"),
        ({"hidden_act": "swish"}, "hidden_act 'swish'"),
        ({"hidden_act": 3}, "hidden_act 3"),
        ({"embedding_size": 12}, "embedding_size 12"),
        ({"num_attention_heads": 5}, "num_attention_heads 5"),
        ({"q_groups": 5}, "q_groups 5"),
        ({"output_groups": 16}, "output_groups 16"),
        ({"intermediate_groups": 9}, "intermediate_groups 9"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"num_hidden_layers": "two"}, "num_hidden_layers is 'two'"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"num_hidden_layers": 3}, r"encoder\.layers\.2\.attention\.query\.weight is missing"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps"),
        ({"vocab_size": 99}, "word_embeddings"),
    ],
)
def test_unsupported_configuration(squeezebert: Path, fields: dict[str, Any], named: str) -> None:
    """A field of config.json that asks for something unknown or impossible is named."""
    edit(squeezebert / "config.json", **fields)
    with pytest.raises(CheckpointError, match=named):
        read(squeezebert)


@pytest.mark.parametrize(
    "fields", [{"is_decoder": True}, {"add_cross_attention": True}, {"position_embedding_type": "relative_key"}]
)
def test_unsupported_bert(tmp_path: Path, fields: dict[str, Any]) -> None:
    """A BERT that is a decoder or has relative positions is refused."""
    make(tmp_path, "BertModel")
    edit(tmp_path / "config.json", **fields)
    with pytest.raises(CheckpointError, match=next(iter(fields))):
        read(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"id2label": {"0": "a", "2": "b"}},
        {"id2label": {"0": "a", "1": "b", "2": "c"}},
        {"id2label": {"0": "a", "1": "a"}},
        {"id2label": ["a", "b"]},
        {"problem_type": "multi_label_classification"},
        {"problem_type": "regression"},
    ],
)
def test_bad_labels(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Labels that do not number the outputs, or a task that is not one label of several, are refused."""
    make(tmp_path, "SqueezeBertForSequenceClassification")
    edit(tmp_path / "config.json", **fields)
    with pytest.raises(CheckpointError, match=next(iter(fields))):
        read(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff{}", b"[" * 100_000])
def test_bad_json(squeezebert: Path, name: str, content: bytes) -> None:
    """A JSON file that is damaged or holds no object is named."""
    (squeezebert / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        read(squeezebert)


def test_no_folder(tmp_path: Path) -> None:
    """A folder that is not there, or has no config.json, is said in one sentence."""
    with pytest.raises(CheckpointError, match="is not a folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"no config.json"):
        read(tmp_path)


def test_errors_have_one_root() -> None:
    """A caller can catch all of the converter's errors at once."""
    assert issubclass(CheckpointError, ConverterError)


def ids(network: Network, text: str, pair: str | None = None) -> tuple[list[int], list[int]]:
    encoding = Tokenizer.from_str(network.tokenizer).encode(text, pair)
    return encoding.ids, encoding.type_ids


def test_tokenizer_from_vocabulary(squeezebert: Path) -> None:
    """A vocab.txt alone gives BERT's lower-casing WordPiece with special tokens and types for pairs."""
    network = read(squeezebert)
    assert ids(network, "Turn OFF the lights, é中!") == ([2, 5, 6, 7, 8, 9, 10, 12, 13, 1, 3], [0] * 11)
    assert ids(network, "turn", "off") == ([2, 5, 3, 6, 3], [0, 0, 0, 1, 1])
    assert ids(network, "turn [MASK]")[0] == [2, 5, 4, 3]


@pytest.mark.parametrize(
    "settings",
    [
        {"do_lower_case": True},
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
        {"tokenize_chinese_chars": False},
    ],
)
def test_tokenizer_settings(squeezebert: Path, settings: dict[str, Any]) -> None:
    """tokenizer_config.json's settings give the ids that transformers' own BERT tokenizer gives."""
    edit(squeezebert / "tokenizer_config.json", tokenizer_class="BertTokenizer", **settings)
    theirs = transformers.BertTokenizerFast(str(squeezebert / "vocab.txt"), **settings)
    network = read(squeezebert)
    for text in ("Turn Off the lights, é", "中e中", "  turn\toff\u00a0the  "):
        assert ids(network, text)[0] == theirs(text)["input_ids"]


def test_special_tokens_of_other_names(squeezebert: Path) -> None:
    """Special tokens are called what tokenizer_config.json calls them."""
    words = [word.replace("[CLS]", "<s>").replace("[SEP]", "</s>") for word in WORDS]
    (squeezebert / "vocab.txt").write_text("\r\n".join(words), encoding="utf-8")
    edit(squeezebert / "special_tokens_map.json", cls_token="<s>", sep_token={"content": "</s>", "lstrip": False})
    assert ids(read(squeezebert), "off")[0] == [2, 6, 3]


@pytest.mark.parametrize("token", ["[UNK]", "[CLS]", "[SEP]"])
def test_vocabulary_without_special_token(squeezebert: Path, token: str) -> None:
    """A vocabulary that lacks a token every text needs is refused, and the token named."""
    (squeezebert / "vocab.txt").write_text("\n".join(word for word in WORDS if word != token), encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"lacks the token \{token}"):
        read(squeezebert)


@pytest.mark.parametrize("content", [b"", b"a\n\xff\n"])
def test_bad_vocabulary(squeezebert: Path, content: bytes) -> None:
    """An empty vocab.txt, or one that is not UTF-8, is named."""
    (squeezebert / "vocab.txt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"vocab.txt"):
        read(squeezebert)


def test_vocabulary_larger_than_the_table(squeezebert: Path) -> None:
    """A tokenizer that could give an id without an embedding is refused."""
    (squeezebert / "vocab.txt").write_text("\n".join([*WORDS, "more"]), encoding="utf-8")
    with pytest.raises(CheckpointError, match="id 15, but the checkpoint has 15 word embeddings"):
        read(squeezebert)


def test_no_tokenizer(squeezebert: Path) -> None:
    """A checkpoint without a tokenizer says which files it looked for."""
    (squeezebert / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match=r"neither tokenizer.json nor vocab.txt"):
        read(squeezebert)


def test_tokenizer_file_loses_padding_and_truncation(squeezebert: Path) -> None:
    """tokenizer.json is preferred to vocab.txt, and its padding and truncation do not reach the model file."""
    tokenizer = Tokenizer.from_str(read(squeezebert).tokenizer)
    tokenizer.enable_padding(length=10)
    tokenizer.enable_truncation(max_length=4)
    tokenizer.save(str(squeezebert / "tokenizer.json"))
    (squeezebert / "vocab.txt").unlink()
    assert ids(read(squeezebert), "turn off the light")[0] == [2, 5, 6, 7, 8, 3]


def test_not_a_tokenizer(squeezebert: Path) -> None:
    """A tokenizer.json that is JSON and no tokenizer is named."""
    (squeezebert / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(CheckpointError, match=r"tokenizer.json is not a tokenizer"):
        read(squeezebert)


@pytest.mark.parametrize(("limit", "expected"), [(12, 12), (10**30, 20), (1e30, 20)])
def test_shortest_limit_counts(squeezebert: Path, limit: float, expected: int) -> None:
    """The longest sequence is the smaller of the position table and tokenizer_config.json's limit."""
    edit(squeezebert / "tokenizer_config.json", model_max_length=limit)
    assert read(squeezebert).max_length == expected


def test_source_and_licence(squeezebert: Path, tmp_path: Path) -> None:
    """The source is config.json's own name, or the folder's; the licence is taken from the card's front matter."""
    assert (read(squeezebert).source, read(squeezebert).licence) == ("checkpoint", None)
    edit(squeezebert / "config.json", _name_or_path="someone/theirs")
    (squeezebert / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# Card\n")
    assert (read(squeezebert).source, read(squeezebert).licence) == ("someone/theirs", "apache-2.0")


def test_folder_can_be_moved(squeezebert: Path, tmp_path: Path) -> None:
    """Nothing is read from where the checkpoint was made."""
    expected = read(squeezebert)
    shutil.move(squeezebert, tmp_path / "elsewhere")
    assert networks_equal(read(tmp_path / "elsewhere"), expected)
