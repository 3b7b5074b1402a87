"""A model file without the rows of positions that no text of its kind reaches; nothing is converted again."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converter import card, flatbuffer
from converter.errors import FormatError
from converter.model_file import CARD, MANIFEST, assemble, read, write

POSITIONS = re.compile(rb"embeddings\.positions(\.aside\.\d+)?\.table")
"""tensors with a row for each position of each token type"""


@dataclass(frozen=True)
class Shortened:
    """What it brought."""

    bytes_before: int
    bytes: int
    longest: int
    """tokens of a text, special ones included"""
    token_types: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def shorten(file: Path, output: Path, longest: int | None = None, single_texts: bool = False) -> Shortened:
    """Writes the model file `file` to `output` without the positions that its texts do not reach.

    Texts that it still takes give the same results as before, to the bit.

    Args:
        file: made by `convert`.
        output: may be the same.
        longest: tokens of the longest text, special ones included; None: what the model takes.
        single_texts: it will never be given two texts at once, and needs no rows for the second.

    Raises:
        FormatError: it was not made by edge-converter, cannot be read or written, or takes no text of `longest` tokens.
    """
    content, entries = read(file)
    if not {MANIFEST, CARD} <= entries.keys():
        raise FormatError(f"{file} has no manifest; it was not made by edge-converter")
    manifest: dict[str, Any] = json.loads(entries[MANIFEST])
    limit, rows, types = (int(manifest[name]) for name in ("max_length", "positions_per_type", "token_types"))
    kept = limit if longest is None else longest
    if not 8 <= kept <= limit:
        raise FormatError(f"the longest text must have 8 to {limit} tokens, for {file} takes no more")
    kinds = 1 if single_texts else types
    chosen = (np.arange(kinds)[:, None] * rows + np.arange(kept)).ravel()

    def leave_out(model: Any) -> None:
        tables = [t for t in model.subgraphs[0].tensors if POSITIONS.fullmatch(t.name)]
        if not tables or any(t.shape[0] != rows * types for t in tables):
            raise FormatError(f"{file} has no table of {rows * types} positions")
        for table in tables:
            buffer = model.buffers[table.buffer]
            buffer.data = np.ascontiguousarray(buffer.data.reshape(table.shape)[chosen])
            table.shape = [len(chosen), *table.shape[1:]]

    network = flatbuffer.rewrite(content, leave_out)
    introduction = card.about(manifest)
    manifest["architecture"]["parameters"] -= (rows * types - len(chosen)) * manifest["architecture"]["hidden_size"]
    manifest |= {"max_length": kept, "positions_per_type": kept, "token_types": kinds}
    manifest["flatbuffer"] = {"size": len(network), "sha256": hashlib.sha256(network).hexdigest()}
    entries[CARD] = entries[CARD].replace(introduction, card.about(manifest), 1)
    entries[MANIFEST] = json.dumps(manifest, ensure_ascii=False, indent=1)
    before, whole = file.stat().st_size, assemble(network, entries)
    write(output, whole)
    return Shortened(before, len(whole), kept, kinds)
