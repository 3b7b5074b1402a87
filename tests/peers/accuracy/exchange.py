"""What peers in other environments are given: weights and token ids as .npz files, structure as JSON.

Their programs (`tensorflow_peer.py`, `quantizer_peer.py`) import nothing of ours and read nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.network import LayerNorm, Linear, Network

NETWORK, STRUCTURE, CALIBRATION = "network.npz", "network.json", "calibration.npz"
LAYER_PARTS = ("query", "key", "value", "attention_output", "attention_norm", "intermediate", "output", "output_norm")


def write_network(network: Network, folder: Path) -> None:
    """Weights by a flat name: `layer.0.query.weight` [out, in / groups], `.bias`; norms have `.gamma` and `.beta`."""
    arrays: dict[str, NDArray[Any]] = {}
    groups: dict[str, int] = {}
    epsilons: dict[str, float] = {}

    def add(name: str, part: Linear | LayerNorm | None) -> None:
        if isinstance(part, Linear):
            arrays[f"{name}.weight"], arrays[f"{name}.bias"] = part.weight, part.bias
            groups[name] = part.groups
        elif isinstance(part, LayerNorm):
            arrays[f"{name}.gamma"], arrays[f"{name}.beta"] = part.gamma, part.beta
            epsilons[name] = part.epsilon

    encoder = network.encoder
    # a text of its own has token type 0 throughout
    arrays |= {"words": encoder.word_embeddings, "positions": encoder.position_embeddings + encoder.type_embeddings[0]}
    add("embedding_norm", encoder.embedding_norm)
    for i, layer in enumerate(encoder.layers):
        for part in LAYER_PARTS:
            add(f"layer.{i}.{part}", getattr(layer, part))
    heads = []
    for head in network.heads:
        add(f"{head.name}.pooler", head.pooler)
        add(f"{head.name}.classifier", head.classifier)
        heads.append(
            {
                "name": head.name,
                "pooling": head.pooling,
                "pooler": head.pooler is not None,
                "classifier": head.classifier is not None,
            }
        )
    structure = {
        "layers": len(encoder.layers),
        "attention_heads": encoder.attention_heads,
        "activation": encoder.activation,
        "epsilons": epsilons,
        "groups": groups,
        "heads": heads,
    }
    np.savez(folder / NETWORK, **arrays)  # type: ignore[arg-type]
    (folder / STRUCTURE).write_text(json.dumps(structure), encoding="utf-8")


def write_texts(texts: Sequence[Sequence[int]], path: Path) -> None:
    """Token ids of each text, end to end, and where each text ends."""
    np.savez(path, ids=np.concatenate([np.array(t, np.int32) for t in texts]), ends=np.cumsum([len(t) for t in texts]))
