"""libFuzzer, with address and undefined-behaviour sanitizers, on what comes over the wire."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.firmware_hooks.c_client import SOURCES

pytestmark = pytest.mark.firmware

SECONDS = os.environ.get("EDGE_FUZZ_SECONDS", "60")


def test_no_input_breaks_the_client(tmp_path: Path) -> None:
    """A minute of inputs (EDGE_FUZZ_SECONDS for more) finds nothing."""
    sources = [SOURCES.parent / "fuzz" / "fuzz_link.c", *sorted(SOURCES.glob("*.c"))]
    sanitizers = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    build: list[str | Path] = [
        "clang",
        "-std=c99",
        "-g",
        "-O1",
        *sanitizers,
        f"-I{SOURCES}",
        "-o",
        tmp_path / "fuzz",
        *sources,
    ]
    subprocess.run(build, check=True)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    command: list[str | Path] = [
        tmp_path / "fuzz",
        f"-max_total_time={SECONDS}",
        "-max_len=4096",
        "-print_final_stats=1",
        corpus,
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-5000:]
