"""A model file is the same whatever machine made it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.arm.emulation import Userland
from tests.converter.random_checkpoint import make

pytestmark = pytest.mark.arm

CONVERSION = "tests.arm.conversion"


def test_arm_makes_the_same_file(tmp_path: Path) -> None:
    """A 64-bit ARM core and this machine convert a checkpoint to the same bytes, measured accuracy included."""
    sizes = {"hidden_size": 96, "embedding_size": 96, "intermediate_size": 192}
    make(tmp_path / "checkpoint", "SqueezeBertForSequenceClassification", **sizes)
    words = ["turn", "off", "the", "light", "é", "e", "中", ","]
    lines = [" ".join(words[(i * j) % len(words)] for j in range(1, 3 + i % 9)) for i in range(40)]
    (tmp_path / "texts").write_text("\n".join(lines), encoding="utf-8")
    arguments = {name: [str(tmp_path / part) for part in ("checkpoint", name, "texts")] for name in ("here", "arm")}
    subprocess.run([sys.executable, "-m", CONVERSION, *arguments["here"]], check=True)
    userland = Userland(Path(os.environ.get("EDGE_ARM", "build/arm"), "arm64"))
    userland.python("cortex-a76", CONVERSION, arguments["arm"], runtime="litert")
    assert (tmp_path / "here").read_bytes() == (tmp_path / "arm").read_bytes()
