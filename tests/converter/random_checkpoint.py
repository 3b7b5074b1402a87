"""Checkpoints with random weights at tiny sizes, made by transformers itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "turn", "off", "the", "light", "##s", ",", "é", "e", "中", "Off"]

SIZES: dict[str, Any] = {
    "vocab_size": len(WORDS),
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 48,
    "max_position_embeddings": 20,
}
SQUEEZE: dict[str, Any] = {"embedding_size": 24, "layer_norm_eps": 1e-5}
GROUPS: dict[str, Any] = {
    "q_groups": 2,
    "k_groups": 3,
    "v_groups": 4,
    "post_attention_groups": 6,
    "intermediate_groups": 8,
    "output_groups": 12,
}


def make(folder: Path, architecture: str, seed: int = 0, **config: Any) -> Any:
    """Saves a checkpoint of `architecture` with random weights and a vocab.txt; gives the model."""
    torch.manual_seed(seed)
    model_class = getattr(transformers, architecture)
    squeeze = SQUEEZE if architecture.startswith("SqueezeBert") else {}
    model = model_class(model_class.config_class(**{**SIZES, **squeeze, **config}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return model
