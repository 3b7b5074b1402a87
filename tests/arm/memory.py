"""The memory that an idle server takes: of all its processes, by what stands behind it.

    python -m tests.arm.memory [--at-most MB] [--json]             on emulated cores, each way to load the model
    python -m tests.arm.memory --pid PID [--at-most MB] [--json]   a server that runs on this machine: its first process

What is held against a limit is anonymous memory: what no file stands behind, and the kernel cannot take back (Anonymous
in /proc/PID/smaps, proc(5)). Private memory beside it counts pages of files, too, that no other process has mapped: a
library's code, the network. An emulated process has QEMU's own memory beside its guest's. The guest's is put into a
window of addresses, and only what is mapped there is counted: the same pages that a board would have, of 4 KiB, filled
by the board's own C library and runtime.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MODEL = "assistant"
WINDOW = range(0x2000_0000_0000, 0x2010_0000_0000)
"""addresses for an emulated process: 64 GiB from where nothing of QEMU is"""
REQUESTS = 20
"""asked before a server is looked at for the second time"""

_PLACE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+ *(.*)$")
_SIZE = re.compile(r"^(\w+): +(\d+) kB$")


@dataclass(frozen=True)
class Usage:
    """Of one process; kB."""

    command: str
    private: int
    """in no other process"""
    anonymous: int
    """with no file behind it: what remains when the kernel drops all that it can read again"""
    proportional: int
    """private, and a part of what is shared (Pss)"""
    resident: int


def usage(pid: int, window: range | None = None) -> Usage:
    """What a process takes.

    Args:
        pid: its number; reading it takes the same user, or root.
        window: only what is mapped at these addresses.
    """
    found = dict.fromkeys(("Private_Clean", "Private_Dirty", "Anonymous", "Pss", "Rss"), 0)
    counts = True
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        if place := _PLACE.match(line):
            start, end = (int(place[group], 16) for group in (1, 2))
            counts = window is None or (start in window and end - 1 in window)
        elif counts and (size := _SIZE.match(line)) and size[1] in found:
            found[size[1]] += int(size[2])
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return Usage(
        command="worker" if b"edge_runtime.server.worker" in arguments else "server",
        private=found["Private_Clean"] + found["Private_Dirty"],
        anonymous=found["Anonymous"],
        proportional=found["Pss"],
        resident=found["Rss"],
    )


def family(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            yield from family(int(child))


def usages(pid: int, window: range | None = None) -> list[Usage]:
    """What a server and its workers take."""
    return [usage(each, window) for each in family(pid)]


def emulated(userland: Any, core: str, runtime: str, model: str = MODEL) -> dict[str, list[Usage]]:
    """A server on an emulated core: when it is ready for the first time, for the second, and after `REQUESTS`.

    Args:
        userland: an `emulation.Userland`.
        core: such as "cortex-a53"; it decides which backend loads the model.
        runtime: "litert" or "tflite".
        model: served.
    """
    from tests.serve.server import Server, request

    found: dict[str, list[Usage]] = {}
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        folder = Path(name)
        environment = userland.environment(core, runtime, folder) | {"QEMU_GUEST_BASE": hex(WINDOW.start)}
        if userland.is_64_bit:
            # for 32 bits QEMU reserves all that there can be anyway
            environment["QEMU_RESERVED_VA"] = hex(len(WINDOW))
        # no more than one at a time, so that nothing is shared that a board would not share
        settings: dict[str, Any] = {"models": [model], "environment": environment, "python": userland.interpreter}
        with Server(folder, **settings) as server:
            found["first start"] = usages(server.pid, WINDOW)
        with Server(folder, **settings) as server:
            found["ready"] = usages(server.pid, WINDOW)
            with server.connect() as wire:
                backend = request(wire, "info")["backend"]
                for number in range(REQUESTS):
                    request(wire, "understand", text=f"turn off the kitchen lights at {number}")
            found["asked"] = usages(server.pid, WINDOW)
    return {f"{core}, {backend}: {when}": each for when, each in found.items()}


def report(found: dict[str, list[Usage]]) -> str:
    lines = [f"{'MB':42}{'private':>9}{'anonymous':>11}{'Pss':>7}{'resident':>10}"]
    for what, each in found.items():
        lines.append(_line(what, each))
        lines += [_line(f"    {one.command}", [one]) for one in each]
    return "\n".join(lines)


def _line(what: str, each: list[Usage]) -> str:
    sums = [sum(values) / 1000 for values in zip(*(_numbers(one) for one in each), strict=True)]
    return f"{what:42}{sums[0]:9.1f}{sums[1]:11.1f}{sums[2]:7.1f}{sums[3]:10.1f}"


def _numbers(one: Usage) -> tuple[float, ...]:
    kib = (one.private, one.anonymous, one.proportional, one.resident)
    return tuple(each * 1.024 for each in kib)


def everywhere(folder: Path) -> dict[str, list[Usage]]:
    """Each way to load the model: `Interpreter`, `CompiledModel` with its weight cache, tflite-runtime."""
    from tests.arm.emulation import Userland

    found: dict[str, list[Usage]] = {}
    for architecture, core, runtime in (
        ("arm64", "cortex-a72", "litert"),
        ("arm64", "cortex-a76", "litert"),
        ("armhf", "cortex-a7", "tflite"),
    ):
        found |= emulated(Userland(folder / architecture), core, runtime)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="the private memory of an idle server")
    parser.add_argument("--pid", type=int, help="of a server that runs on this machine; default: emulated ones")
    parser.add_argument("--userlands", type=Path, default=Path(os.environ.get("EDGE_ARM", "build/arm")))
    parser.add_argument("--at-most", type=float, metavar="MB", help="fail if the anonymous memory is more")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = everywhere(arguments.userlands) if arguments.pid is None else {"server": usages(arguments.pid)}
    print(
        json.dumps({what: [asdict(one) for one in each] for what, each in found.items()})
        if arguments.json
        else report(found)
    )
    most = max(sum(_numbers(one)[1] for one in each) / 1000 for each in found.values())
    if arguments.at_most is not None and most > arguments.at_most:
        print(f"memory: {most:.1f} MB have no file behind them; {arguments.at_most:g} MB may", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
