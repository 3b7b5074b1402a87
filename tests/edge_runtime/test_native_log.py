"""Chatter on standard error."""

from __future__ import annotations

import os

import pytest

from edge_runtime.backends.native_log import captured


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
