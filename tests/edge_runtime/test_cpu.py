"""What the runtime tells of a CPU."""

from __future__ import annotations

import struct

from edge_runtime.cpu import describe, this_cpu

CORTEX_A72 = 0x8FB
CORTEX_A76 = 0x119FFB
"""AT_HWCAP of the two, as the kernel gives it"""
A76_CPUINFO = "processor\t: 0\nFeatures\t: fp asimd atomics asimddp\nCPU part\t: 0xd0b\n"
A72_CPUINFO = "processor\t: 0\nFeatures\t: fp asimd crc32\nCPU part\t: 0xd08\n"


def vector(hwcap: int) -> bytes:
    return struct.pack("@6L", 6, 4096, 16, hwcap, 0, 0)


def test_kernel_tells_of_atomics() -> None:
    """A Cortex-A76's capabilities hold LSE atomics and dot products, a Cortex-A72's neither."""
    new, old = describe("aarch64", vector(CORTEX_A76), ""), describe("aarch64", vector(CORTEX_A72), "")
    assert (new.atomics, new.dot_product, new.runs_compiled_model) == (True, True, True)
    assert (old.atomics, old.dot_product, old.runs_compiled_model) == (False, False, False)


def test_cpuinfo_is_the_fallback() -> None:
    """Without an auxiliary vector, /proc/cpuinfo decides, and only if every core lists a feature."""
    assert describe("aarch64", b"", A76_CPUINFO).atomics
    assert not describe("aarch64", b"", A76_CPUINFO + A72_CPUINFO).atomics
    assert not describe("aarch64", b"", "").atomics


def test_kernel_outranks_cpuinfo() -> None:
    """What the kernel told this process counts more than /proc/cpuinfo, which an emulator may take from its host."""
    assert not describe("aarch64", vector(CORTEX_A72), A76_CPUINFO).atomics


def test_other_machines() -> None:
    """x86-64 runs CompiledModel; 32-bit ARM, whose capability bits mean other things, does not."""
    assert describe("x86_64", b"", "flags\t: avx2\n").runs_compiled_model
    assert not describe("armv7l", vector(0xFFFF), A76_CPUINFO).runs_compiled_model


def test_fingerprint_tells_cpus_apart() -> None:
    """CPUs that may get other kernels have other fingerprints, and one CPU always has the same."""
    prints = {
        describe("aarch64", vector(CORTEX_A76), A76_CPUINFO).fingerprint,
        describe("aarch64", vector(CORTEX_A72), A72_CPUINFO).fingerprint,
        describe("x86_64", b"", "flags\t: avx2\n").fingerprint,
        describe("x86_64", b"", "flags\t: avx2 avx512f\n").fingerprint,
    }
    assert len(prints) == 4
    assert this_cpu() == this_cpu()


def test_cut_short_vector_is_no_crash() -> None:
    """An auxiliary vector that ends in the middle of an entry is read as far as it goes."""
    assert not describe("aarch64", vector(CORTEX_A72)[:-3], "").atomics
