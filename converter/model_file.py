"""The model file: a flatbuffer with a zip archive after it, as TFLite's metadata convention has it for labels and
vocabularies.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converter.errors import FormatError
from converter.integer import IntegerGraph, IntegerTensor
from converter.network import Head, Network
from edge_runtime import __version__

FORMAT_VERSION = 1
MINIMUM_RUNTIME = "0.1.0"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""date of every entry: equal contents give equal files"""

MANIFEST, TOKENIZER, CARD, PLAN = "manifest.json", "tokenizer.json", "card.md", "plan.json"


def manifest(
    network: Network,
    graph: IntegerGraph,
    flatbuffer: bytes,
    *,
    name: str,
    quantisation: Mapping[str, Any],
    accuracy: Mapping[str, Any],
) -> dict[str, Any]:
    """What the file says of itself; the runtime checks each field (`edge_runtime.manifest`)."""
    encoder = network.encoder
    outputs = {t.name: (i, t) for i, t in enumerate(graph.outputs)}
    return {
        "format_version": FORMAT_VERSION,
        "name": name,
        "minimum_runtime": MINIMUM_RUNTIME,
        "created_with": f"squeezebert-edge {__version__}",
        "flatbuffer": {"size": len(flatbuffer), "sha256": hashlib.sha256(flatbuffer).hexdigest()},
        "tokenizer_sha256": hashlib.sha256(network.tokenizer.encode()).hexdigest(),
        "architecture": {
            "family": network.family,
            "layers": len(encoder.layers),
            "hidden_size": encoder.hidden_size,
            "attention_heads": encoder.attention_heads,
            "vocabulary": len(encoder.word_embeddings),
            "parameters": network.parameters,
        },
        "max_length": network.max_length,
        "positions_per_type": len(encoder.position_embeddings),
        "token_types": len(encoder.type_embeddings),
        "heads": {head.name: _head(head, *outputs[head.name]) for head in network.heads},
        "quantisation": dict(quantisation),
        "accuracy": dict(accuracy),
        "source": {"checkpoint": network.source, "licence": network.licence},
    }


def _head(head: Head, output: int, tensor: IntegerTensor) -> dict[str, Any]:
    assert tensor.quantisation is not None
    result: dict[str, Any] = {
        "kind": head.kind,
        "output": output,
        "shape": ["S" if d < 0 else d for d in tensor.shape],
        "scale": float(tensor.quantisation.scale[0]),
        "zero_point": tensor.quantisation.zero_point,
    }
    if head.labels:
        result["labels"] = list(head.labels)
    if head.kind == "classification":
        result |= {"temperature": head.temperature, "threshold": head.threshold, "out_of_scope": head.out_of_scope}
    if head.reliability:
        result["reliability"] = list(head.reliability)
    return result


def assemble(flatbuffer: bytes, entries: Mapping[str, str]) -> bytes:
    """The whole file; `entries`: text by name."""
    buffer = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        for name, text in entries.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), text.encode())
    return buffer.getvalue()


def write(path: Path, content: bytes) -> None:
    """Aside and then renamed: a reader sees the old file or the new one.

    Raises:
        FormatError: the folder cannot be written to.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            aside = Path(file.name)
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), 0o644)
                aside.replace(path)
            except BaseException:
                aside.unlink()
                raise
    except OSError as error:
        raise FormatError(f"{path} cannot be written: {error.strerror or error}") from error


def read(path: Path) -> tuple[bytes, dict[str, str]]:
    """Flatbuffer and entries of a model file; a plain `.tflite` has no entries.

    Raises:
        FormatError: it cannot be read or is no TFLite file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}") from error
    if content[4:8] != b"TFL3":
        raise FormatError(f"{path} is no TFLite file: the identifier TFL3 is missing")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = {info.filename: archive.read(info).decode() for info in archive.infolist()}
            size = int(json.loads(entries[MANIFEST])["flatbuffer"]["size"])
    except (zipfile.BadZipFile, UnicodeDecodeError, KeyError, ValueError, TypeError):
        return content, {}
    return content[:size], entries
