"""NumPy arrays that are PyTorch tensors: with them `encoder.build` makes a graph whose constants PyTorch can train.

The graph's builder folds, scales, cuts and joins weights with NumPy. NumPy hands such operations to objects that offer
`__array_ufunc__` and `__array_function__` (NEP 13 and 18); this one lets PyTorch do them, gradients and all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converter.checkpoint.weights import Weights
from converter.errors import CheckpointError


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """A tensor with as much of an array's interface as the graph's builder uses."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    @property
    def values(self) -> NDArray[Any]:
        """What it holds now, for decisions: gradients do not pass."""
        return self.tensor.detach().numpy()

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, key: Any) -> Traced:
        return Traced(self.tensor[torch.from_numpy(key) if isinstance(key, np.ndarray) else _key(key)])

    def reshape(self, *shape: int) -> Traced:
        return Traced(self.tensor.reshape(*shape))

    def centred(self, axis: int) -> Traced:
        """As `exact.centred`."""
        return Traced(self.tensor - self.tensor.mean(dim=axis, keepdim=True))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        operation = _UFUNCS.get(ufunc)
        if operation is None or method != "__call__" or options:
            return NotImplemented
        return Traced(operation(*map(_tensor, inputs)))

    def __array_function__(
        self, function: Callable[..., Any], types: Sequence[type], args: Sequence[Any], options: Mapping[str, Any]
    ) -> Any:
        del types
        if function is np.split and not options:
            x, parts = args
            return [Traced(part) for part in torch.chunk(x.tensor, parts)]
        if function is np.concatenate and set(options) <= {"axis"}:
            return Traced(torch.cat([_tensor(part) for part in args[0]], dim=options.get("axis", 0)))
        if function is np.zeros_like and not options:
            return np.zeros(args[0].shape, np.float32)
        return NotImplemented


_UFUNCS: dict[np.ufunc, Callable[..., torch.Tensor]] = {
    np.add: torch.add,
    np.subtract: torch.sub,
    np.multiply: torch.mul,
    np.true_divide: torch.div,
    np.matmul: torch.matmul,
}


def _tensor(value: Any) -> torch.Tensor:
    return value.tensor if isinstance(value, Traced) else torch.as_tensor(value, dtype=torch.float32)


def _key(key: Any) -> Any:
    """Of an index with several parts, those that are arrays as tensors."""
    if isinstance(key, tuple):
        return tuple(torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in key)
    return key


class LiveWeights(Weights):
    """The weights of a model in training, under the names that its checkpoint has."""

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        self._parameters = dict(parameters)

    def __contains__(self, name: str) -> bool:
        return name in self._parameters

    def rows(self, name: str) -> int:
        return len(self._parameters[name])

    def take(self, name: str, *shape: int) -> Any:
        """As `Weights.take`, but `Traced`."""
        if name not in self._parameters:
            raise CheckpointError(f"the weight {name} is missing in the model that is trained")
        return Traced(self._parameters[name].reshape(shape))
