"""A board's /proc, /sys and /dev, made from what its profile says, for what reads them under a root folder."""

from __future__ import annotations

from pathlib import Path

from boards.schema import Board
from boards.system import System

A53 = "fp asimd evtstrm crc32 cpuid"
"""of a Raspberry Pi 3 and 4: Armv8.0 without the cryptographic instructions"""
A55 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
"""as an i.MX93, two Cortex-A55, prints it"""


def write(root: Path, place: str, content: str | bytes) -> None:
    """Put a file under the root."""
    path = root / place.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def cpuinfo(cores: dict[int, tuple[int, str]]) -> str:
    """/proc/cpuinfo of an arm64 kernel: part and features of each core."""
    return "".join(
        f"processor\t: {number}\nBogoMIPS\t: 48.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: 8\nCPU variant\t: 0x2\nCPU part\t: 0x{part:x}\nCPU revision\t: 0\n\n"
        for number, (part, features) in sorted(cores.items())
    )


def grow(root: Path, board: Board, *, compatible: str | None = None, model: str | None = None) -> System:
    """A healthy board of that kind, nothing on its UARTs.

    Args:
        root: where.
        board: whose profile.
        compatible: the device tree's first compatible string; the profile's first if left out.
        model: the device tree's model; the profile's first and a revision if left out.
    """
    if not board.generic:
        root_strings = [compatible or board.detect.compatible[0], "vendor,chip"]
        write(root, "/proc/device-tree/compatible", "".join(f"{each}\0" for each in root_strings))
        write(root, "/proc/device-tree/model", f"{model or board.detect.model[0]} Rev 1.4\0")
    features = A55 if board.features and "atomics" in board.features.has else A53
    parts = {core: (cluster.part, features) for cluster in board.cpu.clusters for core in cluster.cores}
    write(root, "/proc/cpuinfo", cpuinfo(parts or {0: (0xD03, A53)}))
    write(root, "/proc/meminfo", "MemTotal:        3884368 kB\nMemFree:  1 kB\n")
    write(root, "/proc/cmdline", "console=tty1 root=/dev/mmcblk0p2 rootwait\n")
    for number, cluster in enumerate(board.cpu.clusters):
        policy = f"/sys/devices/system/cpu/cpufreq/policy{cluster.cores[0]}"
        write(root, f"{policy}/scaling_governor", "ondemand\n")
        write(root, f"{policy}/scaling_available_governors", "conservative ondemand performance powersave\n")
        write(root, f"{policy}/scaling_cur_freq", f"{cluster.mhz * 1000}\n")
        for core in cluster.cores:
            write(root, f"/sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq", f"{cluster.mhz * 1000}\n")
            write(root, f"/sys/devices/system/cpu/cpu{core}/cpu_capacity", f"{400 + 600 * number}\n")
    for number, zone in enumerate(board.thermal.zones if board.thermal else ()):
        write(root, f"/sys/class/thermal/thermal_zone{number}/type", f"{zone}\n")
        write(root, f"/sys/class/thermal/thermal_zone{number}/temp", f"{45000 + number}\n")
    for serial in board.serial:
        write(root, serial.device, "")
    if board.watchdog:
        write(root, board.watchdog.device, "")
        name = board.watchdog.device.removeprefix("/dev/")
        write(root, f"/sys/class/watchdog/{name}/identity", f"{board.watchdog.identity}\n")
    machine = board.detect.machine[0] if board.generic else board.cpu.architecture
    return System(root, machine, 4 if machine.startswith("armv") else 8)
