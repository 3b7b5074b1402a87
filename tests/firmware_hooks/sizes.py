"""`python -m tests.firmware_hooks.sizes`: what the C client takes of a microcontroller, by the compiler's reports."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.firmware_hooks.c_client import SOURCES, WARNINGS

CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m33")
CALLS = ("edge_link_poll", "edge_link_wait", "edge_link_send", "edge_ask", "edge_ask_pair", "edge_open", "edge_feed")
"""what is measured from: callers' and callbacks' own stack comes on top"""
MEMORY = '#include "edge_ask.h"\nedge_link link_itself;\nuint8_t frame[EDGE_FRAME_BUFFER(256)];\n'

_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "([^"]*)"')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')
_STACK = re.compile(r"(\d+) bytes \((\w+)\)")


@dataclass(frozen=True)
class Sizes:
    """Of all sources together, in bytes."""

    code: int
    """with constants"""
    data: int
    """static variables of the client's own"""
    link: int
    """the struct edge_link, without the frame buffer and the message buffer"""
    stack: dict[str, int]
    """deepest chain of calls, from each of CALLS"""


def measure(core: str) -> Sizes:
    """Compile for a core with -Os and read the reports."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "memory.c").write_text(MEMORY)
        sources = sorted(SOURCES.glob("*.c"))
        flags = [f"-mcpu={core}", "-mthumb", "-Os", "-ffreestanding", *WARNINGS, f"-I{SOURCES}"]
        reports = ["-fstack-usage", "-fcallgraph-info=su"]
        command: list[str | Path] = ["arm-none-eabi-gcc", *flags, *reports, "-c", *sources, "memory.c"]
        subprocess.run(command, cwd=folder, check=True)
        (folder / "memory.su").unlink(missing_ok=True)
        objects = [f"{source.stem}.o" for source in sources]
        rows = _run(folder, "arm-none-eabi-size", *objects).splitlines()[1:]
        text = sum(int(row.split()[0]) for row in rows)
        data = sum(int(row.split()[1]) + int(row.split()[2]) for row in rows)
        symbols = {
            row.split()[3]: int(row.split()[1], 16)
            for row in _run(folder, "arm-none-eabi-nm", "-S", "memory.o").splitlines()
        }
        return Sizes(text, data, symbols["link_itself"], _stacks(folder))


def _run(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def _stacks(folder: Path) -> dict[str, int]:
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = {}
    for report in folder.glob("*.ci"):
        text = report.read_text()
        for name, label in _NODE.findall(text):
            used = _STACK.search(label)
            if used:
                assert used[2] == "static", f"{name} takes an amount of stack that is not known beforehand"
                frames[name] = int(used[1])
        for source, target in _EDGE.findall(text):
            calls.setdefault(source, set()).add(target)

    def depth(name: str, above: tuple[str, ...] = ()) -> int:
        assert name not in above, f"{name} calls itself"
        return frames.get(name, 0) + max((depth(each, (*above, name)) for each in calls.get(name, ())), default=0)

    return {name: depth(name) for name in CALLS}


def main() -> None:
    print(f"{'core':12} code  variables  struct edge_link  deepest stack")
    for core in CORES:
        sizes = measure(core)
        deepest = max(sizes.stack, key=lambda name: sizes.stack[name])
        print(f"{core:12} {sizes.code}  {sizes.data:9}  {sizes.link:16}  {sizes.stack[deepest]} in {deepest}")


if __name__ == "__main__":
    main()
