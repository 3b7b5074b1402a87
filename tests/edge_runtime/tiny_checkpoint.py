"""Tiny SqueezeBERT checkpoints with random weights, one for each head, written without PyTorch."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np

HIDDEN = 32
INTERMEDIATE = 64
LAYERS = 2
GROUPS = 2
MAX_LENGTH = 48
TOKEN_TYPES = 2

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("turn", "off", "on", "the", "kitchen", "light", "lights", "play", "paris", "berlin", "in", "o", "and", "hello")
CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation + "é中国日本ß"
VOCABULARY = (
    *SPECIAL,
    *WORDS,
    *(character for character in CHARACTERS if character not in WORDS),
    *(f"##{character}" for character in string.ascii_lowercase + string.digits),
    "##s",
)

INTENTS = ("light_on", "light_off", "play", "none")
SLOTS = ("O", "B-room", "I-room", "B-artist", "I-artist")

CONFIGS: dict[str, dict[str, Any]] = {
    "assistant": {
        "architectures": ["SqueezeBertForIntentAndSlots"],
        "intent_labels": list(INTENTS),
        "slot_labels": list(SLOTS),
        "intent_pooling": "mean",
        "intent_temperature": 1.5,
        "intent_threshold": 0.2,
        "intent_out_of_scope": "none",
    },
    "classification": {
        "architectures": ["SqueezeBertForSequenceClassification"],
        "id2label": {"0": "negative", "1": "neutral", "2": "positive"},
    },
    "tags": {
        "architectures": ["SqueezeBertForTokenClassification"],
        "id2label": {str(place): label for place, label in enumerate(SLOTS)},
    },
    "answer": {"architectures": ["SqueezeBertForQuestionAnswering"]},
    "fill": {"architectures": ["SqueezeBertForMaskedLM"]},
    "choice": {"architectures": ["SqueezeBertForMultipleChoice"]},
    "embedding": {"architectures": ["SqueezeBertModel"]},
}


def write(folder: Path, name: str, seed: int = 0) -> None:
    """Write the checkpoint `name` of `CONFIGS` with weights drawn from `seed`."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = list(dict.fromkeys(VOCABULARY))
    config = {
        "model_type": "squeezebert",
        "vocab_size": len(vocabulary),
        "hidden_size": HIDDEN,
        "embedding_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": INTERMEDIATE,
        "hidden_act": "gelu",
        "max_position_embeddings": MAX_LENGTH,
        "type_vocab_size": TOKEN_TYPES,
        "layer_norm_eps": 1e-12,
        **{f"{layer}_groups": GROUPS for layer in ("q", "k", "v", "intermediate", "output")},
        "post_attention_groups": 1,
        **CONFIGS[name],
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in vocabulary), encoding="utf-8")
    settings = {"do_lower_case": True, "model_max_length": MAX_LENGTH, "tokenizer_class": "SqueezeBertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    weights = _Weights(np.random.default_rng(seed))
    weights.encoder(len(vocabulary))
    weights.head(name, len(vocabulary))
    save_file(weights.arrays, folder / "model.safetensors")


class _Weights:
    """Arrays under the names that transformers gives them."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}

    def normal(self, name: str, *shape: int, scale: float = 1.0) -> None:
        self.arrays[name] = (scale * self.random.standard_normal(shape)).astype(np.float32)

    def linear(self, name: str, outputs: int, inputs: int, *kernel: int) -> None:
        self.normal(f"{name}.weight", outputs, inputs, *kernel, scale=1.2 / inputs**0.5)
        self.normal(f"{name}.bias", outputs, scale=0.2)

    def norm(self, name: str) -> None:
        self.arrays[f"{name}.weight"] = self.random.uniform(0.5, 1.5, HIDDEN).astype(np.float32)
        self.normal(f"{name}.bias", HIDDEN, scale=0.2)

    def encoder(self, vocabulary: int) -> None:
        embeddings = "transformer.embeddings"
        self.normal(f"{embeddings}.word_embeddings.weight", vocabulary, HIDDEN)
        self.normal(f"{embeddings}.position_embeddings.weight", MAX_LENGTH, HIDDEN, scale=0.3)
        self.normal(f"{embeddings}.token_type_embeddings.weight", TOKEN_TYPES, HIDDEN, scale=0.3)
        self.norm(f"{embeddings}.LayerNorm")
        for place in range(LAYERS):
            layer = f"transformer.encoder.layers.{place}"
            for part in ("query", "key", "value"):
                self.linear(f"{layer}.attention.{part}", HIDDEN, HIDDEN // GROUPS, 1)
            self.linear(f"{layer}.post_attention.conv1d", HIDDEN, HIDDEN, 1)
            self.norm(f"{layer}.post_attention.layernorm")
            self.linear(f"{layer}.intermediate.conv1d", INTERMEDIATE, HIDDEN // GROUPS, 1)
            self.linear(f"{layer}.output.conv1d", HIDDEN, INTERMEDIATE // GROUPS, 1)
            self.norm(f"{layer}.output.layernorm")
        self.linear("transformer.pooler.dense", HIDDEN, HIDDEN)

    def head(self, name: str, vocabulary: int) -> None:
        match name:
            case "assistant":
                self.linear("intent_classifier", len(INTENTS), HIDDEN)
                self.linear("slot_classifier", len(SLOTS), HIDDEN)
            case "classification" | "tags":
                self.linear("classifier", len(CONFIGS[name]["id2label"]), HIDDEN)
            case "answer":
                self.linear("qa_outputs", 2, HIDDEN)
            case "choice":
                self.linear("classifier", 1, HIDDEN)
            case "fill":
                self.linear("cls.predictions.transform.dense", HIDDEN, HIDDEN)
                self.norm("cls.predictions.transform.LayerNorm")
                self.normal("cls.predictions.bias", vocabulary, scale=0.2)
