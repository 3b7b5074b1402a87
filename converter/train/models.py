"""The networks that are trained: transformers' SqueezeBERT with heads on top.

Their weights have the names that the checkpoint stage reads. PyTorch and transformers are imported inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.checkpoint.configuration import read_configuration
from converter.checkpoint.encoder import encoder_prefix
from converter.checkpoint.weights import open_weights
from converter.errors import TrainingError
from converter.train.encoding import Labels

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Size:
    """The size of a SqueezeBERT that is trained from scratch."""

    hidden: int = 192
    layers: int = 4
    heads: int = 6
    intermediate: int = 768
    groups: int = 4
    """of all grouped layers but `post_attention`, which has one, as in SqueezeBERT's paper"""
    positions: int = 128
    """longest sequence in tokens, special ones included"""
    dropout: float = 0.1


def require_packages() -> None:
    """Raises TrainingError if PyTorch or transformers is not installed."""
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise TrainingError(f"training needs {error.name}: pip install squeezebert-edge[train]") from None


def new_encoder(size: Size, vocabulary: int, padding: int | None) -> Any:
    """A SqueezeBertModel with random weights.

    Raises:
        TrainingError: heads or groups do not divide the widths.
    """
    from transformers import SqueezeBertConfig, SqueezeBertModel

    for name, width, parts in (
        ("heads", size.hidden, size.heads),
        ("groups", size.hidden, size.groups),
        ("groups", size.intermediate, size.groups),
    ):
        if width % parts:
            raise TrainingError(f"--{name} {parts} does not divide a width of {width}")
    groups = ("q_groups", "k_groups", "v_groups", "intermediate_groups", "output_groups")
    config = SqueezeBertConfig(
        vocab_size=vocabulary,
        hidden_size=size.hidden,
        embedding_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.intermediate,
        max_position_embeddings=size.positions,
        hidden_dropout_prob=size.dropout,
        attention_probs_dropout_prob=size.dropout,
        pad_token_id=padding,
        **dict.fromkeys(groups, size.groups),
    )
    return SqueezeBertModel(config)


def existing_encoder(folder: Path) -> Any:
    """The encoder of a SqueezeBERT checkpoint folder, whatever head it has.

    Raises:
        TrainingError: it is not a SqueezeBERT.
        CheckpointError: it cannot be read, or lacks a weight other than the pooler's.
    """
    import torch
    from transformers import SqueezeBertConfig, SqueezeBertModel

    configuration = read_configuration(folder)
    if configuration.family != "squeezebert":
        raise TrainingError(f"{folder} is a checkpoint of a {configuration.family}; only a SqueezeBERT can be trained")
    # Only what describes the encoder: heads and training details of the old checkpoint are not those of the new one.
    known = SqueezeBertConfig().to_dict()
    model = SqueezeBertModel(SqueezeBertConfig(**{k: v for k, v in configuration.fields.items() if k in known}))
    weights = open_weights(folder)
    prefix = encoder_prefix(weights)
    state = {
        name: torch.from_numpy(weights.take(prefix + name, *tensor.shape))
        for name, tensor in model.state_dict().items()
        if prefix + name in weights or not name.startswith("pooler.")
    }
    model.load_state_dict(state, strict=False)
    return model


def build(encoder: Any, labels: Labels, pooling: str, dropout: float) -> nn.Module:
    """Puts heads on an encoder: intent and slots where there are slots, else one label a text.

    The module maps (ids, mask), both [batch, S], to a dictionary of logits: "intent" [batch, intents] and, for the
    joint model, "slots" [batch, S, slots].
    """
    import torch
    from torch import nn

    hidden = encoder.config.hidden_size

    class IntentAndSlots(nn.Module):
        """Weights: transformer.*, intent_classifier.*, slot_classifier.*."""

        def __init__(self) -> None:
            super().__init__()
            self.transformer = encoder
            self.dropout = nn.Dropout(dropout)
            self.intent_classifier = nn.Linear(hidden, len(labels.intents))
            self.slot_classifier = nn.Linear(hidden, len(labels.slots))

        def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
            states = self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
            if pooling == "first":
                pooled = states[:, 0]
            else:
                share = mask.unsqueeze(-1).to(states.dtype)
                pooled = (states * share).sum(1) / share.sum(1)
            return {
                "intent": self.intent_classifier(self.dropout(pooled)),
                "slots": self.slot_classifier(self.dropout(states)),
            }

    class Classification(nn.Module):
        """transformers' SqueezeBertForSequenceClassification. Weights: transformer.*, classifier.*."""

        def __init__(self) -> None:
            super().__init__()
            self.transformer = encoder
            self.dropout = nn.Dropout(dropout)
            self.classifier = nn.Linear(hidden, len(labels.intents))

        def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
            pooled = self.transformer(input_ids=ids, attention_mask=mask).pooler_output
            return {"intent": self.classifier(self.dropout(pooled))}

    model = IntentAndSlots() if labels.slots else Classification()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("transformer."):
                # transformers' initialisation; a bias's deviation is 0
                parameter.normal_(0.0, encoder.config.initializer_range if parameter.dim() > 1 else 0.0)
    return model
