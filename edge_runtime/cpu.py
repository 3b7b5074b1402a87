"""What this CPU can do, told without importing anything that might crash on it."""

from __future__ import annotations

import hashlib
import platform
import re
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_AUXILIARY_VECTOR = Path("/proc/self/auxv")
_CPUINFO = Path("/proc/cpuinfo")

ARM64 = ("aarch64", "arm64")
X86_64 = ("x86_64", "AMD64")

_AT_HWCAP = 16
_AT_HWCAP2 = 26
# arch/arm64/include/uapi/asm/hwcap.h
_HWCAP_ATOMICS = 1 << 8
_HWCAP_ASIMDDP = 1 << 20


@dataclass(frozen=True, slots=True)
class Cpu:
    """Machine name as `uname -m` has it, and the features that the choice of backend and kernels depends on."""

    machine: str
    atomics: bool
    """ARMv8.1's LSE atomics; ai-edge-litert's `CompiledModel` aborts on a 64-bit ARM core without them"""
    dot_product: bool
    """ARMv8.2's SDOT: three times as fast in int8"""
    fingerprint: str
    """16 hexadecimal digits that differ where kernels, and so packed weights, may differ"""

    @property
    def is_arm64(self) -> bool:
        return self.machine in ARM64

    @property
    def runs_compiled_model(self) -> bool:
        """Whether ai-edge-litert's `CompiledModel` may be touched at all."""
        return self.machine in X86_64 or (self.is_arm64 and self.atomics)


@cache
def this_cpu() -> Cpu:
    """The CPU that this process runs on."""
    machine = platform.machine()
    if machine in ARM64 and struct.calcsize("P") == 4:
        # a 32-bit system on a 64-bit kernel: what counts is what this process can load
        machine = "armv8l"
    return describe(machine, _read(_AUXILIARY_VECTOR), _read(_CPUINFO).decode("utf-8", "replace"))


def describe(machine: str, auxiliary_vector: bytes, cpuinfo: str) -> Cpu:
    """The CPU that `/proc/self/auxv` and `/proc/cpuinfo` tell of.

    The auxiliary vector is what the kernel (or an emulator) told this very process, so it comes first; cpuinfo is the
    fall-back, believed only if every core lists a feature.
    """
    word = struct.calcsize("@L")
    pairs = struct.iter_unpack("@LL", auxiliary_vector[: len(auxiliary_vector) // (2 * word) * 2 * word])
    vector: dict[int, int] = dict(pairs)
    if _AT_HWCAP in vector:
        atomics = bool(vector[_AT_HWCAP] & _HWCAP_ATOMICS)
        dot_product = bool(vector[_AT_HWCAP] & _HWCAP_ASIMDDP)
    else:
        cores = [set(line.split()) for line in re.findall(r"^Features\s*:(.*)$", cpuinfo, re.MULTILINE)]
        atomics = bool(cores) and all("atomics" in core for core in cores)
        dot_product = bool(cores) and all("asimddp" in core for core in cores)
    if machine not in ARM64:
        atomics = dot_product = False
    models = sorted(set(re.findall(r"^(?:flags|Features|model name|model|CPU part|CPU variant)\s*:.*$", cpuinfo, re.M)))
    told = repr((machine, vector.get(_AT_HWCAP), vector.get(_AT_HWCAP2), models))
    return Cpu(machine, atomics, dot_product, hashlib.sha256(told.encode()).hexdigest()[:16])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
