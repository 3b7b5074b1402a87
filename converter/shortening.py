"""A model file without the rows of positions that no text of its kind reaches; nothing is converted again."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converter import card
from converter.errors import FormatError
from converter.fewer_rows import keep_rows, opened, save
from converter.model_file import CARD

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
    without_self_test: bool
    """its questions were left out; the model may answer them otherwise"""

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
    content, entries, manifest = opened(file, [CARD])
    limit, rows, types = (int(manifest[name]) for name in ("max_length", "positions_per_type", "token_types"))
    kept = limit if longest is None else longest
    if not 8 <= kept <= limit:
        raise FormatError(f"the longest text must have 8 to {limit} tokens, for {file} takes no more")
    kinds = 1 if single_texts else types
    chosen = (np.arange(kinds)[:, None] * rows + np.arange(kept)).ravel()
    network = keep_rows(content, POSITIONS, rows * types, chosen, "positions")
    introduction = card.about(manifest)
    manifest["architecture"]["parameters"] -= (rows * types - len(chosen)) * manifest["architecture"]["hidden_size"]
    manifest |= {"max_length": kept, "positions_per_type": kept, "token_types": kinds}
    entries[CARD] = entries[CARD].replace(introduction, card.about(manifest), 1)
    before = file.stat().st_size
    size, without = save(output, network, entries, manifest)
    return Shortened(before, size, kept, kinds, without)
