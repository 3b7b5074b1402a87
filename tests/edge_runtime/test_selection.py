"""Which backend is chosen where."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from edge_runtime import BackendError, InputError, load
from edge_runtime.backends.selection import COMPILED, LITERT, select
from edge_runtime.cpu import Cpu
from tests.backends import BEST, LAST

PI_4 = Cpu("aarch64", atomics=False, dot_product=False, fingerprint="pi4")
PI_5 = Cpu("aarch64", atomics=True, dot_product=True, fingerprint="pi5")
PC = Cpu("x86_64", atomics=False, dot_product=False, fingerprint="pc")


def installed(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Let ai-edge-litert claim another version."""
    import ai_edge_litert

    assert isinstance(ai_edge_litert, ModuleType)
    monkeypatch.setattr(ai_edge_litert, "__version__", version)


@pytest.mark.parametrize(("cpu", "name"), [(PC, COMPILED), (PI_5, COMPILED), (PI_4, LITERT)])
def test_best_backend(cpu: Cpu, name: str) -> None:
    """CompiledModel where the CPU can run it, the classic interpreter elsewhere, and the reason why."""
    selection = select(cpu=cpu)
    assert selection.name == name
    assert selection.reason


def test_compiled_model_is_refused_without_atomics() -> None:
    """Asking for CompiledModel on a CPU that it would crash is an error, not a crash."""
    with pytest.raises(BackendError, match="LSE atomics"):
        select(COMPILED, PI_4)


@pytest.mark.parametrize("version", ["2.2.0", "2.3.0", "3.0.0"])
def test_versions_that_crash_are_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Without atomics, releases after 2.1 are not even tried; the error names the one to install."""
    installed(monkeypatch, version)
    with pytest.raises(BackendError, match=r"2\.1\.6"):
        select(cpu=PI_4)
    assert select(cpu=PC).name == COMPILED


def test_old_versions_use_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to 2.1.1, CompiledModel cannot resize, so the classic interpreter is used."""
    installed(monkeypatch, "2.1.0")
    assert select(cpu=PC).name == LITERT


def test_choosing_does_not_import_what_may_crash() -> None:
    """Until a backend is chosen, nothing of LiteRT but its package's front is imported."""
    code = (
        "import sys; from edge_runtime.backends.selection import select; select();"
        "print(*(name for name in sys.modules if name.startswith('ai_edge_litert')))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["ai_edge_litert"]


def test_environment_overrides(models: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """EDGE_RUNTIME_BACKEND decides for `auto`, and an explicit argument decides over it."""
    monkeypatch.setenv("EDGE_RUNTIME_BACKEND", LAST)
    with load(models["tags"]) as model:
        assert model.info.backend == LAST
    with load(models["tags"], backend=BEST) as model:
        assert model.info.backend == BEST


def test_unknown_backend(models: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that does not exist is an InputError that lists those that do."""
    with pytest.raises(InputError, match="litert-compiled, litert, tflite-runtime"):
        load(models["tags"], backend="abacus")
    monkeypatch.setenv("EDGE_RUNTIME_BACKEND", "abacus")
    with pytest.raises(InputError, match="abacus"):
        load(models["tags"])


def test_missing_backend() -> None:
    """A backend that is not installed is a BackendError that says so."""
    with pytest.raises(BackendError, match="not installed"):
        select("tflite-runtime")
