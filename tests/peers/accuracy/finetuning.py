"""Task heads on all-MiniLM-L6-v2, trained in minutes: real models for the study, not record ones.

A few hundred steps with a fixed schedule; no validation text decides anything. The folders are what anyone's training
with transformers would leave, except for the joint model's: it is SqueezeBERT with one group, which is BERT.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from converter.data_sets import Spoken
from converter.train.saving import save_calibration
from tests.peers.accuracy import corpora
from tests.peers.accuracy.corpora import Pair
from tests.peers.accuracy.encoding import IGNORED, Encoded, Labels, batches, collect_labels, encode, padded

LONGEST = 64
"""tokens of a training text"""
BATCH = 32
BODY_RATE, HEAD_RATE = 1.5e-4, 1e-3
SIMILARITY_RATE = 3e-5
"""the body has been trained for similarity already"""
WARM_UP = 0.1
SENTIMENT_TEXTS, SIMILARITY_EPOCHS, INTENT_EPOCHS, ENTITY_EPOCHS = 14_000, 2, 4, 1
BERT_NAMES = {
    "encoder.layer.": "encoder.layers.",
    "attention.self.": "attention.",
    "attention.output.dense.": "post_attention.conv1d.",
    "attention.output.LayerNorm.": "post_attention.layernorm.",
    "intermediate.dense.": "intermediate.conv1d.",
    "output.dense.": "output.conv1d.",
    "output.LayerNorm.": "output.layernorm.",
}
"""of a layer's parts in BERT → in SqueezeBERT, in the order in which they are to be replaced"""
Batch = list[Encoded]
Loss = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True)
class Trainer:
    """The body, its tokenizer, and where training starts from."""

    minilm: Path
    seed: int

    def body(self, **heads: Any) -> Any:
        return transformers.BertModel.from_pretrained(self.minilm, **heads)

    def tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.minilm / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer


def sentiment(trainer: Trainer, folder: Path) -> None:
    """BertForSequenceClassification on SST-2."""
    texts = random.Random(trainer.seed).sample(corpora.sentiment()[0], SENTIMENT_TEXTS)
    labels = Labels(("negative", "positive"), ())
    model = transformers.BertForSequenceClassification.from_pretrained(
        trainer.minilm, num_labels=len(labels.intents), id2label=dict(enumerate(labels.intents))
    )

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        ids, mask = padded(batch)
        return _classes(model(input_ids=ids, attention_mask=mask).logits, batch)

    _fit(model, _encoded(trainer, texts, labels), loss, 1, trainer.seed, BODY_RATE)
    _save(model, trainer, folder, [each.text for each in texts])


def entities(trainer: Trainer, folder: Path) -> None:
    """BertForTokenClassification on the English Web Treebank."""
    texts = corpora.entities()[0]
    tags = collect_labels([*texts, Spoken(("x",), "none")]).slots
    model = transformers.BertForTokenClassification.from_pretrained(
        trainer.minilm, num_labels=len(tags), id2label=dict(enumerate(tags))
    )

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        ids, mask = padded(batch)
        return _tags(model(input_ids=ids, attention_mask=mask).logits, batch)

    _fit(model, _encoded(trainer, texts, Labels(("",), tags)), loss, ENTITY_EPOCHS, trainer.seed, BODY_RATE)
    _save(model, trainer, folder, [each.text for each in texts])


def similarity(trainer: Trainer, folder: Path) -> None:
    """BertModel whose mean-pooled vectors' cosines follow the STS benchmark's scores."""
    pairs = corpora.similarity()[0]
    model = trainer.body()
    tokenizer = trainer.tokenizer()

    def vectors(model: nn.Module, texts: Sequence[str]) -> Tensor:
        rows = [Encoded(tuple(tokenizer.encode(t).ids[:LONGEST]), 0, None, ()) for t in texts]
        ids, mask = padded(rows)
        states: Tensor = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def loss(model: nn.Module, batch: Sequence[Pair]) -> Tensor:
        first, second = (vectors(model, [getattr(p, side) for p in batch]) for side in ("first", "second"))
        scores = torch.tensor([p.score / 5 for p in batch])
        return functional.mse_loss(functional.cosine_similarity(first, second), scores)

    _fit(model, pairs, loss, SIMILARITY_EPOCHS, trainer.seed, SIMILARITY_RATE)
    _save(model, trainer, folder, [sentence for p in pairs for sentence in (p.first, p.second)])
    shutil.copytree(trainer.minilm / "1_Pooling", folder / "1_Pooling", dirs_exist_ok=True)


