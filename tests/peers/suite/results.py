"""What was measured: rows in a file under the build folder, from which docs/performance/results.json is filled."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.peers.document import write_results
from tests.peers.environments import PACKAGES

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/performance.md"
RESULTS = DOCUMENT.with_suffix("") / "results.json"
NAME = "results.json"
KEYS = ("peer", "what", "way", "state", "threads", "core", "tokens", "model")
"""what tells one row of a part from another"""
VERSIONS = ("ai-edge-litert", "numpy", "onnxruntime", "torch", "transformers")
ELSEWHERE = ("tensorflow", "tflite", "llama", "executorch")

Rows = list[dict[str, Any]]


class Results:
    """Rows by part, kept in a file as they come: a part that is measured again replaces the rows it measured."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.content: dict[str, Any] = {}
        self._read()

    def _read(self) -> None:
        if self._path.exists():
            self.content = json.loads(self._path.read_text("utf-8"))

    def rows(self, part: str) -> Rows:
        found: Rows = self.content.get(part, [])
        return found

    def add(self, part: str, rows: Iterable[dict[str, Any]]) -> None:
        # another call may have measured another part since
        self._read()
        kept = {_key(row): row for row in self.rows(part)}
        kept |= {_key(row): row for row in rows}
        self.content[part] = list(kept.values())
        self.content |= {"machine": machine(), "versions": versions()}
        write_results(self._path, self.content)


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in KEYS)


def machine() -> dict[str, str]:
    fields = (line.partition(":") for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines())
    told = {name.strip(): value.strip() for name, _, value in fields}
    flags = set(told.get("flags", "").split())
    wanted = ("avx2", "avx512f", "avx512_vnni", "amx_int8")
    return {
        "cpu": ", ".join(
            f"{name}{told[field]}"
            for field, name in (
                ("model name", ""),
                ("cpu family", "family "),
                ("model", "model "),
                ("CPU part", "part "),
            )
            if field in told
        ),
        "features": ", ".join(name for name in wanted if name in flags),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Of Python, of the packages that are installed here, and of those in the peers' environments."""
    found = {"python": platform.python_version()}
    for name in VERSIONS:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    elsewhere = [package.split("==") for name in ELSEWHERE for package in PACKAGES[name] if "==" in package]
    return found | {name: pinned for name, pinned in elsewhere if name not in VERSIONS}
