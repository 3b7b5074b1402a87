"""LiteRT's `CompiledModel`: the fast way in, with XNNPACK's weight cache.

Import this module only where `cpu.Cpu.runs_compiled_model` holds: on a 64-bit ARM core without LSE atomics the very
library aborts the process.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert import __version__ as litert_version

from edge_runtime.backends import number_types
from edge_runtime.backends.backend import SIGNATURE, mismatch
from edge_runtime.backends.native_library import captured, release_freed_memory, silence_exit
from edge_runtime.backends.weight_cache import MappedCache, WeightCache
from edge_runtime.errors import BackendError, ModelError

number_types.import_front()
# after it, for they import it
from ai_edge_litert.compiled_model import (  # noqa: E402
    CompiledModel,
    CpuOptions,
    Environment,
    EnvironmentOptions,
    Options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_runtime.manifest import Head

# LiteRT looks here for GPU and NPU plug-ins. This folder has none, which spares 10 ms and 20 MB of looking elsewhere.
_NO_PLUGINS = str(Path(__file__).parent)


class CompiledBackend:
    """One network in a `CompiledModel`."""

    name = "litert-compiled"
    version = str(litert_version)

    def __init__(
        self,
        path: str,
        heads: Sequence[Head],
        threads: int,
        cache: WeightCache | None = None,
        probe: Sequence[int] = (0,),
    ) -> None:
        """Load the network at `path`, with its packed weights from `cache`, which is filled first if it is empty.

        Args:
            path: of the network.
            heads: as the manifest has them.
            threads: at least 1.
            cache: for packed weights.
            probe: token ids on which a new cache must give the same outputs as no cache.

        Raises:
            BackendError: LiteRT cannot load it.
            ModelError: its interface is not the manifest's.
        """
        self._path = path
        self._threads = threads
        self._heads = list(heads)
        self._mapped: MappedCache | None = None
        self.weight_cache: Path | None = None
        try:
            with captured():
                self._environment = Environment.create(
                    options=EnvironmentOptions(
                        runtime_path=_NO_PLUGINS, compiler_plugin_path=_NO_PLUGINS, dispatch_library_path=_NO_PLUGINS
                    )
                )
                model = self._load_cached(cache, np.array(probe, np.int32)) or self._load("")
                self._network = _Network(model, self._heads)
                # Filling a first buffer, LiteRT sets up its last parts and says so at length.
                self._network.resize(1)
                silence_exit()
        except BaseException:
            self._unmap()
            raise

    def _load(self, cache_path: str) -> Any:
        options = Options(cpu_options=CpuOptions(num_threads=self._threads, xnnpack_weight_cache_path=cache_path))
        try:
            model = CompiledModel.from_file(self._path, environment=self._environment, options=options)
        except (RuntimeError, ValueError, TypeError) as error:
            raise BackendError(f"LiteRT {self.version} cannot load the network: {error}") from None
        self._check_interface(model)
        return model

    def _check_interface(self, model: Any) -> None:
        signatures = model.get_signature_list()
        if list(signatures) != [SIGNATURE]:
            raise ModelError(f"the network has the signatures {list(signatures)}, not {SIGNATURE}")
        inputs = model.get_input_tensor_details(SIGNATURE)
        outputs = model.get_output_tensor_details(SIGNATURE)
        signature = signatures[SIGNATURE]
        wrong = mismatch(
            [(name, inputs[name]["dtype"]) for name in signature["inputs"]],
            [(name, outputs[name]["dtype"], int(outputs[name]["shape"][-1])) for name in signature["outputs"]],
            self._heads,
        )
        if wrong:
            raise ModelError(wrong)

    def _load_cached(self, cache: WeightCache | None, probe: NDArray[np.int32]) -> Any:
        """The model with its weights mapped from a verified cache, or None if there can be no such cache."""
        if cache is None:
            return None
        mapped = cache.open()
        if mapped is None:
            with suppress(BackendError):
                cache.build(lambda path: self._pack(path, probe), Path(self._path).stat().st_size)
            release_freed_memory()
            mapped = cache.open()
        if mapped is None:
            return None
        self._mapped = mapped
        with suppress(BackendError):
            model = self._load(mapped.path)
            if mapped.is_unchanged():
                self.weight_cache = mapped.file
                return model
        mapped.file.unlink(missing_ok=True)
        self._unmap()
        return None

    def _pack(self, path: str, probe: NDArray[np.int32]) -> bool:
        """Write a cache and say whether the network answers with it as it does without."""
        self._load(path).close()
        cached, plain = (_Network(self._load(file), self._heads).run(probe) for file in (path, ""))
        return all(np.array_equal(one, other) for one, other in zip(cached, plain, strict=True))

    def run(self, ids: NDArray[np.int32], positions: NDArray[np.int32]) -> list[NDArray[np.int8]]:
        """See `backend.Backend.run`."""
        return self._network.run(ids, positions)

    def close(self) -> None:
        """See `backend.Backend.close`."""
        with captured():
            self._network.close()
            self._environment.close()
        self._unmap()

    def _unmap(self) -> None:
        if self._mapped is not None:
            self._mapped.close()
            self._mapped = None


class _Network:
    """One loaded model and its buffers for the current length."""

    def __init__(self, model: Any, heads: Sequence[Head]) -> None:
        self._model = model
        self._heads = heads
        self._length = 0
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def run(self, ids: NDArray[np.int32], positions: NDArray[np.int32] | None = None) -> list[NDArray[np.int8]]:
        """Run at the exact length of `ids`; positions count from 0 where they are left out."""
        length = len(ids)
        if positions is None:
            positions = np.arange(length, dtype=np.int32)
        if length != self._length:
            self.resize(length)
        try:
            for buffer, values in zip(self._inputs, (ids, positions), strict=True):
                buffer.write(values)
            self._model.run_by_index(0, self._inputs, self._outputs)
            results: list[NDArray[np.int8]] = []
            for head, buffer in zip(self._heads, self._outputs, strict=True):
                rows = length if head.per_token else 1
                results.append(buffer.read(rows * head.width, np.int8).reshape(rows, head.width))
        except (RuntimeError, ValueError) as error:
            self._length = 0
            raise BackendError(f"LiteRT {litert_version} failed on {length} tokens: {error}") from None
        return results

    def resize(self, length: int) -> None:
        """Allocate for sequences of `length` tokens."""
        self._length = 0
        self._inputs, self._outputs = [], []
        try:
            self._model.resize_input_tensor(0, [1, length])
            self._model.resize_input_tensor(1, [1, length])
            self._inputs = self._model.create_input_buffers(0)
            self._outputs = self._model.create_output_buffers(0)
            self._inputs[0].write(np.zeros(length, np.int32))
        except (RuntimeError, ValueError, IndexError) as error:
            raise BackendError(f"LiteRT {litert_version} cannot run {length} tokens: {error}") from None
        self._length = length

    def close(self) -> None:
        """Free everything."""
        self._inputs, self._outputs = [], []
        self._model.close()
