"""What is different here from what the profile says, or wrong, and how to mend it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from boards.cpus import MATTERS, clusters, cores, features
from boards.detection import Detected
from boards.schema import Board, Serial
from boards.sensors import temperatures
from boards.system import System
from boards.throttling import flags, named, undervoltage, vcgencmd
from edge_runtime.commands.doctor import Finding

_SLOW_GOVERNORS = ("powersave",)
"""cpufreq governors that keep the lowest clock whatever there is to do"""
_OWN_SCALING = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")
"""drivers that scale the clock themselves, and call a mild way of doing it powersave"""
_CONSOLE_ALIASES = ("serial0", "serial1")
"""names that a Raspberry Pi's firmware replaces in console=, and that udev makes links of"""


def examine(system: System, detected: Detected) -> list[Finding]:
    """Everything that can be told without changing anything."""
    board = detected.board
    found = [Finding("board", "good", f"{board.name}: {detected.by}")]
    found += _processor(system, board)
    found += _userland(system)
    found += _governors(system)
    found += _throttling(system, board)
    found += _temperature(system, board)
    for serial in board.serial:
        found += _serial(system, serial)
    found += _watchdog(system, board)
    return found


def _processor(system: System, board: Board) -> Iterator[Finding]:
    online = cores(system)
    groups = ", ".join(f"{len(each.numbers)} × {each.name}" for each in clusters(online)) or "unknown"
    has = features(online) & set(MATTERS)
    yield Finding("cpu", "good", f"{groups}; {', '.join(sorted(has)) or 'none'} of {', '.join(MATTERS)}")
    expected = [core for cluster in board.cpu.clusters for core in cluster.cores]
    if online and (missing := sorted(set(expected) - {core.number for core in online})):
        mend = (
            "look for maxcpus= and isolcpus= on the kernel's command line, and at /sys/devices/system/cpu/cpuN/online"
        )
        yield Finding("cores", "note", f"offline: {', '.join(map(str, missing))}", mend)
    known = {cluster.part: cluster.core for cluster in board.cpu.clusters}
    strange = sorted({core.name for core in online if core.part is not None and core.part not in known})
    if known and strange:
        yield Finding(
            "cores", "note", f"the profile has no {', '.join(strange)}", "is this another board of that name?"
        )
    if board.features and online and system.word == 8:
        unlike = [name for name in board.features.has if name not in has]
        if unlike:
            found = f"{', '.join(unlike)}: the profile has it and the kernel does not show it"
            yield Finding(
                "features", "note", found, "a newer kernel; until then slower kernels or another backend are used"
            )


def _userland(system: System) -> Iterator[Finding]:
    if system.machine in ("aarch64", "arm64") and system.word == 4:
        found = "a 32-bit system on a 64-bit kernel: only tflite-runtime runs here, with 32-bit kernels"
        yield Finding("userland", "note", found, "install a 64-bit system")


def _governors(system: System) -> Iterator[Finding]:
    for place in system.glob("/sys/devices/system/cpu/cpufreq/policy*/scaling_governor"):
        governor = system.text(place)
        scales = system.text(place.with_name("scaling_driver")) in _OWN_SCALING
        if governor in _SLOW_GOVERNORS and not scales:
            where = f"/sys/devices/system/cpu/cpufreq/{place.parent.name}/scaling_governor"
            available = system.text(place.with_name("scaling_available_governors")).split()
            better = next(
                (each for each in ("schedutil", "ondemand", "performance") if each in available), "performance"
            )
            mend = f"echo {better} | sudo tee {where}"
            yield Finding("governor", "bad", f"{place.parent.name} keeps its lowest clock ({governor})", mend)


def _throttling(system: System, board: Board) -> Iterator[Finding]:
    bits = None
    if board.thermal and board.thermal.flags == "vcgencmd" and system.root == type(system.root)("/"):
        bits = flags(vcgencmd("get_throttled"))
    supply = "a supply and a cable that hold 5 V under load"
    if bits is None:
        if undervoltage(system):
            yield Finding("power", "bad", "the supply's voltage was too low within the last seconds", supply)
        return
    now, since = named(bits)
    if now:
        mend = supply if "undervoltage" in now else "a heat sink or a fan"
        yield Finding("throttled", "bad", f"now: {', '.join(now)}", mend, {"flags": bits})
    elif since:
        mend = supply if "undervoltage" in since else "a heat sink or a fan, if it was under this load"
        yield Finding("throttled", "note", f"since boot: {', '.join(since)}", mend, {"flags": bits})
    else:
        yield Finding("throttled", "good", "never since boot", details={"flags": bits})


def _temperature(system: System, board: Board) -> Iterator[Finding]:
    found = temperatures(system)
    if not found:
        return
    zone, degrees = max(found.items(), key=lambda item: item[1])
    limit = board.thermal.throttles_at if board.thermal else None
    text = f"{degrees:.0f} °C ({zone})"
    if limit is not None and degrees >= limit:
        yield Finding("temperature", "bad", f"{text}; it is slowed down from {limit} on", "a heat sink or a fan")
    else:
        yield Finding("temperature", "good", text if limit is None else f"{text}; slowed down from {limit} on")


def _serial(system: System, serial: Serial) -> Iterator[Finding]:
    if not os.path.lexists(system.path(serial.device)):
        yield Finding(serial.device, "note", f"not there ({serial.what})", serial.free)
        return
    if reason := _taken(system, serial.device):
        yield Finding(serial.device, "note", f"{reason} ({serial.what})", serial.free)
    else:
        yield Finding(serial.device, "good", f"free ({serial.what})")


def _taken(system: System, device: str) -> str | None:
    """What uses a UART: the kernel's console, or a login."""
    name = device.removeprefix("/dev/")
    names = {name}
    for alias in _CONSOLE_ALIASES:
        link = system.path(f"/dev/{alias}")
        if link.is_symlink() and link.readlink().name == name:
            names.add(alias)
    consoles = {each[8:].partition(",")[0] for each in system.command_line if each.startswith("console=")}
    if names & consoles or name in system.read("/sys/class/tty/console/active").split():
        return "the kernel's console is on it"
    for process in system.glob("/proc/[0-9]*/cmdline"):
        words = system.text(process).split("\0")
        if words and os.path.basename(words[0]) in ("agetty", "getty") and names & set(words):  # noqa: PTH119  a word
            return "a login is on it"
    return None


def _watchdog(system: System, board: Board) -> Iterator[Finding]:
    if board.watchdog is None:
        return
    identity = system.read(f"/sys/class/watchdog/{board.watchdog.device.removeprefix('/dev/')}/identity")
    if not os.path.lexists(system.path(board.watchdog.device)):
        mend = "use a kernel with its driver, or load the module"
        yield Finding("watchdog", "note", f"{board.watchdog.device} is missing", mend)
    elif identity and identity != board.watchdog.identity:
        mend = f"the board's own is {board.watchdog.identity}; a software watchdog does not survive a kernel that hangs"
        yield Finding("watchdog", "note", f"{board.watchdog.device} is {identity}", mend)
    else:
        longest = f", at most {board.watchdog.longest} s" if board.watchdog.longest else ""
        yield Finding("watchdog", "good", f"{board.watchdog.device}: {board.watchdog.identity}{longest}")
