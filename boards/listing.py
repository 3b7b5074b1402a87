"""Profiles and findings, as JSON and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from boards.cpus import MATTERS, clusters, cores, features
from boards.detection import Detected
from boards.schema import Board
from boards.system import System
from edge_runtime.commands.doctor import Finding, is_well, to_text


def all_json(boards: Sequence[Board]) -> dict[str, Any]:
    return {"boards": [{"id": each.id, "name": each.name, "summary": each.summary} for each in boards]}


def all_text(boards: Sequence[Board]) -> str:
    """A line for each board."""
    width = max(len(each.id) for each in boards)
    return "\n".join(f"{each.id:<{width}}  {each.name}: {each.summary}" for each in boards)


def one_json(board: Board) -> dict[str, Any]:
    return asdict(board)


def one_text(board: Board) -> str:
    """All that is known of a board, and at the end where it comes from."""
    lines = [f"{board.name} ({board.id})", f"  {board.summary}"]
    for cluster in board.cpu.clusters:
        numbers = ", ".join(map(str, cluster.cores))
        lines.append(f"cores {numbers}: {cluster.core} (part 0x{cluster.part:x}), {cluster.mhz} MHz")
    if board.features:
        lines.append(f"has {', '.join(board.features.has) or 'no'} of {', '.join(MATTERS)}")
    if board.memory:
        lines.append(f"memory: {', '.join(map(str, board.memory.mb))} MB")
    if board.thermal:
        lines.append(f"thermal zones: {', '.join(board.thermal.zones)}")
        if board.thermal.throttles_at:
            lines.append(f"slowed down from {board.thermal.throttles_at} °C on")
    for serial in board.serial:
        lines += [f"{serial.device}: {serial.what}", f"  to free it: {serial.free}"]
    if board.watchdog:
        longest = f", at most {board.watchdog.longest} s" if board.watchdog.longest else ""
        lines.append(f"{board.watchdog.device}: {board.watchdog.identity}{longest}")
    if board.led:
        lines.append(f"LED: /sys/class/leds/{board.led.name}")
    for trap in board.traps:
        lines += [f"trap: {trap.what}", f"  → {trap.mend}"]
    lines.append("sources:")
    lines += [f"  {name}: {place}" for name, place in board.sources.items()]
    return "\n".join(lines)


def detected_json(system: System, detected: Detected, findings: Sequence[Finding]) -> dict[str, Any]:
    online = cores(system)
    return {
        "board": {"id": detected.board.id, "name": detected.board.name, "by": detected.by},
        "model": system.model or None,
        "machine": system.machine,
        "bits": 8 * system.word,
        "memory_kb": system.memory_kb,
        "features": sorted(features(online) & set(MATTERS)),
        "clusters": [asdict(each) for each in clusters(online)],
        "well": is_well(findings),
        "findings": [finding.to_json() for finding in findings],
    }


def detected_text(system: System, detected: Detected, findings: Sequence[Finding]) -> str:
    """The findings, then the board's traps."""
    lines = [to_text(findings)]
    for each in clusters(cores(system)):
        numbers = ", ".join(map(str, each.numbers))
        clock = f", up to {each.mhz} MHz" if each.mhz else ""
        lines.append(f"      cores {numbers}: {each.name}{clock}")
    if detected.board.traps:
        lines.append(f"known traps of this board (edge-boards list {detected.board.id} has their sources):")
        lines += [f"  - {trap.what}\n      → {trap.mend}" for trap in detected.board.traps]
    return "\n".join(lines)
