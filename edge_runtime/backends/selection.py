"""Which backend runs on this machine, decided before anything is imported that could crash it.

Facts, all from trying the wheels one by one on emulated cores: up to 2.1.1 of ai-edge-litert, `CompiledModel` can
neither resize nor keep a weight cache; from 2.1.2 on it aborts on 64-bit ARM cores without LSE atomics (Raspberry Pi
3, 4, Zero 2 W), and from 2.2.0 on the whole package does. tflite-runtime stopped at 2.14.0 and needs NumPy before 2.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.backends.by_length import ByLength
from edge_runtime.backends.weight_cache import WeightCache
from edge_runtime.cpu import Cpu, this_cpu
from edge_runtime.errors import BackendError, InputError
from edge_runtime.model_file import ModelFile

if TYPE_CHECKING:
    from edge_runtime.backends.backend import Backend
    from edge_runtime.manifest import Manifest

AUTO = "auto"
COMPILED = "litert-compiled"
LITERT = "litert"
TFLITE = "tflite-runtime"
NAMES = (COMPILED, LITERT, TFLITE)
ENVIRONMENT = "EDGE_RUNTIME_BACKEND"

SUPPORTED = {"ai-edge-litert": "2.1.6", "tflite-runtime": "2.14.0"}
"""the versions that setup.cfg pins"""

_COMPILED_CAN_RESIZE = (2, 1, 2)
_NEEDS_ATOMICS = (2, 2, 0)

_PROBE_LENGTH = 32
"""tokens: enough for every operator to matter, and short"""
_PROBE_STEP = 7919
"""a prime, so that ids are spread"""


@dataclass(frozen=True, slots=True)
class Selection:
    """A backend and why it is the one."""

    name: str
    reason: str


def litert_version() -> str | None:
    """The installed ai-edge-litert's version, or None; only the package's pure Python front is imported."""
    if find_spec("ai_edge_litert") is None:
        return None
    import ai_edge_litert

    return str(getattr(ai_edge_litert, "__version__", "0"))


def tflite_version() -> str | None:
    """The installed tflite-runtime's version, or None; only the package's pure Python front is imported."""
    if find_spec("tflite_runtime") is None:
        return None
    import tflite_runtime

    return str(getattr(tflite_runtime, "__version__", "0"))


def select(requested: str = AUTO, cpu: Cpu | None = None) -> Selection:
    """The backend to use.

    Args:
        requested: one of `NAMES`, or "auto" for $EDGE_RUNTIME_BACKEND and, without it, the best that is safe here.
        cpu: for which; this one by default.

    Raises:
        InputError: no backend has that name.
        BackendError: it is not installed, or would crash this CPU.
    """
    cpu = cpu or this_cpu()
    source = "asked for"
    if requested == AUTO:
        requested = os.environ.get(ENVIRONMENT) or AUTO
        source = f"asked for by {ENVIRONMENT}"
    if requested not in (AUTO, *NAMES):
        raise InputError(f"no backend is called {requested!r}; there are {AUTO}, {', '.join(NAMES)}")
    if requested != AUTO:
        if obstacle := _obstacle(requested, cpu):
            raise BackendError(f"the backend {requested} cannot be used: {obstacle}")
        return Selection(requested, source)
    passed: list[str] = []
    for name in NAMES:
        obstacle = _obstacle(name, cpu)
        if obstacle is None:
            return Selection(name, "; ".join(passed) or "the fastest, and safe on this CPU")
        passed.append(f"{name}: {obstacle}")
    raise BackendError(f"no TFLite runtime can be used here ({'; '.join(passed)})")


def import_backend(selection: Selection) -> type[Any]:
    """Import a selected backend's package: `CompiledBackend`, or the `Interpreter` class for `InterpreterBackend`.

    Raises:
        BackendError: it cannot be imported.
    """
    try:
        if selection.name == COMPILED:
            from edge_runtime.backends.compiled import CompiledBackend

            return CompiledBackend
        if selection.name == LITERT:
            from ai_edge_litert.interpreter import Interpreter
        else:
            from edge_runtime.backends.native_library import kept_float_mode

            with kept_float_mode():
                from tflite_runtime.interpreter import Interpreter
    except ImportError as error:
        raise BackendError(f"the backend {selection.name} cannot be imported: {error}") from None
    return Interpreter  # type: ignore[no-any-return]


def open_backend(
    file: ModelFile, selection: Selection, threads: int, cache_folder: Path | None, lengths: int = 1
) -> Backend:
    """Load a verified model file's network.

    Args:
        file: whose network.
        selection: from `select`.
        threads: at least 1.
        cache_folder: private folder for packed weights, or None for no cache.
        lengths: of texts that copies are kept ready for; they are made while the file is open.

    Raises:
        BackendError: the backend cannot be imported or cannot load the network.
        ModelError: the network's interface is not the manifest's.
    """

    def another() -> Backend:
        return _open_one(file, selection, threads, cache_folder)

    first = another()
    if lengths == 1:
        return first
    return ByLength(first, another, lengths)


def _open_one(file: ModelFile, selection: Selection, threads: int, cache_folder: Path | None) -> Backend:
    imported = import_backend(selection)
    heads = file.manifest.heads
    path = file.interpreter_path
    if selection.name == COMPILED:
        cache = None
        if cache_folder is not None:
            digest = file.manifest.flatbuffer_sha256
            cache = WeightCache.of(cache_folder, digest, imported.version, this_cpu().fingerprint, threads)
        backend: Backend = imported(path, heads, threads, cache, _probe(file.manifest))
        return backend
    from edge_runtime.backends.interpreter import InterpreterBackend

    version = litert_version() if selection.name == LITERT else tflite_version()
    return InterpreterBackend(imported, selection.name, str(version), path, heads, threads)


def _probe(manifest: Manifest) -> list[int]:
    """Token ids from all over the vocabulary."""
    length = min(_PROBE_LENGTH, manifest.max_length)
    return [_PROBE_STEP * place % manifest.vocabulary for place in range(1, length + 1)]


def _obstacle(name: str, cpu: Cpu) -> str | None:
    """Why a backend cannot be used, or None if it can."""
    if name == TFLITE:
        return _tflite_obstacle()
    version = litert_version()
    if version is None:
        return "ai-edge-litert is not installed"
    numbers = _numbers(version)
    if cpu.is_arm64 and not cpu.atomics and numbers >= _NEEDS_ATOMICS:
        return (
            f"ai-edge-litert {version} would crash on this CPU, which lacks LSE atomics; "
            f"install {SUPPORTED['ai-edge-litert']}"
        )
    if name == COMPILED:
        if not cpu.runs_compiled_model:
            if cpu.is_arm64:
                return "CompiledModel would crash on this CPU, which lacks LSE atomics"
            return f"CompiledModel is untried on {cpu.machine}"
        if numbers < _COMPILED_CAN_RESIZE:
            return f"CompiledModel of ai-edge-litert {version} cannot resize; install {SUPPORTED['ai-edge-litert']}"
    return None


def _tflite_obstacle() -> str | None:
    if tflite_version() is None:
        return "tflite-runtime is not installed"
    import numpy as np

    if _numbers(np.__version__) >= (2,):
        return f"tflite-runtime fails with NumPy {np.__version__}; install numpy<2"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
