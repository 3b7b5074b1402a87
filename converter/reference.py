"""A checkpoint in float32 behind the runtime's own methods: what its integers are held against."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from converter import checkpoint, encoder, exact
from converter.execution import Evaluation, Execution
from converter.graph import Op, Operator
from converter.network import Array, Head, Network
from converter.softmax import normaliser
from edge_runtime import __version__
from edge_runtime import manifest as runtime
from edge_runtime.model import Model
from edge_runtime.windows import Overflow

BACKEND = "float32"


def load(folder: Path, overflow: Overflow) -> Model:
    """The checkpoint in `folder` as a model that can be asked as any other; its heads are those that `convert` makes.

    Raises:
        CheckpointError: it cannot be read.
    """
    network = checkpoint.read(folder)
    return Model(_Checkpoint(folder, network), _Float32(network), "asked for a checkpoint", 1, overflow)


@dataclass
class _Checkpoint:
    """In the place of a model file."""

    path: Path
    network: Network

    def __post_init__(self) -> None:
        network, tokenizer = self.network, self.network.tokenizer.encode()
        positions, types = network.encoder.position_embeddings, network.encoder.type_embeddings
        self.size = sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())
        self.digest = hashlib.sha256(tokenizer).hexdigest()
        self.manifest = runtime.Manifest(
            name=network.source,
            minimum_runtime=__version__,
            flatbuffer_size=0,
            flatbuffer_sha256="",
            tokenizer_sha256=self.digest,
            vocabulary=len(network.encoder.word_embeddings),
            max_length=network.max_length,
            positions_per_type=len(positions),
            token_types=len(types),
            heads=tuple(_head(head, place, network) for place, head in enumerate(network.heads)),
            created_with=f"squeezebert-edge {__version__}",
            architecture={"family": network.family},
            quantisation={},
            accuracy={},
            source={"checkpoint": network.source, "licence": network.licence},
        )

    def tokenizer(self) -> bytes:
        return self.network.tokenizer.encode()

    def close(self) -> None:
        """Nothing is open."""


class _Float32:
    """In the place of a TFLite runtime: the graph of the network, as fast as NumPy goes."""

    name = BACKEND
    version = np.__version__
    weight_cache: Path | None = None

    def __init__(self, network: Network) -> None:
        self._heads = [head.name for head in network.heads]
        self._execution = Execution(encoder.build(network), weights=np.ascontiguousarray)

    def run(self, ids: NDArray[np.int32], positions: NDArray[np.int32]) -> list[NDArray[Any]]:
        """Logits themselves: the manifest's heads have the scale 1."""
        with threadpool_limits(limits=1, user_api="blas"):
            outputs = self._execution.run({"ids": ids[None], "positions": positions[None]}, evaluate=_FAST)
        return [outputs[name] for name in self._heads]

    def close(self) -> None:
        """Frees the weights."""
        del self._execution


def _head(head: Head, place: int, network: Network) -> runtime.Head:
    widths = {"answer": 2, "choice": 1, "fill": len(network.encoder.word_embeddings)}
    return runtime.Head(
        name=head.name,
        kind=head.kind,
        output=place,
        width=len(head.labels) or widths.get(head.kind, network.encoder.hidden_size),
        scale=1.0,
        zero_point=0,
        labels=head.labels,
        temperature=head.temperature,
        threshold=head.threshold,
        out_of_scope=head.out_of_scope,
        reliability=head.reliability,
    )


# -- the operators that `execution` computes to the same bits everywhere, at the price of a multiple of the time


def _linear(operator: Operator, x: Array, weight: Array, bias: Array) -> tuple[Array]:
    y = x.reshape(-1, x.shape[-1]) @ weight.T
    y += bias
    ceiling = operator.attributes["ceiling"]
    if ceiling is not None:
        np.minimum(y, np.float32(ceiling), out=y)  # type: ignore[arg-type]
    if operator.attributes["relu"]:
        np.maximum(y, 0, out=y)
    return (y.reshape(*x.shape[:-1], -1),)


def _inverse_deviation(operator: Operator, *centred: Array) -> tuple[Array, ...]:
    a = operator.attributes
    squares = sum(np.square(x).sum(axis=-1, keepdims=True, dtype=np.float64) for x in centred)
    inverse = 1 / np.sqrt(squares / a["count"] + a["epsilon"])
    return tuple((inverse / f).astype(np.float32) for f in (1.0, *a["factors"]))  # type: ignore[misc]


def _row_normaliser(_: Operator, x: Array, __: NDArray[np.int32]) -> tuple[Array, Array]:
    return normaliser(x.sum(axis=-1, keepdims=True, dtype=np.float64))


def _gelu(operator: Operator, x: Array) -> tuple[Array]:
    if operator.attributes["approximate"]:
        return (np.float32(0.5) * x * (1 + np.tanh(np.float32(0.7978845608) * (x + np.float32(0.044715) * x * x * x))),)
    size = np.abs(x) * np.float32(exact.SQUARE_ROOT_OF_HALF)
    t = 1 / (1 + np.float32(exact.ERF_T) * size)
    series = np.zeros_like(t)
    for coefficient in exact.ERF[::-1]:
        series = series * t + np.float32(coefficient)
    return (np.float32(0.5) * x * (1 + np.copysign(1 - t * series * np.exp(-size * size), x)),)


def _mean(operator: Operator, x: Array) -> tuple[Array]:
    axis = operator.attributes["axis"]
    assert isinstance(axis, int)
    return (x.mean(axis=axis, keepdims=True),)


_FAST: Mapping[Op, Evaluation] = {
    Op.LINEAR: _linear,
    Op.MEAN: _mean,
    Op.INVERSE_DEVIATION: _inverse_deviation,
    Op.MATMUL: lambda _, a, b: (a @ b.swapaxes(-1, -2),),
    Op.EXPONENTIAL: lambda _, x: (np.exp(x),),
    Op.ROW_NORMALISER: _row_normaliser,
    Op.GELU: _gelu,
    Op.TANH: lambda _, x: (np.tanh(x),),
}
