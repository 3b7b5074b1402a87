"""The weights of a checkpoint by name, whatever files they are in, as float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converter.checkpoint.json_file import read_object
from converter.errors import CheckpointError
from converter.network import Array, LayerNorm, Linear

SCALE = ".scale"
"""after a weight's name: the float32 step of each row of a weight that is stored in eight bits (`compact`)"""
_FLOATS = {"F64", "F32", "F16", "BF16"}
# BERT checkpoints converted from TensorFlow before 2019 call LayerNorm's weight gamma and its bias beta.
_OLD_NAMES = {".gamma": ".weight", ".beta": ".bias"}


@dataclass(frozen=True)
class StoredTensor:
    """One tensor as its file holds it, turned into float32 only when it is asked for."""

    kind: str
    """safetensors' name of the type: F64, F32, F16, BF16, I64 …"""
    shape: tuple[int, ...]
    data: bytes | bytearray | memoryview

    def to_float32(self) -> Array:
        """Raises KeyError for a type that is not a float."""
        if self.kind == "BF16":
            # A bfloat16 is the upper half of a float32.
            upper = np.frombuffer(self.data, dtype="<u2").astype("<u4")
            return (upper << 16).view(np.float32).reshape(self.shape)
        stored = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[self.kind]
        return np.frombuffer(self.data, dtype=stored).astype(np.float32).reshape(self.shape)


class Weights:
    """Weights by name. Every one taken is checked for its shape and for values that are not finite."""

    def __init__(self, tensors: Mapping[str, StoredTensor], source: Path) -> None:
        self._tensors = {_present_name(name): tensor for name, tensor in tensors.items()}
        self.source = source
        """the file that errors name"""

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def floats(self) -> Iterator[str]:
        """Names of what `take` gives: no scales of eight-bit weights, and no whole numbers, such as the table of
        positions that transformers once saved and makes anew.
        """
        for name, tensor in self._tensors.items():
            eight_bits = tensor.kind == "I8" and name + SCALE in self
            if (tensor.kind in _FLOATS or eight_bits) and not name.endswith(SCALE):
                yield name

    def rows(self, name: str) -> int:
        """The first dimension of a weight. Raises CheckpointError if it is missing or has none."""
        shape = self._find(name).shape
        if not shape:
            raise CheckpointError(f"{self.source}: weight {name} is a single number; a matrix was expected")
        return shape[0]

    def shape(self, name: str) -> tuple[int, ...]:
        """Raises CheckpointError if it is missing."""
        return self._find(name).shape

    def take(self, name: str, *shape: int) -> Array:
        """The weight `name` as float32 `shape`.

        A convolution of kernel size 1 (`[out, in / groups, 1]`) is given as the matrix it is.

        Raises:
            CheckpointError: the weight is missing, has another shape, is not a float, or holds NaN or infinity.
        """
        tensor = self._find(name)
        if tensor.shape not in (shape, (*shape, 1)) or (tensor.shape != shape and len(shape) != 2):
            raise CheckpointError(
                f"{self.source}: weight {name} has the shape {list(tensor.shape)}, config.json asks for {list(shape)}"
            )
        try:
            values = self._floats(name, tensor).reshape(shape)
        except KeyError:
            raise CheckpointError(
                f"{self.source}: weight {name} is stored as {tensor.kind}; F32, F16, BF16 or F64 was expected"
            ) from None
        if not np.isfinite(values).all():
            raise CheckpointError(f"{self.source}: weight {name} holds values that are not finite (NaN or infinity)")
        return values

    def linear(self, name: str, outputs: int, inputs: int, groups: int = 1) -> Linear:
        """The fully-connected layer `name`.weight `[outputs, inputs / groups]` and `name`.bias `[outputs]`."""
        return Linear(
            weight=self.take(f"{name}.weight", outputs, inputs // groups),
            bias=self.take(f"{name}.bias", outputs),
            groups=groups,
        )

    def layer_norm(self, name: str, width: int, epsilon: float) -> LayerNorm:
        return LayerNorm(self.take(f"{name}.weight", width), self.take(f"{name}.bias", width), epsilon)

    def _floats(self, name: str, tensor: StoredTensor) -> Array:
        """Raises KeyError for a type that is neither a float nor eight bits with a scale for every row."""
        if tensor.kind != "I8" or name + SCALE not in self:
            return tensor.to_float32()
        steps = np.frombuffer(tensor.data, np.int8).reshape(tensor.shape)
        scales = self.take(name + SCALE, tensor.shape[0])
        values: Array = steps * scales.reshape(-1, *[1] * (steps.ndim - 1))
        return values

    def _find(self, name: str) -> StoredTensor:
        if name not in self._tensors:
            raise CheckpointError(f"{self.source}: the weight {name} is missing")
        return self._tensors[name]


def open_weights(folder: Path) -> Weights:
    """Finds the weight files of a checkpoint folder: safetensors before PyTorch's own, whole before sharded.

    Raises:
        CheckpointError: there are none, a shard is missing, or a file is damaged.
    """
    for name, read_file in (("model.safetensors", _read_safetensors), ("pytorch_model.bin", _read_pytorch)):
        whole, index = folder / name, folder / f"{name}.index.json"
        if whole.is_file():
            return Weights(read_file(whole), whole)
        if index.is_file():
            tensors: dict[str, StoredTensor] = {}
            for shard in _shards(index):
                tensors.update(read_file(shard))
            return Weights(tensors, index)
    raise CheckpointError(
        f"{folder} has no weights: neither model.safetensors nor pytorch_model.bin, nor an index of shards"
    )


def _shards(index: Path) -> list[Path]:
    weight_map = read_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(n, str) for n in weight_map.values()):
        raise CheckpointError(f"{index} has no usable weight_map (weight name to file name)")
    shards = []
    for name in sorted(set(weight_map.values())):
        if Path(name).name != name:
            raise CheckpointError(f"{index} names the file {name!r}, which is not in its own folder")
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index} names {name}, which is missing: the download is not complete")
        shards.append(index.parent / name)
    return shards


def _read_safetensors(path: Path) -> dict[str, StoredTensor]:
    # The raw bytes, because safetensors' numpy interface has no bfloat16.
    from safetensors import SafetensorError, deserialize

    try:
        content = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or not a safetensors file: {error}") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    return {name: StoredTensor(view["dtype"], tuple(view["shape"]), view["data"]) for name, view in content}


def _read_pytorch(path: Path) -> dict[str, StoredTensor]:
    try:
        import torch
    except ImportError:
        raise CheckpointError(
            f"{path} is a PyTorch file and PyTorch is not installed; install squeezebert-edge[train], or save the "
            "checkpoint as model.safetensors"
        ) from None
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch documents no set of exceptions: zipfile, pickle, runtime and OS errors all occur
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is damaged or holds more than weights: {reason}") from error
    if not isinstance(content, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in content.values()):
        raise CheckpointError(f"{path} does not hold a dictionary of weights")
    return {str(name): _from_torch(tensor) for name, tensor in content.items()}


def _from_torch(tensor: Any) -> StoredTensor:
    import torch

    kind = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}.get(tensor.dtype)
    if kind is None:
        return StoredTensor(str(tensor.dtype), tuple(tensor.shape), b"")
    plain = tensor.detach().contiguous()
    values = plain.view(torch.int16).numpy() if kind == "BF16" else plain.numpy()
    return StoredTensor(kind, tuple(tensor.shape), values.tobytes())


def _present_name(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name
