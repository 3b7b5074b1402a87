"""Whether the CPU is being slowed down, as the Raspberry Pi's firmware tells."""

from __future__ import annotations

import re
import shutil
import subprocess

from boards.system import System, as_number

# raspberrypi/documentation: computers/os/graphics-utilities.adoc, get_throttled
BITS = {
    0: "undervoltage",
    1: "clock capped",
    2: "throttled",
    3: "soft temperature limit",
}
SINCE_BOOT = 16
"""a bit this much higher says that it happened since boot"""

_TIMEOUT = 5.0
"""seconds; the firmware answers in milliseconds, and a stuck mailbox must not stop a measurement"""


def vcgencmd(*arguments: str) -> str | None:
    """What the Raspberry Pi's firmware answers; None on other boards, or where this user may not ask."""
    if shutil.which("vcgencmd") is None:
        return None
    try:
        done = subprocess.run(
            ["vcgencmd", *arguments],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def flags(answer: str | None) -> int | None:
    """The bits in `throttled=0x50005`."""
    found = re.fullmatch(r"throttled=(0x[0-9a-fA-F]+)", answer or "")
    return int(found[1], 16) if found else None


def named(bits: int) -> tuple[list[str], list[str]]:
    """What is so now, and what was so since boot."""
    now = [name for bit, name in BITS.items() if bits >> bit & 1]
    since = [name for bit, name in BITS.items() if bits >> (bit + SINCE_BOOT) & 1]
    return now, since


def cooling(system: System) -> list[tuple[str, int, int]]:
    """What the kernel does against heat now: cooling devices that slow the CPU down, with their state and the largest.

    Documentation/driver-api/thermal/sysfs-api.rst of the kernel: a state of 0 is none.
    """
    found = []
    for kind in system.glob("/sys/class/thermal/cooling_device*/type"):
        name = system.text(kind)
        state, most = (as_number(system.text(kind.with_name(each))) for each in ("cur_state", "max_state"))
        # cpufreq-cpu0 in newer kernels, thermal-cpufreq-0 before 5.18
        if "cpufreq" in name and state and most:
            found.append((name, state, most))
    return found


def undervoltage(system: System) -> bool | None:
    """What the kernel's raspberrypi-hwmon driver saw in its last look, two seconds ago at most; None without it."""
    for name in system.glob("/sys/class/hwmon/hwmon*/name"):
        if system.text(name) == "rpi_volt":
            alarm = system.text(name.parent / "in0_lcrit_alarm")
            return None if alarm == "" else alarm != "0"
    return None
