"""Chatter on standard error."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_runtime.backends.native_library import captured, kept_float_mode
from tests.backends import USABLE

# fesetround's FE_UPWARD, by machine
UPWARD = {"x86_64": 0x800, "aarch64": 0x400000, "armv7l": 0x400000}


def test_chatter_is_held_back_and_the_rest_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    """Lines of the native runtimes are dropped; what another thread wrote meanwhile comes out afterwards."""
    with captured(), captured():
        os.write(2, b"INFO: [x.cc:1] Hello\nsomething of ours\nWARNING: [y.cc:2] Oh\n")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "something of ours\n"


def test_standard_error_is_restored_after_a_failure(capfd: pytest.CaptureFixture[str]) -> None:
    """An exception inside leaves standard error as it was."""
    with pytest.raises(ValueError, match="inside"), captured():
        raise ValueError("inside")
    os.write(2, b"INFO: back\n")
    assert capfd.readouterr().err == "INFO: back\n"


def test_float_mode_is_kept() -> None:
    """What a library sets for all floats of a thread, such as where they are rounded to, is undone."""
    library = ctypes.CDLL(None)
    before = library.fegetround()
    with kept_float_mode():
        assert library.fesetround(UPWARD[platform.machine()]) == 0
        assert library.fegetround() != before
    assert library.fegetround() == before


@pytest.mark.parametrize("backend", USABLE)
def test_subnormal_numbers_remain(models: Mapping[str, Path], backend: str) -> None:
    """In a process that used a model the application's own numbers are not flushed to zero."""
    code = (
        f"import sys, edge_runtime; model = edge_runtime.load({str(models['tags'])!r}, backend={backend!r});"
        "model.run([5]); print(sys.float_info.min / 2 > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_exit_is_silent_but_python_is_not(models: Mapping[str, Path]) -> None:
    """A process that used a model ends without LiteRT's goodbye, and whatever Python writes until its end arrives."""
    code = (
        "import atexit, sys, edge_runtime; atexit.register(print, 'last words', file=sys.stderr);"
        f"model = edge_runtime.load({str(models['tags'])!r}); model.run([5])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "last words\n")
