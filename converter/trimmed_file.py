"""A model file with a smaller vocabulary: rows are left out, and nothing is trained or converted again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converter import card, flatbuffer
from converter.errors import CheckpointError, FormatError
from converter.model_file import CARD, MANIFEST, TOKENIZER, assemble, read, write
from converter.trimming import Trimmed, count, trim

WORDS = re.compile(rb"embeddings\.words(\.aside\.\d+)?\.table")
"""tensors with a row for each token: one, and one more for each group of channels that has a scale of its own"""


def trim_file(file: Path, output: Path, size: int, texts: Sequence[str]) -> Trimmed:
    """Writes the model file `file` to `output` with the `size` tokens that matter for `texts` (`trimming.trim`).

    Texts whose wordpieces are kept give the same results as before, to the bit. Scores in card and manifest stay
    those of the whole vocabulary, and the card says so; measure again.

    Raises:
        FormatError: it was not made by edge-converter, or cannot be read or written.
        CheckpointError: its vocabulary cannot be trimmed so far, or there are no texts.
    """
    from tokenizers import Tokenizer

    content, entries = read(file)
    if not {MANIFEST, TOKENIZER, CARD} <= entries.keys():
        raise FormatError(f"{file} has no tokenizer; it was not made by edge-converter")
    old = Tokenizer.from_str(entries[TOKENIZER])
    counts = count(old, texts)
    if not counts:
        raise CheckpointError("the texts to trim by are empty")
    after, kept = trim(entries[TOKENIZER], counts, size)
    manifest: dict[str, Any] = json.loads(entries[MANIFEST])
    rows = int(manifest["architecture"]["vocabulary"])

    def shorten(model: Any) -> None:
        tensors = [t for t in model.subgraphs[0].tensors if WORDS.fullmatch(t.name)]
        if not tensors or any(t.shape[0] != rows for t in tensors):
            raise FormatError(f"{file} has no table of {rows} word embeddings")
        for tensor in tensors:
            buffer = model.buffers[tensor.buffer]
            buffer.data = np.ascontiguousarray(buffer.data.reshape(tensor.shape)[kept])
            tensor.shape = [len(kept), *tensor.shape[1:]]

    network = flatbuffer.rewrite(content, shorten)
    before = int(manifest["architecture"]["parameters"])
    parameters = before - (rows - len(kept)) * int(manifest["architecture"]["hidden_size"])
    manifest["architecture"] |= {"vocabulary": len(kept), "parameters": parameters}
    manifest["flatbuffer"] = {"size": len(network), "sha256": hashlib.sha256(network).hexdigest()}
    manifest["tokenizer_sha256"] = hashlib.sha256(after.encode()).hexdigest()
    note = f"Trimmed from {rows:,} wordpieces: the scores below, and those in the manifest, are of all of them."
    entries[CARD] = card.with_introduction(entries[CARD], manifest, note)
    entries |= {MANIFEST: json.dumps(manifest, ensure_ascii=False, indent=1), TOKENIZER: after}
    write(output, assemble(network, entries))
    return Trimmed(
        vocabulary_before=rows,
        vocabulary=len(kept),
        parameters_before=before,
        parameters=parameters,
        texts=len(texts),
        tokens_before=counts.total(),
        tokens=count(Tokenizer.from_str(after), texts).total(),
    )
