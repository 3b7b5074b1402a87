"""manifest.json: what a model file says of itself, checked field by field before anything is believed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from edge_runtime.errors import ModelError

FORMAT_VERSION = 1
MAX_VERSION = 2**31 - 1
"""of a model, which counts from 1; the runtime leaves it alone, and what puts models on boards does not"""

MAX_HEADS = 16
"""a model has one or two; each costs a buffer"""
MAX_LABELS = 100_000
"""more than any vocabulary; a bound for memory"""
MAX_LABEL_LENGTH = 256
"""characters; labels are printed and put on the wire"""
MAX_TOKENS = 65_536
"""longest sequence a manifest may promise"""
MAX_VOCABULARY = 1 << 24
"""rows of an embedding table; a bound for a fill head's output"""

Kind = Literal["classification", "tagging", "answer", "fill", "choice", "embedding", "hidden", "pooled"]
Dimension = int | Literal["S"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""of a model or a head: a file name and a word of the wire protocol, whatever the system"""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})")
_PER_TOKEN = {"tagging", "answer", "fill", "hidden"}


@dataclass(frozen=True, slots=True)
class Head:
    """One output of the network. A real value is `scale · (q − zero_point)`."""

    name: str
    kind: Kind
    output: int
    """place among the flatbuffer's outputs"""
    width: int
    """values per token (or per text): the last dimension"""
    scale: float
    zero_point: int
    labels: tuple[str, ...] = ()
    temperature: float = 1.0
    """logits are divided by it before softmax (Guo et al., 2017, "On Calibration of Modern Neural Networks")"""
    threshold: float = 0.0
    """a probability below it means "not recognised" """
    out_of_scope: str | None = None
    """the label that itself means "not recognised" """
    reliability: tuple[float, ...] = ()
    """of each label, 0 to 1: how far it can be believed, for it attracts texts that mean none; empty: all of them 1"""

    @property
    def per_token(self) -> bool:
        """Whether there is a row for each token (`[S, width]`) rather than one for the text (`[1, width]`)."""
        return self.kind in _PER_TOKEN


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of manifest.json that the runtime relies on, and those that it only shows."""

    name: str
    minimum_runtime: str
    flatbuffer_size: int
    """bytes"""
    flatbuffer_sha256: str
    tokenizer_sha256: str
    vocabulary: int
    max_length: int
    """tokens, special ones included"""
    positions_per_type: int
    token_types: int
    heads: tuple[Head, ...]
    created_with: str
    architecture: Mapping[str, Any]
    quantisation: Mapping[str, Any]
    accuracy: Mapping[str, Any]
    source: Mapping[str, Any]


def parse(text: bytes, runtime_version: str) -> Manifest:
    """Check manifest.json and return it.

    Raises:
        ModelError: naming the field that is missing or wrong, or the version that is too new.
    """
    try:
        root = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"manifest.json is not JSON: {error}") from None
    fields = _Fields("", root)
    version = fields.integer("format_version", 1, 1 << 31)
    if version != FORMAT_VERSION:
        raise ModelError(
            f"the model file has format version {version}, this runtime reads {FORMAT_VERSION}; update squeezebert-edge"
        )
    minimum = fields.match("minimum_runtime", _VERSION)
    if _numbers(minimum) > _numbers(runtime_version):
        raise ModelError(f"the model asks for runtime {minimum} and this is {runtime_version}; update squeezebert-edge")
    flatbuffer = fields.fields("flatbuffer")
    architecture = fields.fields("architecture")
    max_length = fields.integer("max_length", 3, MAX_TOKENS)
    vocabulary = architecture.integer("vocabulary", 1, MAX_VOCABULARY)
    return Manifest(
        name=fields.match("name", NAME),
        minimum_runtime=minimum,
        flatbuffer_size=flatbuffer.integer("size", 8, 1 << 31),
        flatbuffer_sha256=flatbuffer.match("sha256", _DIGEST),
        tokenizer_sha256=fields.match("tokenizer_sha256", _DIGEST),
        vocabulary=vocabulary,
        max_length=max_length,
        positions_per_type=fields.integer("positions_per_type", max_length, MAX_TOKENS),
        token_types=fields.integer("token_types", 1, 16),
        heads=_heads(fields.fields("heads"), vocabulary),
        created_with=fields.string("created_with", ""),
        architecture=architecture.values,
        quantisation=fields.free("quantisation"),
        accuracy=fields.free("accuracy"),
        source=fields.free("source"),
    )


def _numbers(version: str) -> tuple[int, ...]:
    match = _VERSION.match(version)
    return tuple(int(part) for part in match.groups()) if match else ()


def _heads(fields: _Fields, vocabulary: int) -> tuple[Head, ...]:
    names = list(fields.values)
    if not 1 <= len(names) <= MAX_HEADS:
        raise ModelError(f"manifest.json: heads must be 1 to {MAX_HEADS}, not {len(names)}")
    return tuple(_head(name, place, fields.fields(name), vocabulary) for place, name in enumerate(names))


def _head(name: str, place: int, fields: _Fields, vocabulary: int) -> Head:
    if not NAME.fullmatch(name):
        raise ModelError(f"manifest.json: {name[:100]!r} cannot be a head's name")
    kind = fields.string("kind")
    if kind not in get_args(Kind):
        raise ModelError(f"manifest.json: heads.{name}.kind {kind[:100]!r} is not one that this runtime knows")
    head = Head(
        name=name,
        kind=cast(Kind, kind),
        output=fields.integer("output", place, place),
        width=fields.last_dimension("shape", "S" if kind in _PER_TOKEN else 1),
        scale=fields.number("scale", 1e-12, 1e12),
        zero_point=fields.integer("zero_point", -128, 127),
        labels=fields.strings("labels"),
        temperature=fields.number("temperature", 1e-6, 1e6, 1.0),
        threshold=fields.number("threshold", 0.0, 1.0, 0.0),
        out_of_scope=fields.string("out_of_scope", "") or None,
        reliability=fields.shares("reliability"),
    )
    if head.reliability and len(head.reliability) != len(head.labels):
        raise ModelError(f"manifest.json: heads.{name}.reliability must have a number for each label")
    widths = {"answer": 2, "choice": 1, "fill": vocabulary}
    if kind in ("classification", "tagging"):
        widths[kind] = len(head.labels)
    if head.width != widths.get(kind, head.width):
        raise ModelError(
            f"manifest.json: heads.{name}.shape ends in {head.width}, which does not fit its kind or labels"
        )
    return head


class _Fields:
    """One JSON object whose fields are fetched with their types and limits."""

    def __init__(self, path: str, values: object) -> None:
        if not isinstance(values, dict):
            raise ModelError(f"manifest.json: {path or 'the whole'} must be an object")
        self.path = path
        self.values: dict[str, Any] = values

    def _get(self, key: str, kinds: type | tuple[type, ...], default: object = None) -> Any:
        value = self.values.get(key)
        if value is None:
            value = default
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ModelError(f"manifest.json: {self.path}{key} is missing or has the wrong type")
        return value

    def fields(self, key: str) -> _Fields:
        return _Fields(f"{self.path}{key}.", self.values.get(key))

    def free(self, key: str) -> Mapping[str, Any]:
        return cast(dict[str, Any], self._get(key, dict, {}))

    def integer(self, key: str, low: int, high: int) -> int:
        value = cast(int, self._get(key, int))
        if not low <= value <= high:
            raise ModelError(f"manifest.json: {self.path}{key} must lie between {low} and {high}")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        value = self._get(key, (int, float), default)
        if not (low <= value <= high and math.isfinite(value)):
            raise ModelError(f"manifest.json: {self.path}{key} must lie between {low:g} and {high:g}")
        return float(value)

    def string(self, key: str, default: str | None = None) -> str:
        return cast(str, self._get(key, str, default))

    def match(self, key: str, pattern: re.Pattern[str]) -> str:
        value = self.string(key)
        if not pattern.fullmatch(value):
            raise ModelError(f"manifest.json: {self.path}{key} is not as it should be: {value[:100]!r}")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        values = cast(list[object], self._get(key, list, []))
        good = [value for value in values if isinstance(value, str) and 0 < len(value) <= MAX_LABEL_LENGTH]
        if len(good) != len(values) or len(values) > MAX_LABELS or len(set(good)) != len(good):
            raise ModelError(f"manifest.json: {self.path}{key} must be different, short, non-empty strings")
        return tuple(good)

    def shares(self, key: str) -> tuple[float, ...]:
        values = cast(list[object], self._get(key, list, []))
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        good = [float(value) for value in numbers if 0 <= value <= 1]
        if len(good) != len(values) or len(values) > MAX_LABELS:
            raise ModelError(f"manifest.json: {self.path}{key} must be numbers from 0 to 1")
        return tuple(good)

    def last_dimension(self, key: str, first: Dimension) -> int:
        shape: Sequence[object] = self._get(key, list)
        if len(shape) != 2 or shape[0] != first or type(shape[1]) is not int or not 1 <= shape[1] <= MAX_VOCABULARY:
            raise ModelError(f"manifest.json: {self.path}{key} must be [{first}, a number of values]")
        return shape[1]
