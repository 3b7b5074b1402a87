"""The classic `Interpreter` of LiteRT and tflite-runtime. It maps the model but keeps packed weights to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.backends.backend import mismatch
from edge_runtime.backends.native_library import captured
from edge_runtime.errors import BackendError, ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_runtime.manifest import Head


class InterpreterBackend:
    """One network in an `Interpreter`."""

    def __init__(
        self, interpreter: type[Any], name: str, version: str, path: str, heads: Sequence[Head], threads: int
    ) -> None:
        """Load the network at `path` with an `Interpreter` class of either package.

        Raises:
            BackendError: the interpreter cannot load it.
            ModelError: its interface is not the manifest's.
        """
        self.name = name
        self.version = version
        self.weight_cache: Path | None = None
        self._heads = list(heads)
        self._length = 0
        with captured():
            try:
                self._interpreter: Any = interpreter(model_path=path, num_threads=threads)
            except (RuntimeError, ValueError, TypeError) as error:
                raise BackendError(f"{name} {version} cannot load the network: {error}") from None
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        wrong = mismatch(
            [(detail["name"], np.dtype(detail["dtype"]).name) for detail in inputs],
            [(detail["name"], np.dtype(detail["dtype"]).name, int(detail["shape"][-1])) for detail in outputs],
            self._heads,
        )
        if wrong:
            raise ModelError(wrong)
        for head, detail in zip(self._heads, outputs, strict=True):
            scale, zero_point = detail["quantization"]
            if np.float32(scale) != np.float32(head.scale) or zero_point != head.zero_point:
                raise ModelError(f"the scale of output {head.name} differs between the network and the manifest")
        self._inputs = [detail["index"] for detail in inputs]
        self._outputs = [detail["index"] for detail in outputs]

    def run(self, ids: NDArray[np.int32], positions: NDArray[np.int32]) -> list[NDArray[np.int8]]:
        """See `backend.Backend.run`."""
        length = len(ids)
        try:
            if length != self._length:
                self._resize(length)
            for index, values in zip(self._inputs, (ids, positions), strict=True):
                self._interpreter.set_tensor(index, values[np.newaxis])
            self._interpreter.invoke()
            results: list[NDArray[np.int8]] = []
            for head, index in zip(self._heads, self._outputs, strict=True):
                rows = length if head.per_token else 1
                results.append(self._interpreter.get_tensor(index).reshape(rows, head.width))
        except (RuntimeError, ValueError) as error:
            self._length = 0
            raise BackendError(f"{self.name} {self.version} failed on {length} tokens: {error}") from None
        return results

    def _resize(self, length: int) -> None:
        self._length = 0
        for index in self._inputs:
            self._interpreter.resize_tensor_input(index, [1, length])
        with captured():
            self._interpreter.allocate_tensors()
        self._length = length

    def close(self) -> None:
        """See `backend.Backend.close`."""
        self._interpreter = None
