"""manifest.json, field by field."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from edge_runtime import ModelError
from edge_runtime.manifest import Manifest, parse

GOOD: dict[str, Any] = {
    "format_version": 1,
    "name": "assistant",
    "minimum_runtime": "0.1.0",
    "flatbuffer": {"size": 100, "sha256": "0" * 64},
    "tokenizer_sha256": "1" * 64,
    "architecture": {"vocabulary": 200},
    "max_length": 48,
    "positions_per_type": 64,
    "token_types": 2,
    "heads": {
        "intent": {
            "kind": "classification",
            "output": 0,
            "shape": [1, 2],
            "scale": 0.1,
            "zero_point": 3,
            "labels": ["on", "off"],
            "temperature": 1.5,
            "threshold": 0.25,
            "out_of_scope": "off",
            "reliability": [1, 0.25],
        },
        "slots": {
            "kind": "tagging",
            "output": 1,
            "shape": ["S", 3],
            "scale": 0.2,
            "zero_point": -4,
            "labels": ["O", "B-x", "I-x"],
        },
        "vector": {"kind": "embedding", "output": 2, "shape": [1, 32], "scale": 1, "zero_point": 0},
    },
    "source": {"licence": "CC0"},
}


def changed(path: str, value: Any) -> bytes:
    """GOOD with one field set, or removed if the value is Ellipsis."""
    root = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    fields = root
    for parent in parents:
        fields = fields[parent]
    if value is ...:
        del fields[last]
    else:
        fields[last] = value
    return json.dumps(root).encode()


def read(text: bytes) -> Manifest:
    return parse(text, "0.1.0")


def test_good_manifest() -> None:
    """Every field arrives, with defaults for what may be left out."""
    manifest = read(json.dumps(GOOD).encode())
    intent, slots, vector = manifest.heads
    assert (manifest.name, manifest.max_length, manifest.positions_per_type) == ("assistant", 48, 64)
    assert (intent.labels, intent.temperature, intent.threshold, intent.out_of_scope) == (
        ("on", "off"),
        1.5,
        0.25,
        "off",
    )
    assert (slots.per_token, slots.width, slots.temperature, slots.out_of_scope) == (True, 3, 1.0, None)
    assert (vector.per_token, vector.width, vector.scale) == (False, 32, 1.0)
    assert manifest.accuracy == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format_version", 2),
        ("format_version", "1"),
        ("format_version", True),
        ("name", ""),
        ("name", "../../etc/passwd"),
        ("name", ...),
        ("minimum_runtime", "0.2.0"),
        ("minimum_runtime", "soon"),
        ("flatbuffer", []),
        ("flatbuffer.size", -1),
        ("flatbuffer.size", 1e3),
        ("flatbuffer.sha256", "0" * 63),
        ("tokenizer_sha256", None),
        ("architecture", ...),
        ("architecture.vocabulary", 0),
        ("max_length", 2),
        ("max_length", 1 << 40),
        ("positions_per_type", 47),
        ("token_types", 0),
        ("heads", {}),
        ("heads", {str(place): {} for place in range(17)}),
        ("heads.intent", "classification"),
        ("heads.intent.kind", "astrology"),
        ("heads.intent.reliability", [0.5]),
        ("heads.intent.reliability", [0.5, 1.5]),
        ("heads.intent.reliability", [0.5, True]),
        ("heads.intent.reliability", [0.5, "1"]),
        ("heads.intent.reliability", [0.5, float("nan")]),
        ("heads.intent.reliability", {"on": 1}),
        ("heads.intent.output", 1),
        ("heads.intent.shape", [1, 3]),
        ("heads.intent.shape", ["S", 2]),
        ("heads.intent.shape", [1]),
        ("heads.intent.shape", [1, 2.0]),
        ("heads.intent.scale", 0),
        ("heads.intent.scale", float("nan")),
        ("heads.intent.scale", float("inf")),
        ("heads.intent.zero_point", 128),
        ("heads.intent.labels", ["on", "on"]),
        ("heads.intent.labels", ["on", 3]),
        ("heads.intent.labels", ["on", ""]),
        ("heads.intent.labels", ["on", "x" * 300]),
        ("heads.intent.temperature", 0),
        ("heads.intent.threshold", 1.5),
        ("heads.slots.shape", [1, 3]),
        ("source", "here"),
    ],
)
def test_wrong_field(path: str, value: Any) -> None:
    """A field that is missing, of the wrong type or out of range is a ModelError."""
    with pytest.raises(ModelError):
        read(changed(path, value))


def test_newer_formats_say_so() -> None:
    """A file for a newer runtime tells the user to update."""
    for path, value in [("format_version", 7), ("minimum_runtime", "9.0.0")]:
        with pytest.raises(ModelError, match="update squeezebert-edge"):
            read(changed(path, value))


@pytest.mark.parametrize(
    "text", [b"", b"\xff", b"[1]", b"{", b"[" * 100_000, b'{"format_version": ' + b"9" * 5000 + b"}"]
)
def test_no_json_object(text: bytes) -> None:
    """What is no JSON object, or a hostile one, is a ModelError."""
    with pytest.raises(ModelError):
        read(text)
