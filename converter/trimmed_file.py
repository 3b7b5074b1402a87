"""A model file with a smaller vocabulary: rows are left out, and nothing is trained or converted again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from converter import card
from converter.errors import CheckpointError
from converter.fewer_rows import keep_rows, opened, save
from converter.model_file import CARD, TOKENIZER
from converter.trimming import Trimmed, count, trim

WORDS = re.compile(rb"embeddings\.words(\.aside\.\d+)?\.table")
"""tensors with a row for each token: one, and one more for each group of channels that has a scale of its own"""


def trim_file(file: Path, output: Path, size: int, texts: Sequence[str]) -> Trimmed:
    """Writes the model file `file` to `output` with the `size` tokens that matter for `texts` (`trimming.trim`).

    Texts whose wordpieces are kept give the same results as before, to the bit. Accuracy in card and manifest
    stays that of the whole vocabulary, and the card says so; scores want to be measured again.

    Raises:
        FormatError: it was not made by edge-converter, or cannot be read or written.
        CheckpointError: its vocabulary cannot be trimmed so far, or there are no texts.
    """
    from tokenizers import Tokenizer

    content, entries, manifest = opened(file, [TOKENIZER, CARD])
    old = Tokenizer.from_str(entries[TOKENIZER])
    counts = count(old, texts)
    if not counts:
        raise CheckpointError("the texts to trim by are empty")
    after, kept = trim(entries[TOKENIZER], counts, size)
    rows = int(manifest["architecture"]["vocabulary"])

    network = keep_rows(content, WORDS, rows, kept, "word embeddings")
    before = int(manifest["architecture"]["parameters"])
    parameters = before - (rows - len(kept)) * int(manifest["architecture"]["hidden_size"])
    manifest["architecture"] |= {"vocabulary": len(kept), "parameters": parameters}
    manifest["tokenizer_sha256"] = hashlib.sha256(after.encode()).hexdigest()
    note = f"Trimmed from {rows:,} wordpieces: how near the integers are to float32 was measured with all of them."
    entries[CARD] = card.with_introduction(entries[CARD], manifest, note)
    entries[TOKENIZER] = after
    _, without = save(output, network, entries, manifest)
    return Trimmed(
        vocabulary_before=rows,
        vocabulary=len(kept),
        parameters_before=before,
        parameters=parameters,
        texts=len(texts),
        tokens_before=counts.total(),
        tokens=count(Tokenizer.from_str(after), texts).total(),
        without_self_test=without,
    )
