"""A BERT as llama.cpp's file, weights in blocks of 32 with 8 bits each (Q8_0), its fastest format for short texts.

    PYTHON llama_peer.py FOLDER

Runs where `gguf` is installed and imports nothing of ours. FOLDER holds what `tests.peers.accuracy.exchange` writes and
a vocab.txt; model.gguf is added. Names are those of llama.cpp's own convert_hf_to_gguf.py.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np

PARTS = {
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "attention_output": "attn_output",
    "intermediate": "ffn_up",
    "output": "ffn_down",
}
NORMS = {"attention_norm": "attn_output_norm", "output_norm": "layer_output_norm"}
NAME = "model.gguf"


def describe(writer: Any, structure: dict[str, Any], arrays: dict[str, Any]) -> None:
    writer.add_block_count(structure["layers"])
    writer.add_context_length(len(arrays["positions"]))
    writer.add_embedding_length(arrays["words"].shape[1])
    writer.add_feed_forward_length(len(arrays["layer.0.intermediate.weight"]))
    writer.add_head_count(structure["attention_heads"])
    writer.add_layer_norm_eps(structure["epsilons"]["embedding_norm"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)


def add_vocabulary(writer: Any, pieces: list[str]) -> None:
    """The loader asks for one, though token ids are what is run."""
    # a word's first piece is marked in place of the further ones
    special = re.compile(r"\[.+\]")
    marked = [p[2:] if p.startswith("##") else p if special.fullmatch(p) else "▁" + p for p in pieces]
    writer.add_tokenizer_model("bert")
    writer.add_token_list(marked)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(marked))
    writer.add_token_type_count(2)
    for name, piece in (("bos", "[CLS]"), ("unk", "[UNK]"), ("sep", "[SEP]"), ("pad", "[PAD]"), ("mask", "[MASK]")):
        getattr(writer, f"add_{name}_token_id")(pieces.index(piece))


def main() -> None:
    folder = Path(sys.argv[1])
    structure = json.loads((folder / "network.json").read_text("utf-8"))
    arrays = dict(np.load(folder / "network.npz"))
    writer = gguf.GGUFWriter(folder / NAME, "bert")
    describe(writer, structure, arrays)
    add_vocabulary(writer, (folder / "vocab.txt").read_text("utf-8").splitlines())

    def quantised(name: str, values: Any) -> None:
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    def norm(theirs: str, ours: str) -> None:
        writer.add_tensor(f"{theirs}.weight", arrays[f"{ours}.gamma"])
        writer.add_tensor(f"{theirs}.bias", arrays[f"{ours}.beta"])

    quantised("token_embd.weight", arrays["words"])
    # the exchange has added the one type that is used to the positions
    writer.add_tensor("position_embd.weight", arrays["positions"])
    writer.add_tensor("token_types.weight", np.zeros((2, arrays["words"].shape[1]), np.float32))
    norm("token_embd_norm", "embedding_norm")
    for i in range(structure["layers"]):
        for ours, theirs in PARTS.items():
            quantised(f"blk.{i}.{theirs}.weight", arrays[f"layer.{i}.{ours}.weight"])
            writer.add_tensor(f"blk.{i}.{theirs}.bias", arrays[f"layer.{i}.{ours}.bias"])
        for ours, theirs in NORMS.items():
            norm(f"blk.{i}.{theirs}", f"layer.{i}.{ours}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
