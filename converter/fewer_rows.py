"""A finished model file with fewer rows in a table of its embeddings: nothing is trained or converted again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter import flatbuffer
from converter.errors import FormatError
from converter.model_file import MANIFEST, assemble, read, write
from edge_runtime.self_test import FIELD


def opened(file: Path, needed: Sequence[str]) -> tuple[bytes, dict[str, str], dict[str, Any]]:
    """A model file's flatbuffer, its other entries, and of these the manifest.

    Raises:
        FormatError: it cannot be read, or lacks an entry of `needed`.
    """
    content, entries = read(file)
    for name in (MANIFEST, *needed):
        if name not in entries:
            raise FormatError(f"{file} has no {name}; it was not made by edge-converter")
    return content, entries, json.loads(entries[MANIFEST])


def keep_rows(
    content: bytes, tables: re.Pattern[bytes], rows: int, kept: Sequence[int] | NDArray[np.int64], what: str
) -> bytes:
    """The flatbuffer with only the rows `kept` of the tensors whose names match `tables`, which have `rows` each.

    Raises:
        FormatError: there are no such tensors; `what` they hold, in words.
    """

    def leave_out(model: Any) -> None:
        tensors = [tensor for tensor in model.subgraphs[0].tensors if tables.fullmatch(tensor.name)]
        if not tensors or any(tensor.shape[0] != rows for tensor in tensors):
            raise FormatError(f"the network has no table of {rows} {what}")
        for tensor in tensors:
            buffer = model.buffers[tensor.buffer]
            buffer.data = np.ascontiguousarray(buffer.data.reshape(tensor.shape)[kept])
            tensor.shape = [len(kept), *tensor.shape[1:]]

    return flatbuffer.rewrite(content, leave_out)


def save(output: Path, network: bytes, entries: Mapping[str, str], manifest: Mapping[str, Any]) -> tuple[int, bool]:
    """Writes the changed model file; the questions of its self-test stay behind, for it may answer them otherwise.

    Returns:
        its bytes, and whether there were such questions.

    Raises:
        FormatError: `output` cannot be written.
    """
    digest = {"size": len(network), "sha256": hashlib.sha256(network).hexdigest()}
    changed = {name: value for name, value in manifest.items() if name != FIELD} | {"flatbuffer": digest}
    whole = assemble(network, {**entries, MANIFEST: json.dumps(changed, ensure_ascii=False, indent=1)})
    write(output, whole)
    return len(whole), FIELD in manifest
