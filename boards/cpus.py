"""The cores of this machine: of what kind, in which clusters, with which instructions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from boards.system import System, as_number

ARM = 0x41

PARTS = {
    # arch/arm64/include/asm/cputype.h and arch/arm/include/asm/cputype.h, implementer 0x41
    0xC07: "Cortex-A7",
    0xC08: "Cortex-A8",
    0xC09: "Cortex-A9",
    0xC0F: "Cortex-A15",
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0D: "Cortex-A77",
    0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
}

MATTERS = ("atomics", "asimddp", "i8mm")
"""features that the choice of backend and kernels depends on; x86 has none of these names"""


@dataclass(frozen=True, slots=True)
class Core:
    """One core, as /proc/cpuinfo and /sys tell of it."""

    number: int
    implementer: int | None
    part: int | None
    features: frozenset[str]
    capacity: int | None
    """relative to the fastest core, of 1024 (/sys/devices/system/cpu/cpuN/cpu_capacity)"""
    mhz: int | None
    """the highest clock"""
    name: str

    @property
    def kind(self) -> tuple[object, ...]:
        """Equal for cores that are as fast as each other."""
        return (self.implementer, self.part, self.capacity, self.mhz, self.name)


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores of one kind."""

    name: str
    part: int | None
    numbers: tuple[int, ...]
    mhz: int | None
    capacity: int | None


def cores(system: System) -> list[Core]:
    """The cores that are online, in the order of their numbers."""
    found = []
    for block in re.split(r"\n\s*\n", system.read("/proc/cpuinfo")):
        said = dict(re.findall(r"^([^\t:\n]+?)\s*:[ \t]*(.*)$", block, re.MULTILINE))
        number = as_number(said.get("processor", ""))
        if number is None:
            continue
        implementer, part = _hexadecimal(said.get("CPU implementer")), _hexadecimal(said.get("CPU part"))
        folder = f"/sys/devices/system/cpu/cpu{number}"
        khz = system.number(f"{folder}/cpufreq/cpuinfo_max_freq")
        name = PARTS.get(part or 0) if implementer == ARM else None
        if name is None:
            name = said.get("model name") or (f"part 0x{part:x}" if part is not None else "unknown")
        features = frozenset((said.get("Features") or said.get("flags") or "").split())
        capacity = system.number(f"{folder}/cpu_capacity")
        found.append(Core(number, implementer, part, features, capacity, khz // 1000 if khz else None, name))
    return sorted(found, key=lambda core: core.number)


def clusters(of: Iterable[Core]) -> list[Cores]:
    """Cores that are as fast as each other, together; the slowest first where the kernel tells."""
    kinds: dict[tuple[object, ...], list[Core]] = {}
    for core in of:
        kinds.setdefault(core.kind, []).append(core)
    found = [
        Cores(each[0].name, each[0].part, tuple(core.number for core in each), each[0].mhz, each[0].capacity)
        for each in kinds.values()
    ]
    return sorted(found, key=lambda each: (each.capacity or 0, each.mhz or 0, each.numbers))


def features(of: Iterable[Core]) -> frozenset[str]:
    """What every core has: a program may be moved to any of them."""
    each = [core.features for core in of]
    return frozenset.intersection(*each) if each else frozenset()


def _hexadecimal(text: str | None) -> int | None:
    try:
        return int(text or "", 16)
    except ValueError:
        return None