def intents(trainer: Trainer, folder: Path) -> None:
    """Intent and slots on hwu64, saved in the joint layout that `edge-converter train` writes."""
    texts = corpora.intents()[0]
    labels = collect_labels(texts)
    body = trainer.body(add_pooling_layer=False)
    hidden = body.config.hidden_size
    model = nn.ModuleDict(
        {
            "transformer": body,
            "intent_classifier": nn.Linear(hidden, len(labels.intents)),
            "slot_classifier": nn.Linear(hidden, len(labels.slots)),
        }
    )
    dropout = nn.Dropout(0.1)

    def loss(model: nn.ModuleDict, batch: Batch) -> Tensor:
        ids, mask = padded(batch)
        states = model["transformer"](input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        tags: Tensor = _tags(model["slot_classifier"](dropout(states)), batch)
        return _classes(model["intent_classifier"](dropout(pooled)), batch) + tags

    _fit(model, _encoded(trainer, texts, labels), loss, INTENT_EPOCHS, trainer.seed, BODY_RATE)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {_squeezebert_name(k): _convolution(k, v) for k, v in model.state_dict().items()}, folder / "model.safetensors"
    )
    bert = body.config
    config = transformers.SqueezeBertConfig(
        vocab_size=bert.vocab_size,
        hidden_size=hidden,
        embedding_size=hidden,
        num_hidden_layers=bert.num_hidden_layers,
        num_attention_heads=bert.num_attention_heads,
        intermediate_size=bert.intermediate_size,
        max_position_embeddings=bert.max_position_embeddings,
        layer_norm_eps=bert.layer_norm_eps,
        **dict.fromkeys(("q_groups", "k_groups", "v_groups", "intermediate_groups", "output_groups"), 1),
    ).to_dict()
    config |= {
        "architectures": ["SqueezeBertForIntentAndSlots"],
        "intent_labels": list(labels.intents),
        "slot_labels": list(labels.slots),
        "intent_pooling": "mean",
    }
    for field in ("id2label", "label2id"):
        config.pop(field, None)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    _leave_texts(trainer, folder, [each.text for each in texts])


HEADS: dict[str, Callable[[Trainer, Path], None]] = {
    "sentiment": sentiment,
    "intents": intents,
    "entities": entities,
    "similarity": similarity,
}


def _encoded(trainer: Trainer, texts: Sequence[Spoken], labels: Labels) -> list[Encoded]:
    tokenizer = trainer.tokenizer()
    return [encode(tokenizer, each, labels.intent_numbers, labels.slot_numbers, LONGEST) for each in texts]


def _fit(model: nn.Module, examples: Sequence[Any], loss: Any, epochs: int, seed: int, rate: float) -> None:
    """AdamW in bfloat16 where PyTorch has it, the rate rising over a tenth of the steps and then falling to 0."""
    generator = random.Random(seed)
    torch.manual_seed(seed)
    heads = [p for name, p in model.named_parameters() if "classifier" in name]
    known = {id(p) for p in heads}
    body = [p for p in model.parameters() if id(p) not in known]
    groups = [{"params": body, "lr": rate}, *([{"params": heads, "lr": HEAD_RATE}] if heads else [])]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    steps = epochs * -(-len(examples) // BATCH)
    warm_up = WARM_UP * steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm_up, (steps - step) / (steps - warm_up))
    )
    model.train()
    done, recent = 0, 0.0
    for _ in range(epochs):
        for batch in _batches(examples, generator):
            with torch.autocast("cpu", torch.bfloat16):
                value = loss(model, batch)
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            recent = 0.98 * recent + 0.02 * float(value.detach())
            done += 1
            if done % 100 == 0 or done == steps:
                print(f"step {done} of {steps}: loss {recent / (1 - 0.98**done):.4f}", file=sys.stderr, flush=True)
    model.eval()


def _batches(examples: Sequence[Any], generator: random.Random) -> list[list[Any]]:
    if isinstance(examples[0], Encoded):
        return list(batches(examples, BATCH, generator))
    mixed = generator.sample(examples, len(examples))
    return [mixed[i : i + BATCH] for i in range(0, len(mixed), BATCH)]


def _classes(logits: Tensor, batch: Batch) -> Tensor:
    return functional.cross_entropy(logits.float(), torch.tensor([each.label for each in batch]))


def _tags(logits: Tensor, batch: Batch) -> Tensor:
    wanted = torch.full(logits.shape[:2], IGNORED, dtype=torch.long)
    for row, each in enumerate(batch):
        wanted[row, : len(each.ids)] = torch.tensor(each.tags)
    return functional.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)


def _save(model: Any, trainer: Trainer, folder: Path, texts: Sequence[str]) -> None:
    model.float().save_pretrained(folder)
    _leave_texts(trainer, folder, texts)


def _leave_texts(trainer: Trainer, folder: Path, texts: Sequence[str]) -> None:
    """The tokenizer, and a sample of the training texts to calibrate on."""
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(trainer.minilm / name, folder / name)
    save_calibration(folder, [(text,) for text in texts], trainer.seed)


def _squeezebert_name(name: str) -> str:
    if ".encoder." not in name:
        return name
    for ours, theirs in BERT_NAMES.items():
        name = name.replace(ours, theirs)
    return name


def _convolution(name: str, weight: Tensor) -> Tensor:
    """SqueezeBERT's linear layers are convolutions of kernel size 1."""
    is_matrix = ".encoder." in name and weight.dim() == 2
    return weight[..., None].contiguous() if is_matrix else weight.contiguous()
